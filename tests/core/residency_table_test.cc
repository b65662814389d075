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

std::vector<PoolOptions> Pools() {
  const auto pool = [](uint16_t id, Tier tier) {
    return PoolOptions{.id = PoolId(id),
                       .tier = tier,
                       .name = Name(tier),
                       .capacity = KiB(256),
                       .segment_bytes = KiB(64),
                       .alignment = KiB(4),
                       .domain_segments = tier != Tier::kNvme};
  };
  return {pool(0, Tier::kHbm), pool(1, Tier::kDram), pool(2, Tier::kNvme)};
}

class ResidencyTableTest : public testing::Test {
 protected:
  ~ResidencyTableTest() override { table_.CheckInvariants(); }

  BlockSpec Spec(std::string name, Recipe recipe = {}) {
    BlockSpec spec;
    spec.name = std::move(name);
    spec.bytes = KiB(16);
    spec.recipe = recipe;
    return spec;
  }
  BlockId Add(std::string name, Recipe recipe = {}) {
    const auto id = table_.AddBlock(model_, Spec(std::move(name), recipe));
    EXPECT_TRUE(id.ok()) << id.status();
    return id.ok() ? *id : BlockId();
  }
  absl::StatusOr<TransferSpec> Begin(BlockId block, PoolId to, std::vector<SlotId> drop = {}) {
    Transition transition;
    transition.block = block;
    transition.to = to;
    transition.purpose = Purpose::kDemand;
    transition.drop = std::move(drop);
    if (!table_.block(block).CanRecompute() &&
        table_.SettledState(block) == ResidencyState::kS6Recomputable) {
      transition.supply = kSeeded;
    }
    return table_.Begin(transition);
  }
  SlotId Bring(BlockId block, PoolId to) {
    const auto spec = Begin(block, to);
    EXPECT_TRUE(spec.ok()) << spec.status();
    const auto done =
        table_.Complete({.ticket = spec->ticket, .status = {}, .checksum = 77}, TimePoint());
    if (done->needs_commit) {
      EXPECT_TRUE(table_.Committed(done->slot, table_.copy(done->slot).generation, TimePoint())
                      .has_value());
    }
    return done->slot;
  }
  Generation GenerationOf(SlotId slot) { return table_.copy(slot).generation; }

  ResidencyTable table_{Pools()};
  ModelId model_ = table_.AddModel(DomainId(1), "m", "f");
};

TEST_F(ResidencyTableTest, RegistrationIsIdempotentByName) {
  const BlockId a = Add("a");
  EXPECT_EQ(Add("a"), a);
  EXPECT_EQ(table_.block_count(), 1u);
  EXPECT_EQ(table_.AddModel(DomainId(1), "again", "f"), model_);
  EXPECT_NE(table_.AddModel(DomainId(2), "m", "f"), model_) << "another domain's model";
  BlockSpec other = Spec("a");
  other.bytes = KiB(8);
  EXPECT_EQ(table_.AddBlock(model_, other).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ResidencyTableTest, ABadSpecIsRefusedNamingTheField) {
  const auto refusal = [&](auto change) {
    BlockSpec spec = Spec("bad");
    change(spec);
    const auto refused = table_.AddBlock(model_, spec);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(refused.status().message());
  };
  using testing::HasSubstr;
  EXPECT_THAT(refusal([](BlockSpec& s) { s.name = ""; }), HasSubstr("name"));
  EXPECT_THAT(refusal([](BlockSpec& s) { s.name = std::string(256, 'x'); }), HasSubstr("name"));
  EXPECT_THAT(refusal([](BlockSpec& s) { s.bytes = Bytes(0); }), HasSubstr("bytes"));
  EXPECT_THAT(refusal([](BlockSpec& s) { s.bytes = GiB(65); }), HasSubstr("bytes"));
  EXPECT_THAT(refusal([](BlockSpec& s) { s.layer = -2; }), HasSubstr("layer"));
  EXPECT_THAT(refusal([](BlockSpec& s) { s.expert = 1 << 20; }), HasSubstr("expert"));
  EXPECT_THAT(refusal([](BlockSpec& s) { s.criticality = 1.5f; }), HasSubstr("criticality"));
  EXPECT_THAT(refusal([](BlockSpec& s) { s.sensitivity = -0.5f; }), HasSubstr("sensitivity"));
  EXPECT_THAT(refusal([](BlockSpec& s) {
                s.recipe = {
                    .kind = RecipeKind::kFileRange, .file = FileId(0), .offset = ~0ull, .seed = 0};
              }),
              HasSubstr("recipe"));
  EXPECT_THAT(refusal([](BlockSpec& s) { s.layout = std::string(300, 'x'); }), HasSubstr("layout"));
  EXPECT_EQ(table_.block_count(), 0u);
}

TEST_F(ResidencyTableTest, AnAliasLeadsToItsRootInTheSameDomainOnly) {
  const BlockId root = Add("root");
  BlockSpec alias = Spec("alias");
  alias.alias_of = root;
  const ModelId sibling = table_.AddModel(DomainId(1), "m2", "f2");
  EXPECT_EQ(*table_.AddBlock(sibling, alias), root);
  EXPECT_EQ(*table_.AddBlock(sibling, alias), root);
  EXPECT_EQ(table_.block_count(), 1u);
  const ModelId foreign = table_.AddModel(DomainId(2), "m", "f");
  EXPECT_EQ(table_.AddBlock(foreign, alias).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ResidencyTableTest, BlocksAreFoundByLayerAndExpert) {
  EXPECT_EQ(table_.model(model_).layers(), 0);
  BlockSpec up = Spec("up");
  up.layer = 3;
  up.expert = 2;
  BlockSpec down = up;
  down.name = "down";
  const BlockId first = *table_.AddBlock(model_, up);
  const BlockId second = *table_.AddBlock(model_, down);
  const Model& model = table_.model(model_);
  EXPECT_EQ(model.layers(), 4);
  EXPECT_EQ(model.experts_of(3), 3);
  EXPECT_EQ(model.experts_of(2), 0) << "a layer without blocks";
  EXPECT_EQ(model.FirstAt(3, 2), second);
  EXPECT_EQ(table_.block(second).next_sibling, first);
  EXPECT_FALSE(model.FirstAt(3, 1).valid());
  EXPECT_FALSE(model.FirstAt(9, 9).valid());
}

TEST_F(ResidencyTableTest, ABlockIsInS5WhileAnAddWillChangeItsState) {
  const BlockId block = Add("a", kSeeded);
  EXPECT_EQ(table_.State(block), ResidencyState::kS6Recomputable);
  const auto spec = Begin(block, kHbm);
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(table_.State(block), ResidencyState::kS5InFlight);
  EXPECT_EQ(table_.FlightOf(block)->to, ResidencyState::kS0FullHbm);
  const auto done =
      table_.Complete({.ticket = spec->ticket, .status = {}, .checksum = 1}, TimePoint());
  EXPECT_EQ(table_.State(block), ResidencyState::kS0FullHbm);
  EXPECT_TRUE(done->change.promotion());
  // Colder than what it has: a stage, no change of state.
  const auto stage = Begin(block, kDram);
  EXPECT_EQ(table_.State(block), ResidencyState::kS0FullHbm);
  EXPECT_TRUE(
      table_.Complete({.ticket = stage->ticket, .status = {}, .checksum = 1}, TimePoint())->stage);
}

TEST_F(ResidencyTableTest, AFailedTransitionLeavesNothingBehind) {
  const BlockId block = Add("a", kSeeded);
  const auto spec = Begin(block, kHbm);
  EXPECT_EQ(table_.pool(kHbm).reserved(), KiB(16));
  EXPECT_EQ(table_.Fail(spec->ticket)->block, block);
  EXPECT_EQ(table_.pool(kHbm).reserved(), Bytes());
  EXPECT_EQ(table_.State(block), ResidencyState::kS6Recomputable);
  EXPECT_FALSE(table_.Complete({.ticket = spec->ticket, .status = {}, .checksum = 1}, TimePoint())
                   .has_value());
  EXPECT_EQ(table_.stale_tickets(), 1u);
}

TEST_F(ResidencyTableTest, OnlyOneTransitionOfABlockIsLive) {
  const BlockId block = Add("a", kSeeded);
  ASSERT_TRUE(Begin(block, kHbm).ok());
  EXPECT_EQ(Begin(block, kDram).status().code(), absl::StatusCode::kFailedPrecondition);
  Transition unknown;
  unknown.block = BlockId(99);
  unknown.to = kHbm;
  EXPECT_EQ(table_.Begin(unknown).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ResidencyTableTest, WithoutCopyRecipeOrSupplyNothingBegins) {
  const BlockId block = Add("a");
  Transition transition;
  transition.block = block;
  transition.to = kHbm;
  EXPECT_EQ(table_.Begin(transition).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(table_.IsLost(block)) << "it never had any bytes";
}

TEST_F(ResidencyTableTest, EncodingsThatNobodyMeasuredAreNoStates) {
  const BlockId block = Add("a", kSeeded);
  for (const Encoding encoding : {Encoding::kLowbit, Encoding::kCompressed}) {
    Transition transition;
    transition.block = block;
    transition.to = kHbm;
    transition.encoding = encoding;
    EXPECT_EQ(table_.Begin(transition).status().code(), absl::StatusCode::kFailedPrecondition);
  }
}

TEST_F(ResidencyTableTest, LeasedCopyIsNeverDropped) {
  const BlockId block = Add("a", kSeeded);
  const SlotId slot = Bring(block, kHbm);
  const auto lease = table_.Grant(kSession, slot, LeaseMode::kPinned, TimePoint());
  ASSERT_TRUE(lease.ok());
  EXPECT_THAT(std::string(table_.Retire(slot).message()), testing::HasSubstr("leased"));
  EXPECT_FALSE(table_.Reclaim(slot, GenerationOf(slot)).has_value());
  ASSERT_TRUE(table_.EndLease(kSession, *lease));
  EXPECT_TRUE(table_.Retire(slot).ok());
  EXPECT_FALSE(table_.Grant(kSession, slot, LeaseMode::kPinned, TimePoint()).ok());
  const auto change = table_.Reclaim(slot, GenerationOf(slot));
  ASSERT_TRUE(change.has_value());
  EXPECT_TRUE(change->demotion());
  EXPECT_EQ(change->to, ResidencyState::kS6Recomputable);
}

TEST_F(ResidencyTableTest, LastLosslessCopyWithoutRecipeIsNeverDropped) {
  const BlockId block = Add("a");
  const SlotId hbm = Bring(block, kHbm);
  EXPECT_THAT(std::string(table_.Retire(hbm).message()), testing::HasSubstr("last lossless"));
  const SlotId dram = Bring(block, kDram);
  EXPECT_TRUE(table_.Retire(hbm).ok());
  EXPECT_FALSE(table_.Retire(dram).ok());
}

TEST_F(ResidencyTableTest, ARetiringCopyThatBecameTheLastLivesAgain) {
  const BlockId block = Add("a");
  const SlotId hbm = Bring(block, kHbm);
  const SlotId dram = Bring(block, kDram);
  ASSERT_TRUE(table_.Retire(dram).ok());
  table_.Quarantine(hbm);
  EXPECT_FALSE(table_.IsLost(block));
  EXPECT_FALSE(table_.Reclaim(dram, GenerationOf(dram)).has_value());
  EXPECT_EQ(table_.copy(dram).status, CopyStatus::kLive);
  EXPECT_EQ(table_.State(block), ResidencyState::kS3Dram);
}

TEST_F(ResidencyTableTest, ARetiringCopyLivesAgainWhenItsRecipeBroke) {
  const BlockId block =
      Add("a", {.kind = RecipeKind::kFileRange, .file = FileId(4), .offset = 0, .seed = 0});
  const SlotId slot = Bring(block, kDram);
  ASSERT_TRUE(table_.Retire(slot).ok());
  EXPECT_EQ(table_.BreakRecipes(FileId(4)), 1);
  EXPECT_FALSE(table_.Reclaim(slot, GenerationOf(slot)).has_value());
  EXPECT_EQ(table_.State(block), ResidencyState::kS3Dram);
}

TEST_F(ResidencyTableTest, WhatIsDroppedAfterAnAddIsNeverAnothersCopy) {
  const BlockId a = Add("a", kSeeded);
  const BlockId b = Add("b", kSeeded);
  const SlotId hot = Bring(a, kHbm);
  Bring(a, kDram);
  const auto move = Begin(a, kDisk, {hot});
  ASSERT_TRUE(move.ok());
  // While it runs, the copy goes for another reason and its slot comes to belong to b.
  ASSERT_TRUE(table_.Retire(hot).ok());
  ASSERT_TRUE(table_.Reclaim(hot, GenerationOf(hot)).has_value());
  ASSERT_EQ(Bring(b, kHbm), hot);
  EXPECT_TRUE(table_.Complete({.ticket = move->ticket, .status = {}, .checksum = 1}, TimePoint())
                  ->retired.empty());
  EXPECT_EQ(table_.copy(hot).status, CopyStatus::kLive);
}

TEST_F(ResidencyTableTest, TotalsStayRightWhenACompletionDropsTheHottestCopy) {
  const BlockId block = Add("a", kSeeded);
  const SlotId hot = Bring(block, kHbm);
  const auto move = Begin(block, kDram, {hot});
  const auto done =
      table_.Complete({.ticket = move->ticket, .status = {}, .checksum = 77}, TimePoint());
  EXPECT_THAT(done->retired, testing::ElementsAre(hot));
  EXPECT_TRUE(done->change.demotion());
  const auto& totals = table_.state_totals();
  EXPECT_EQ(totals[static_cast<int>(ResidencyState::kS3Dram)].blocks, 1u);
  EXPECT_EQ(totals[static_cast<int>(ResidencyState::kS0FullHbm)].blocks, 0u);
}

TEST_F(ResidencyTableTest, TheSourceOfALiveTransitionStays) {
  const BlockId block = Add("a", kSeeded);
  const SlotId dram = Bring(block, kDram);
  const auto spec = Begin(block, kHbm);
  ASSERT_TRUE(std::holds_alternative<CopySource>(spec->source));
  EXPECT_EQ(std::get<CopySource>(spec->source).checksum, 77u);
  EXPECT_EQ(spec->expected_checksum, 77u);
  EXPECT_THAT(std::string(table_.Retire(dram).message()), testing::HasSubstr("source"));
  table_.Quarantine(dram);
  EXPECT_FALSE(table_.Reclaim(dram, GenerationOf(dram)).has_value());
  ASSERT_TRUE(table_.Fail(spec->ticket).has_value());
  EXPECT_TRUE(table_.Reclaim(dram, GenerationOf(dram)).has_value());
}

TEST_F(ResidencyTableTest, MemoryIsANearerSourceThanDisk) {
  const BlockId block = Add("a", kSeeded);
  const SlotId disk = Bring(block, kDisk);
  EXPECT_EQ(table_.ChooseSource(block, kHbm), disk);
  const SlotId dram = Bring(block, kDram);
  EXPECT_EQ(table_.ChooseSource(block, kHbm), dram);
  EXPECT_EQ(table_.ChooseSource(block, kDram), disk);
}

TEST_F(ResidencyTableTest, AnExtentCountsOnlyOnceTheCatalogueHasIt) {
  const BlockId block = Add("a");
  const SlotId dram = Bring(block, kDram);
  const auto spec = Begin(block, kDisk, {dram});
  const auto done =
      table_.Complete({.ticket = spec->ticket, .status = {}, .checksum = 77}, TimePoint());
  EXPECT_TRUE(done->needs_commit);
  EXPECT_TRUE(done->retired.empty()) << "a crash now would lose the block";
  EXPECT_FALSE(table_.Retire(dram).ok());
  ASSERT_TRUE(table_.Committed(done->slot, GenerationOf(done->slot), TimePoint()).has_value());
  EXPECT_TRUE(table_.Retire(dram).ok());
  EXPECT_FALSE(table_.Committed(done->slot, GenerationOf(done->slot), TimePoint()).has_value());
}

TEST_F(ResidencyTableTest, ABlockPutStraightToDiskIsNotLostWhileItsRowIsWritten) {
  const BlockId block = Add("a");
  const auto spec = Begin(block, kDisk);
  const auto done =
      table_.Complete({.ticket = spec->ticket, .status = {}, .checksum = 77}, TimePoint());
  EXPECT_FALSE(table_.IsLost(block));
  EXPECT_EQ(table_.State(block), ResidencyState::kS5InFlight);
  table_.Abandon(done->slot);
  EXPECT_TRUE(table_.IsLost(block));
  EXPECT_EQ(table_.pool(kDisk).used(), Bytes());
}

TEST_F(ResidencyTableTest, ACopyStillHeldLivesAgain) {
  const BlockId block = Add("a", kSeeded);
  const SlotId slot = Bring(block, kHbm);
  ASSERT_TRUE(table_.Retire(slot).ok());
  EXPECT_EQ(table_.State(block), ResidencyState::kS6Recomputable);
  EXPECT_FALSE(table_.StillHeld(slot, Generation(GenerationOf(slot).value() + 1)));
  EXPECT_TRUE(table_.StillHeld(slot, GenerationOf(slot)));
  EXPECT_EQ(table_.State(block), ResidencyState::kS0FullHbm);
}

TEST_F(ResidencyTableTest, ABadCopyRevokesItsLeasesAndItsMemoryWaitsForThem) {
  const BlockId block = Add("a", kSeeded);
  const SlotId slot = Bring(block, kHbm);
  const auto lease = table_.Grant(kSession, slot, LeaseMode::kRecallable, TimePoint());
  EXPECT_THAT(table_.Quarantine(slot), testing::ElementsAre(*lease));
  EXPECT_TRUE(table_.FindLease(*lease)->revoked);
  EXPECT_EQ(table_.State(block), ResidencyState::kS6Recomputable);
  EXPECT_FALSE(table_.BestCopy(block, AcceptMask()).valid());
  EXPECT_FALSE(table_.Reclaim(slot, GenerationOf(slot)).has_value());
  EXPECT_EQ(table_.leased_bytes(kHbm), KiB(16));
  EXPECT_FALSE(Begin(block, kHbm).ok()) << "the bad copy is still there";
  EXPECT_TRUE(table_.EndLease(kSession, *lease));
  EXPECT_TRUE(table_.Reclaim(slot, GenerationOf(slot)).has_value());
  EXPECT_EQ(table_.pool(kHbm).used(), Bytes());
}

TEST_F(ResidencyTableTest, TheHottestAcceptableCopyIsServed) {
  const BlockId block = Add("a", kSeeded);
  const SlotId dram = Bring(block, kDram);
  EXPECT_FALSE(table_.BestCopy(block, AcceptMask()).valid());
  EXPECT_EQ(table_.BestCopy(block, {.host_full = true}), dram);
  const SlotId hbm = Bring(block, kHbm);
  EXPECT_EQ(table_.BestCopy(block, {.host_full = true}), hbm);
}

TEST_F(ResidencyTableTest, AFullPoolIsResourceExhausted) {
  for (int i = 0; i < 16; ++i) Bring(Add("b" + std::to_string(i), kSeeded), kHbm);
  const auto refused = Begin(Add("one more", kSeeded), kHbm);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(ResidencyTableTest, ABrokenRecipeIsRenewedByRegisteringAgain) {
  const Recipe recipe{.kind = RecipeKind::kFileRange, .file = FileId(4), .offset = 0, .seed = 0};
  const BlockId block = Add("a", recipe);
  EXPECT_EQ(table_.BreakRecipes(FileId(4)), 1);
  EXPECT_EQ(table_.BreakRecipes(FileId(4)), 0) << "broken already";
  EXPECT_TRUE(table_.IsLost(block));
  EXPECT_EQ(Add("a", recipe), block);
  EXPECT_FALSE(table_.IsLost(block));
}

TEST_F(ResidencyTableTest, WhatTheCatalogueRemembersIsLiveAgain) {
  const BlockId block = Add("a");
  const Extent extent{4096, KiB(16).count()};
  EXPECT_TRUE(table_.RestoreExtent(block, kDisk, extent, Encoding::kFull, 9).ok());
  EXPECT_EQ(table_.State(block), ResidencyState::kS4Nvme);
  EXPECT_EQ(table_.block(block).checksum, 9u);
  EXPECT_EQ(table_.RestoreExtent(block, kDisk, extent, Encoding::kFull, 9).code(),
            absl::StatusCode::kAlreadyExists);
  const BlockId other = Add("b");
  EXPECT_EQ(table_.RestoreExtent(other, kDisk, extent, Encoding::kFull, 9).code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(table_.RestoreExtent(other, kDisk, {0, 4096}, Encoding::kFull, 9).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(table_.RestoreExtent(other, PoolId(7), extent, Encoding::kFull, 9).code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(table_.RestoreExtent(BlockId(44), kDisk, extent, Encoding::kFull, 9).code(),
            absl::StatusCode::kNotFound);
}

TEST_F(ResidencyTableTest, UnpinningWhatIsNotPinnedDoesNothing) {
  const BlockId block = Add("a");
  table_.Unpin(block);
  EXPECT_EQ(table_.block(block).pins, 0u);
  table_.Pin(block);
  table_.Unpin(block);
  EXPECT_EQ(table_.block(block).pins, 0u);
}

}  // namespace
}  // namespace residency
