// The whole ladder with real bytes: a block walks every legal edge between its settled states, and
// whatever it passed through on the way, what an engine is served afterwards is what the checkpoint
// holds, or within the bound that a low-bit lease states.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/node_process.h"
#include "tests/integration/test_checkpoint.h"

namespace residency::testing {
namespace {

// Nothing moves but what the test asks for.
constexpr char kStill[] =
    "[policy]\nprefetch = false\nstage_dram = false\nstage_nvme = false\nlowbit = false\n";

const std::vector<int> kSettled = {0, 1, 2, 3, 4, 6};

class LadderTest : public ::testing::Test {
 protected:
  explicit LadderTest(NodeOptions options = Options()) : node_(std::move(options)) {}
  static NodeOptions Options() {
    NodeOptions options;
    options.extra = kStill;
    return options;
  }

  void SetUp() override {
    // Expert blocks of three pieces and a rest, so that every codec sees a short last piece.
    const std::string path = WriteTestCheckpoint(
        node_.directory(), "model.safetensors",
        {.layers = 1, .experts = 2, .expert_bytes = (3 << 20) + 98304, .seed = 7});
    node_.Start();
    engine_ = std::make_unique<EngineProcess>(node_.runtime_dir());
    ASSERT_EQ(engine_->Do("connect"), "ok");
    const std::string answer =
        engine_->Do(absl::StrCat("attach ", path, " 8000000 4000000 lowbit"));
    ASSERT_EQ(answer.substr(0, 3), "ok ") << answer;
    // Its bytes have to be seen once before it is known which encodings suit them.
    CheckServed("S0");
    Move("S6");
  }

  int State() { return node_.Block(name_).state() - 1; }

  // Up or down the ladder, to where `to` says.
  void Move(const std::string& to) {
    const int from = State();
    if (absl::StrCat("S", from) == to) return;
    const bool down = to[1] - '0' > from;
    int status = 0;
    const std::string said = node_.Ctl({down ? "demote" : "promote", name_, "--to", to}, &status);
    ASSERT_EQ(status, 0) << "from S" << from << " to " << to << ": " << said;
    // A superseded copy leaves a moment after the move was answered.
    ASSERT_TRUE(WaitFor([&] { return absl::StrCat("S", State()) == to; }))
        << "from S" << from << " to " << to << " ended in S" << State();
  }

  // Leases the block, compares its bytes and lets go. `state`: where it has to be then.
  void CheckServed(const std::string& state) {
    const std::string answer = engine_->Do("acquire " + name_);
    ASSERT_EQ(answer.substr(0, 3), "ok ") << answer;
    EXPECT_EQ(NumberIn(answer, "wrong"), 0u) << answer;
    EXPECT_EQ(NumberIn(answer, "lowbit"), state == "S1" ? 1u : 0u) << answer;
    ASSERT_EQ(engine_->Do("release"), "ok");
    EXPECT_EQ(absl::StrCat("S", State()), state);
  }

  static uint64_t CopiesHotterThan(const v1::BlockInfo& block, int state) {
    uint64_t count = 0;
    for (const v1::CopyInfo& copy : block.copies()) {
      const int of = copy.tier() == v1::TIER_DRAM   ? 3
                     : copy.tier() == v1::TIER_NVME ? 4
                                                    : copy.encoding() - v1::ENCODING_FULL;
      count += of < state ? 1 : 0;
    }
    return count;
  }

  // What status says is that of the last tick: the next one knows all that has been done.
  v1::GetStatusResponse FreshStatus() {
    const uint64_t ticks = node_.Status().ticks();
    EXPECT_TRUE(WaitFor([&] { return node_.Status().ticks() > ticks + 1; }));
    return node_.Status();
  }

  uint64_t FileBytesRead() {
    const v1::GetStatusResponse status = FreshStatus();
    for (const v1::LinkStatus& link : status.links()) {
      if (link.name() == "file_dram") {
        return link.demand_bytes() + link.prefetch_bytes() + link.rebalance_bytes();
      }
    }
    ADD_FAILURE() << "no link of files";
    return 0;
  }

  const v1::CopyInfo* CopyIn(const v1::BlockInfo& block, v1::Tier tier) {
    for (const v1::CopyInfo& copy : block.copies()) {
      if (copy.tier() == tier) return &copy;
    }
    return nullptr;
  }

  const std::string name_ = ExpertName(0, 0);
  NodeProcess node_;
  std::unique_ptr<EngineProcess> engine_;
};

TEST_F(LadderTest, EveryLegalEdgeKeepsTheBytes) {
  const v1::Counters before = FreshStatus().counters();
  uint64_t up = 0;
  uint64_t down = 0;
  const auto go = [&](int to) {
    const int from = State();
    if (from == to) return;
    // Every copy that is let go on the way down is a step of its own.
    const v1::BlockInfo block = node_.Block(name_);
    if (to > from) down += CopiesHotterThan(block, to);
    up += to < from ? 1 : 0;
    Move(absl::StrCat("S", to));
  };
  for (const int from : kSettled) {
    for (const int to : kSettled) {
      if (from == to) continue;
      SCOPED_TRACE(absl::StrCat("S", from, " -> S", to));
      go(6);
      go(from);
      go(to);
      if (HasFatalFailure()) return;
      // What is there is what it should be: directly where an engine can use it, else after the
      // way up, which no recipe takes where a copy is held.
      if (to == 1) CheckServed("S1");
      if (to == 6) continue;
      go(0);
      CheckServed("S0");
      if (HasFatalFailure()) return;
    }
  }
  const v1::Counters after = FreshStatus().counters();
  EXPECT_EQ(after.promotions() - before.promotions(), up);
  EXPECT_EQ(after.demotions() - before.demotions(), down);
  EXPECT_EQ(after.checksum_failures(), 0u);
  EXPECT_EQ(after.lost_blocks(), 0u);
}

TEST_F(LadderTest, StatesOfHbmAreHeldInTheirEncodings) {
  const uint64_t full = node_.Block(name_).bytes();
  Move("S1");
  v1::BlockInfo block = node_.Block(name_);
  ASSERT_EQ(block.copies_size(), 1);
  EXPECT_EQ(block.copies(0).encoding(), v1::ENCODING_LOWBIT);
  EXPECT_LT(block.copies(0).length(), full * 6 / 10);
  EXPECT_EQ(block.lowbit(), "eligible");
  EXPECT_GT(block.lowbit_error(), 0.001f);
  EXPECT_LT(block.lowbit_error(), 0.02f);
  Move("S2");
  block = node_.Block(name_);
  ASSERT_EQ(block.copies_size(), 1);
  EXPECT_EQ(block.copies(0).encoding(), v1::ENCODING_COMPRESSED);
  EXPECT_LT(block.copies(0).length(), full * 7 / 10);
  EXPECT_GT(block.compression_ratio(), 1.4f);
}

// A lossless copy alone, without its checkpoint, brings every other state.
TEST_F(LadderTest, ACompressedCopyIsSourceEnough) {
  for (const int state : {0, 1, 3, 4}) {
    SCOPED_TRACE(absl::StrCat("S2 -> S", state));
    Move("S6");
    Move("S2");
    const uint64_t read = FileBytesRead();
    Move(absl::StrCat("S", state));
    EXPECT_EQ(FileBytesRead(), read) << "the checkpoint was read";
    if (HasFatalFailure()) return;
  }
}

class CompressedPoolsTest : public LadderTest {
 protected:
  CompressedPoolsTest() : LadderTest(CompressedOptions()) {}
  static NodeOptions CompressedOptions() {
    NodeOptions options = Options();
    options.dram_extra = "compressed = true\n";
    options.nvme_extra = "compressed = true\n";
    return options;
  }
};

TEST_F(CompressedPoolsTest, DramAndDiskHoldMoreBlocksPerByte) {
  const uint64_t full = node_.Block(name_).bytes();
  for (const auto& [state, tier] :
       {std::pair("S3", v1::TIER_DRAM), std::pair("S4", v1::TIER_NVME)}) {
    SCOPED_TRACE(state);
    Move("S6");
    Move(state);
    const v1::BlockInfo block = node_.Block(name_);
    const v1::CopyInfo* const copy = CopyIn(block, tier);
    ASSERT_NE(copy, nullptr);
    EXPECT_EQ(copy->encoding(), v1::ENCODING_COMPRESSED);
    EXPECT_LT(copy->length(), full * 7 / 10);
    Move("S0");
    CheckServed("S0");
  }
}

TEST_F(CompressedPoolsTest, ACompressedExtentOutlivesTheDaemon) {
  Move("S4");
  const uint64_t checksum = node_.Block(name_).copies(0).checksum();
  node_.Kill();
  node_.Start();
  const v1::BlockInfo block = node_.Block(name_);
  ASSERT_EQ(block.copies_size(), 1);
  EXPECT_EQ(block.copies(0).encoding(), v1::ENCODING_COMPRESSED);
  EXPECT_EQ(block.copies(0).checksum(), checksum);
  // The engine reconnects and is served from the extent.
  CheckServed("S0");
}

}  // namespace
}  // namespace residency::testing
