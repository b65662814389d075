// Copies in other encodings: which may be made, from what, how large they are in the end, and what
// they do and don't stand for.
#include "core/residency_table.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace residency {
namespace {

constexpr PoolId kHbm(0);
constexpr PoolId kDram(1);
constexpr PoolId kDisk(2);
constexpr SessionId kSession(5);
constexpr Recipe kSeeded{.kind = RecipeKind::kSynthetic, .file = FileId(), .offset = 0, .seed = 1};
constexpr Bytes kFull = KiB(64);
constexpr uint64_t kSum = 77;  // of the full bytes

std::vector<PoolOptions> Pools() {
  const auto pool = [](uint16_t id, Tier tier) {
    return PoolOptions{.id = PoolId(id),
                       .tier = tier,
                       .name = Name(tier),
                       .capacity = KiB(512),
                       .segment_bytes = KiB(128),
                       .alignment = KiB(4),
                       .domain_segments = tier != Tier::kNvme,
                       .lowbit = LowbitFormat::kInt8};
  };
  return {pool(0, Tier::kHbm), pool(1, Tier::kDram), pool(2, Tier::kNvme)};
}

class TableEncodingsTest : public testing::Test {
 protected:
  ~TableEncodingsTest() override { table_.CheckInvariants(); }

  BlockId Add(std::string name, Recipe recipe = kSeeded, ElementType element = ElementType::kBf16) {
    BlockSpec spec;
    spec.name = std::move(name);
    spec.bytes = kFull;
    spec.recipe = recipe;
    spec.element = element;
    return table_.AddBlock(model_, spec).value();
  }
  absl::StatusOr<TransferSpec> Begin(BlockId block, PoolId to, Encoding encoding,
                                     SlotId source = {}) {
    return table_.Begin({.block = block,
                         .to = to,
                         .encoding = encoding,
                         .purpose = Purpose::kDemand,
                         .drop = {},
                         .source = source,
                         .supply = {},
                         .supply_checksum = {}});
  }
  static TransferOutcome Outcome(const TransferSpec& spec, Bytes bytes = {}) {
    TransferOutcome outcome;
    outcome.ticket = spec.ticket;
    outcome.checksum = spec.encoding == Encoding::kFull ? kSum : 1000 + bytes.count();
    outcome.full_checksum = kSum;
    outcome.bytes = bytes.zero() ? spec.bytes : bytes;
    if (spec.measure) {
      outcome.facts = {.measured = true, .lowbit_error = 0.005f, .compressed_share = 0.67f};
    }
    return outcome;
  }
  SlotId Bring(BlockId block, PoolId to, Encoding encoding = Encoding::kFull, Bytes bytes = {}) {
    const auto spec = Begin(block, to, encoding);
    EXPECT_TRUE(spec.ok()) << spec.status();
    if (!spec.ok()) return {};
    const auto done = table_.Complete(Outcome(*spec, bytes), TimePoint());
    if (done->needs_commit) {
      EXPECT_TRUE(table_.Committed(done->slot, table_.copy(done->slot).generation, TimePoint()));
    }
    table_.CheckInvariants();
    return done->slot;
  }
  void Drop(SlotId slot) {
    const Generation generation = table_.copy(slot).generation;
    ASSERT_TRUE(table_.Retire(slot).ok());
    ASSERT_TRUE(table_.Reclaim(slot, generation).has_value());
  }

  ResidencyTable table_{Pools()};
  ModelId model_ = table_.AddModel(DomainId(1), "m", "f");
};

TEST_F(TableEncodingsTest, OnlyTheFirstSightOfABlockIsMeasured) {
  const BlockId block = Add("a");
  const auto first = Begin(block, kDram, Encoding::kFull);
  EXPECT_TRUE(first->measure);
  EXPECT_EQ(first->full_bytes, kFull);
  EXPECT_EQ(first->element, ElementType::kBf16);
  ASSERT_TRUE(table_.Complete(Outcome(*first), TimePoint()));
  EXPECT_TRUE(table_.block(block).facts.measured);
  EXPECT_FALSE(Begin(block, kHbm, Encoding::kFull)->measure);
  EXPECT_FALSE(Begin(Add("b", kSeeded, ElementType::kQuantized8), kDram, Encoding::kFull)->measure);
}

TEST_F(TableEncodingsTest, NeitherStateIsLegalBeforeTheBytesWereSeen) {
  const BlockId block = Add("a");
  for (const Encoding encoding : {Encoding::kLowbit, Encoding::kCompressed}) {
    const auto spec = Begin(block, kHbm, encoding);
    EXPECT_EQ(spec.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(spec.status().message()), testing::HasSubstr("not measured yet"));
  }
}

TEST_F(TableEncodingsTest, LowBitIsForHbmAlone) {
  const BlockId block = Add("a");
  Bring(block, kDram);
  EXPECT_EQ(Begin(block, kDram, Encoding::kLowbit).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Begin(block, kDisk, Encoding::kLowbit).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(TableEncodingsTest, ALowBitCopyTakesItsOwnBytesAndStandsForS1) {
  const BlockId block = Add("a");
  Bring(block, kDram);
  const auto spec = Begin(block, kHbm, Encoding::kLowbit);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->bytes, Bytes(8 * (256 + 4096)));
  EXPECT_EQ(spec->expected_checksum, kSum) << "of the full bytes, which pass by";
  EXPECT_EQ(table_.FlightOf(block)->to, ResidencyState::kS1LowbitHbm);
  const auto done = table_.Complete(Outcome(*spec), TimePoint());
  EXPECT_EQ(table_.State(block), ResidencyState::kS1LowbitHbm);
  EXPECT_EQ(table_.BytesOf(table_.copy(done->slot)), spec->bytes);
  EXPECT_EQ(table_.block(block).checksum, kSum) << "not that of the low-bit bytes";
  EXPECT_FALSE(table_.BestCopy(block, {.hbm_full = true}).valid());
  EXPECT_EQ(table_.BestCopy(block, {.hbm_lowbit = true}), done->slot);
}

TEST_F(TableEncodingsTest, ALowBitCopyIsASourceOfNothing) {
  const BlockId block = Add("a", kSeeded);
  const SlotId full = Bring(block, kDram);
  const SlotId lowbit = Bring(block, kHbm, Encoding::kLowbit);
  EXPECT_EQ(table_.ChooseSource(block, kHbm), full);
  EXPECT_EQ(Begin(block, kHbm, Encoding::kFull, lowbit).status().code(),
            absl::StatusCode::kFailedPrecondition);
  Drop(full);
  EXPECT_FALSE(table_.ChooseSource(block, kHbm).valid()) << "the recipe runs instead";
  const auto spec = Begin(block, kHbm, Encoding::kFull);
  ASSERT_TRUE(spec.ok());
  EXPECT_TRUE(std::holds_alternative<Recipe>(spec->source));
}

TEST_F(TableEncodingsTest, TheLastLosslessCopyIsKeptBesideALowBitOne) {
  const BlockId block = Add("a", {});
  auto begun = table_.Begin({.block = block,
                             .to = kDram,
                             .purpose = Purpose::kDemand,
                             .drop = {},
                             .supply = kSeeded,
                             .supply_checksum = {}});
  const SlotId full = table_.Complete(Outcome(*begun), TimePoint())->slot;
  const SlotId lowbit = Bring(block, kHbm, Encoding::kLowbit);
  EXPECT_FALSE(table_.Retire(full).ok());
  const SlotId compressed = Bring(block, kHbm, Encoding::kCompressed, KiB(48));
  Drop(full);
  EXPECT_FALSE(table_.Retire(compressed).ok()) << "lossless, and the last one";
  Drop(lowbit);
  EXPECT_EQ(table_.State(block), ResidencyState::kS2CompressedHbm);
}

TEST_F(TableEncodingsTest, RoomForACompressedCopyIsTrimmedToWhatItTook) {
  const BlockId block = Add("a");
  Bring(block, kDram);
  const auto spec = Begin(block, kHbm, Encoding::kCompressed);
  ASSERT_TRUE(spec.ok()) << spec.status();
  const Bytes estimate = spec->bytes;
  EXPECT_EQ(estimate.count(), spec->target.extent.length);
  EXPECT_EQ(table_.pool(kHbm).reserved(), estimate);
  const auto done = table_.Complete(Outcome(*spec, KiB(44)), TimePoint());
  EXPECT_LT(KiB(44), estimate);
  EXPECT_EQ(table_.pool(kHbm).used(), KiB(44));
  EXPECT_EQ(table_.pool(kHbm).reserved(), Bytes());
  EXPECT_EQ(table_.BytesOf(table_.copy(done->slot)), KiB(44));
  EXPECT_EQ(table_.State(block), ResidencyState::kS2CompressedHbm);
  EXPECT_EQ(table_.BytesIn(block, kDisk, Encoding::kCompressed), KiB(44)) << "exact from now on";
  EXPECT_FALSE(table_.BestCopy(block, {true, true, true}) == done->slot) << "served to nobody";
}

TEST_F(TableEncodingsTest, ACopyThatDidNotFitIsTriedAgainWithTheRightRoom) {
  const BlockId block = Add("a");
  Bring(block, kDram);
  const auto spec = Begin(block, kHbm, Encoding::kCompressed);
  ASSERT_TRUE(spec.ok());
  const Bytes takes = KiB(60);
  ASSERT_GT(takes, spec->bytes);
  ASSERT_TRUE(table_.Fail(spec->ticket).has_value());
  table_.Learn(block, {}, takes);
  EXPECT_EQ(table_.pool(kHbm).reserved(), Bytes());
  EXPECT_TRUE(table_.block(block).facts.measured) << "a failure without facts forgets none";
  const auto again = Begin(block, kHbm, Encoding::kCompressed);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->bytes, takes);
  ASSERT_TRUE(table_.Fail(again->ticket).has_value());
  table_.Learn(block, {}, KiB(64));
  EXPECT_THAT(std::string(Begin(block, kHbm, Encoding::kCompressed).status().message()),
              testing::HasSubstr("hardly be smaller"));
}

TEST_F(TableEncodingsTest, AFailedEncodingLeavesNothingBehind) {
  const BlockId block = Add("a");
  const SlotId full = Bring(block, kDram);
  const auto spec = Begin(block, kHbm, Encoding::kLowbit);
  EXPECT_TRUE(table_.IsSourceOfLive(full));
  EXPECT_FALSE(table_.Retire(full).ok());
  EXPECT_EQ(table_.Fail(spec->ticket)->source, full);
  EXPECT_EQ(table_.State(block), ResidencyState::kS3Dram);
  EXPECT_EQ(table_.pool(kHbm).free(), KiB(512));
}

TEST_F(TableEncodingsTest, TheNearestSourceIsTheOneThatNeedsNoTurning) {
  const BlockId block = Add("a");
  const SlotId dram = Bring(block, kDram);
  const SlotId small = Bring(block, kDram, Encoding::kCompressed, KiB(44));
  EXPECT_EQ(table_.ChooseSource(block, kDisk, Encoding::kCompressed), small);
  EXPECT_EQ(table_.ChooseSource(block, kDisk, Encoding::kFull), dram);
  EXPECT_EQ(table_.ChooseSource(block, kHbm, Encoding::kLowbit), dram) << "less to decode";
}

TEST_F(TableEncodingsTest, ACompressedCopyIsCopiedWithTheBytesThatItHas) {
  // Compressed by another version of the codec, the extent and what the block takes today differ.
  const BlockId block = Add("a");
  ASSERT_TRUE(
      table_.RestoreExtent(block, kDisk, {0, KiB(52).count()}, Encoding::kCompressed, 5).ok());
  table_.Learn(block, {}, KiB(44));
  const auto spec = Begin(block, kDram, Encoding::kCompressed);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(std::get<CopySource>(spec->source).bytes, KiB(52));
  EXPECT_EQ(spec->bytes, KiB(52));
  EXPECT_EQ(spec->target.extent.length, KiB(52).count()) << "or it would run over its neighbour";
  const auto done = table_.Complete(Outcome(*spec, KiB(52)), TimePoint());
  EXPECT_EQ(table_.BytesOf(table_.copy(done->slot)), KiB(52));
}

TEST_F(TableEncodingsTest, CompressedExtentsOutliveTheDaemon) {
  const BlockId block = Add("a", {});
  ASSERT_TRUE(
      table_.RestoreExtent(block, kDisk, {4096, KiB(48).count()}, Encoding::kCompressed, 5).ok());
  EXPECT_EQ(table_.State(block), ResidencyState::kS4Nvme);
  EXPECT_EQ(table_.BytesIn(block, kHbm, Encoding::kCompressed), KiB(48));
  EXPECT_EQ(table_.SuitsIn(block, kHbm, Encoding::kCompressed), Suitability::kSuits);
  const auto spec = Begin(block, kHbm, Encoding::kFull);
  ASSERT_TRUE(spec.ok()) << spec.status();
  const auto& source = std::get<CopySource>(spec->source);
  EXPECT_EQ(source.encoding, Encoding::kCompressed);
  EXPECT_EQ(source.checksum, 5u);
  EXPECT_FALSE(spec->expected_checksum.has_value()) << "an extent's checksum is not the block's";
  ASSERT_TRUE(table_.Complete(Outcome(*spec), TimePoint()));
  EXPECT_EQ(table_.block(block).checksum, kSum);
}

TEST_F(TableEncodingsTest, ExtentsThatNobodyCouldReadAreNotRestored) {
  const BlockId block = Add("a");
  EXPECT_FALSE(table_.RestoreExtent(block, kDisk, {0, 36864}, Encoding::kLowbit, 5).ok());
  const BlockId packed = Add("b", kSeeded, ElementType::kQuantizedSub8);
  EXPECT_FALSE(table_.RestoreExtent(packed, kDisk, {0, 36864}, Encoding::kCompressed, 5).ok());
  EXPECT_EQ(table_.pool(kDisk).used(), Bytes());
}

TEST_F(TableEncodingsTest, WhatAFullCopySupersedesGoesWithIt) {
  const BlockId block = Add("a");
  Bring(block, kDram);
  const SlotId lowbit = Bring(block, kHbm, Encoding::kLowbit);
  const SlotId compressed = Bring(block, kHbm, Encoding::kCompressed, KiB(44));
  const auto lease = table_.Grant(kSession, lowbit, LeaseMode::kRecallable, TimePoint());
  ASSERT_TRUE(lease.ok());
  const auto spec = table_.Begin({.block = block,
                                  .to = kHbm,
                                  .purpose = Purpose::kDemand,
                                  .drop = {lowbit, compressed},
                                  .supply = {},
                                  .supply_checksum = {}});
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(table_.FlightOf(block)->from, ResidencyState::kS1LowbitHbm);
  const auto done = table_.Complete(Outcome(*spec), TimePoint());
  EXPECT_THAT(done->retired, testing::ElementsAre(compressed)) << "a leased copy stays";
  EXPECT_EQ(table_.State(block), ResidencyState::kS0FullHbm);
  EXPECT_TRUE(table_.EndLease(kSession, *lease));
  Drop(lowbit);
}

}  // namespace
}  // namespace residency
