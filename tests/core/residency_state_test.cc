#include "core/residency_state.h"

#include <string>

#include "gtest/gtest.h"

namespace residency {
namespace {

// The ladder as people wrote it down, row by row: m move, v move via the staging ring, d drop or
// write, x drop everything, r recipe, s recipe via the staging ring, - none. S5 is not settled.
constexpr const char* kLadder[kStateCount] = {
    /*       0123456 */
    /* S0 */ "-mmdd-x",
    /* S1 */ "m-mdd-x",
    /* S2 */ "mm-dd-x",
    /* S3 */ "mmm-d-x",
    /* S4 */ "vvvm--x",
    /* S5 */ "-------",
    /* S6 */ "sssrr--",
};

char Letter(EdgeKind kind) {
  switch (kind) {
    case EdgeKind::kNone:
      return '-';
    case EdgeKind::kMove:
      return 'm';
    case EdgeKind::kMoveViaRing:
      return 'v';
    case EdgeKind::kDropOrWrite:
      return 'd';
    case EdgeKind::kDrop:
      return 'x';
    case EdgeKind::kRecipe:
      return 'r';
    case EdgeKind::kRecipeViaRing:
      return 's';
  }
  return '?';
}

ResidencyState S(int number) { return static_cast<ResidencyState>(number); }
constexpr int kS5 = 5;

TEST(ResidencyStateTest, AllFortyNineEdgesAreThoseOfTheLadder) {
  for (int from = 0; from < kStateCount; ++from) {
    for (int to = 0; to < kStateCount; ++to) {
      EXPECT_EQ(Letter(EdgeBetween(S(from), S(to))), kLadder[from][to])
          << Name(S(from)) << " to " << Name(S(to));
    }
  }
}

TEST(ResidencyStateTest, BetweenSettledStatesWhatHasAnEdgeIsLegal) {
  for (int from = 0; from < kStateCount; ++from) {
    for (int to = 0; to < kStateCount; ++to) {
      if (from == kS5 || to == kS5) continue;
      EXPECT_EQ(IsLegalEdge(S(from), S(to)), from != to) << from << " to " << to;
    }
  }
}

TEST(ResidencyStateTest, AnySettledStateMayEnterS5) {
  for (int from = 0; from < kStateCount; ++from) {
    if (from == kS5) continue;
    EXPECT_TRUE(IsLegalEdge(S(from), S(kS5)));
    EXPECT_TRUE(IsSettled(S(from)));
  }
  EXPECT_FALSE(IsSettled(S(kS5)));
}

TEST(ResidencyStateTest, S5IsLeftOnlyForOneOfItsEnds) {
  for (int from = 0; from < kStateCount; ++from) {
    for (int to = 0; to < kStateCount; ++to) {
      if (from == kS5 || to == kS5) continue;
      const InFlight live{S(from), S(to)};
      for (int next = 0; next < kStateCount; ++next) {
        EXPECT_EQ(IsLegalEdge(S(kS5), S(next), live), next == from || next == to)
            << "in flight from " << from << " to " << to << ", then " << next;
        EXPECT_FALSE(IsLegalEdge(S(kS5), S(next))) << "nothing is in flight";
      }
    }
  }
}

TEST(ResidencyStateTest, ACopyStandsForOneSettledState) {
  EXPECT_EQ(StateOf(Tier::kHbm, Encoding::kFull), ResidencyState::kS0FullHbm);
  EXPECT_EQ(StateOf(Tier::kHbm, Encoding::kLowbit), ResidencyState::kS1LowbitHbm);
  EXPECT_EQ(StateOf(Tier::kHbm, Encoding::kCompressed), ResidencyState::kS2CompressedHbm);
  for (const Encoding encoding : {Encoding::kFull, Encoding::kLowbit, Encoding::kCompressed}) {
    EXPECT_EQ(StateOf(Tier::kDram, encoding), ResidencyState::kS3Dram);
    EXPECT_EQ(StateOf(Tier::kNvme, encoding), ResidencyState::kS4Nvme);
  }
}

TEST(ResidencyStateTest, PromotionGoesToALowerNumber) {
  EXPECT_TRUE(IsPromotion(ResidencyState::kS3Dram, ResidencyState::kS0FullHbm));
  EXPECT_FALSE(IsPromotion(ResidencyState::kS0FullHbm, ResidencyState::kS6Recomputable));
  for (int s = 0; s < kStateCount; ++s) {
    EXPECT_EQ(std::string(Name(S(s))), "S" + std::to_string(s));
  }
}

}  // namespace
}  // namespace residency
