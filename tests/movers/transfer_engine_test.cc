// Bytes arrive whole, from every kind of source at every kind of target.
#include "movers/transfer_engine.h"

#include <set>
#include <tuple>

#include "movers/synthetic.h"
#include "tests/movers/node_testing.h"

namespace residency {
namespace {

// Within one page, over pages, over chunks, over a segment's end; odd and even.
constexpr uint64_t kSizes[] = {1, 4095, 4096, 32'768, 100'003, 1'500'001};

struct Source {
  const char* name;
  std::optional<PoolId> pool;      // a copy
  std::optional<uint64_t> offset;  // a range of a file
};                                 // neither: synthetic

struct Case {
  Source source;
  PoolId target;
  bool uring;
  bool direct;
};

std::string NameOf(const testing::TestParamInfo<Case>& info) {
  constexpr const char* kTargets[] = {"Hbm0", "Hbm1", "Dram", "Nvme0", "Nvme1"};
  return std::string(info.param.source.name) + "To" + kTargets[info.param.target.value()] +
         (info.param.uring ? "Uring" : "Threads") + (info.param.direct ? "Direct" : "Buffered");
}

std::vector<Case> AllCases() {
  const Source sources[] = {{"Hbm", kHbm0, {}},         {"Dram", kDram, {}},
                            {"Nvme", kNvme0, {}},       {"AlignedFile", {}, 8192},
                            {"OddFile", {}, 4097 + 10}, {"Synthetic", {}, {}}};
  std::vector<Case> cases;
  for (const Source& source : sources) {
    for (const PoolId target : {kHbm0, kHbm1, kDram, kNvme0, kNvme1}) {
      cases.push_back({source, target, true, true});
      cases.push_back({source, target, false, false});
    }
  }
  return cases;
}

class EveryPairTest : public testing::TestWithParam<Case> {
 protected:
  // Makes the source hold `bytes`, which it may replace by what it can make.
  TransferSource MakeSource(TestNode& node, ByteVector& bytes) {
    const Source& source = GetParam().source;
    if (source.pool.has_value()) {
      CopySource copy{TestNode::Place(*source.pool, kFrom, bytes.size()), ChecksumOf(bytes)};
      node.Put(copy.place, bytes);
      return copy;
    }
    if (source.offset.has_value()) {
      const std::string path = node.dir() / ("file" + std::to_string(bytes.size()));
      WriteAt(path, 0, TestBytes(99, *source.offset));
      WriteAt(path, *source.offset, bytes);
      return node.FileRecipe(path, *source.offset);
    }
    FillSynthetic(5, 0, bytes);
    Recipe recipe;
    recipe.kind = RecipeKind::kSynthetic;
    recipe.seed = 5;
    return recipe;
  }

  static constexpr uint64_t kFrom = 4096 * 3;
  static constexpr uint64_t kTo = 4096 * 600;
};

TEST_P(EveryPairTest, BytesChecksumAndPaddingAreRight) {
  TestNodeOptions options;
  options.uring = GetParam().uring;
  options.direct = GetParam().direct;
  TestNode node(options);
  for (const uint64_t size : kSizes) {
    ByteVector bytes = TestBytes(size, size);
    TransferSource source = MakeSource(node, bytes);
    const CopyPlace target = TestNode::Place(GetParam().target, kTo, size);
    const TransferOutcome outcome = node.Run(std::move(source), target, size);
    ASSERT_EQ(outcome.failure, TransferFailure::kNone) << outcome.status;
    EXPECT_EQ(outcome.checksum, ChecksumOf(bytes));
    ByteVector found = node.Get(target);
    const ByteVector padding(found.begin() + static_cast<ptrdiff_t>(size), found.end());
    found.resize(size);
    EXPECT_TRUE(found == bytes) << size << " B";
    if (target.pool != kHbm0 && target.pool != kHbm1) {
      EXPECT_EQ(padding, ByteVector(padding.size())) << size << " B";
    }
  }
  EXPECT_EQ(node.staging().free_count(), node.staging().buffer_count());
  EXPECT_EQ(node.engine().live_count(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Pairs, EveryPairTest, testing::ValuesIn(AllCases()), NameOf);

TEST(TransferEngineTest, UsesOfBothLinksAreMeasured) {
  TestNode node;
  const ByteVector bytes = TestBytes(1, 200'000);
  const CopySource source{TestNode::Place(kNvme1, 0, bytes.size()), ChecksumOf(bytes)};
  node.Put(source.place, bytes);
  const TransferOutcome outcome = node.Run(source, TestNode::Place(kHbm1, 0, 200'000), 200'000);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  ASSERT_EQ(outcome.uses.size(), 2u);
  std::set<std::string> names;
  for (const LinkUse& use : outcome.uses) {
    names.insert(node.links()[use.link.value()].name);
    EXPECT_EQ(use.bytes, 200'000u);
    EXPECT_EQ(use.cls, LinkClass::kDemand);
    EXPECT_GE(use.busy_us, use.latency_us);
    EXPECT_GE(use.latency_us, 0);
  }
  EXPECT_EQ(names, (std::set<std::string>{"nvme_dram1", "dram_hbm1"}));
}

TEST(TransferEngineTest, MoveWithinDramUsesNoLink) {
  TestNode node;
  const ByteVector bytes = TestBytes(1, 50'000);
  const CopySource source{TestNode::Place(kDram, 0, bytes.size()), ChecksumOf(bytes)};
  node.Put(source.place, bytes);
  const CopyPlace target = TestNode::Place(kDram, 1 << 20, 50'000);
  const TransferOutcome outcome = node.Run(source, target, 50'000);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_TRUE(outcome.uses.empty());
}

TEST(TransferEngineTest, ExtentIsDurableBeforeItsOutcome) {
  TestNode node;
  node.disk(kNvme0).gate.Close();
  Recipe recipe;
  recipe.kind = RecipeKind::kSynthetic;
  const Ticket ticket = node.Start(recipe, TestNode::Place(kNvme0, 0, 4096), 4096);
  ASSERT_TRUE(node.disk(kNvme0).gate.LetOneGo());  // the write
  ASSERT_TRUE(node.disk(kNvme0).gate.AwaitHeld(1));
  EXPECT_EQ(node.disk(kNvme0).syncs(), 1);
  EXPECT_FALSE(node.outcomes.Has(ticket));
  node.disk(kNvme0).gate.Open();
  EXPECT_TRUE(node.outcomes.Wait(ticket).status.ok());
}

// Many blocks of one file to every pool at once, through few staging buffers.
TEST(TransferEngineTest, ManyTransfersAtOnceAllArrive) {
  TestNodeOptions options;
  options.staging = KiB(256);
  TestNode node(options);
  constexpr uint64_t kBytes = 90'001;
  constexpr uint64_t kStride = 94'208;  // 23 pages
  constexpr int kBlocks = 100;
  const std::string path = node.dir() / "checkpoint";
  const ByteVector file = TestBytes(1, kBlocks * kBytes + 13);
  WriteAt(path, 0, file);
  std::vector<std::tuple<Ticket, CopyPlace, int>> started;
  const PoolId pools[] = {kDram, kHbm0, kNvme0, kHbm1, kNvme1};
  const LinkClass classes[] = {LinkClass::kDemand, LinkClass::kPrefetch, LinkClass::kRebalance};
  for (int i = 0; i < kBlocks; ++i) {
    const Recipe recipe = node.FileRecipe(path, 13 + i * kBytes);
    const CopyPlace place = TestNode::Place(pools[i % 5], kStride * i, kBytes);
    started.emplace_back(node.Start(recipe, place, kBytes, classes[i % 3]), place, i);
  }
  for (const auto& [ticket, place, i] : started) {
    const TransferOutcome outcome = node.outcomes.Wait(ticket);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    ByteVector found = node.Get(place);
    found.resize(kBytes);
    const auto begin = file.begin() + static_cast<ptrdiff_t>(13 + i * kBytes);
    EXPECT_TRUE(found == ByteVector(begin, begin + kBytes)) << "block " << i;
  }
  EXPECT_EQ(node.staging().free_count(), node.staging().buffer_count());
}

}  // namespace
}  // namespace residency
