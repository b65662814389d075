#include "core/free_space.h"

#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace residency {
namespace {

TEST(FreeSpaceTest, NeighboursMerge) {
  FreeSpace space;
  space.Add({10, 10});
  space.Add({30, 10});
  EXPECT_EQ(space.runs().size(), 2u);
  space.Add({20, 10});
  EXPECT_EQ(space.runs().size(), 1u);
  EXPECT_EQ(space.largest(), 30u);
  EXPECT_EQ(space.EndingAt(40), (Extent{10, 30}));
  EXPECT_EQ(space.EndingAt(39), std::nullopt);
}

TEST(FreeSpaceTest, TheSmallestRunThatFitsIsBest) {
  FreeSpace space;
  space.Add({0, 100});
  space.Add({200, 40});
  space.Add({300, 60});
  EXPECT_EQ(space.BestFit(50), (Extent{300, 60}));
  EXPECT_EQ(space.BestFit(40), (Extent{200, 40}));
  EXPECT_EQ(space.BestFit(101), std::nullopt);
}

TEST(FreeSpaceTest, AScanStopsAtItsBound) {
  FreeSpace space;
  for (uint64_t i = 0; i < 10; ++i) space.Add({i * 100, 10 + i});
  const auto is_large = [](Extent run) { return run.length == 15; };
  EXPECT_EQ(space.BestFitWhere(10, 6, is_large), (Extent{500, 15}));
  EXPECT_EQ(space.BestFitWhere(10, 5, is_large), std::nullopt);
}

TEST(FreeSpaceDeathTest, FreeingTwiceAndTakingWhatIsNotFreeAreCaught) {
  FreeSpace space;
  space.Add({10, 10});
  EXPECT_DEATH(space.Add({10, 10}), "freed twice");
  EXPECT_DEATH(space.Add({15, 2}), "freed twice");
  EXPECT_DEATH(space.Add({5, 6}), "freed twice");
  EXPECT_DEATH(space.Add({19, 5}), "freed twice");
  EXPECT_DEATH(space.Take({5, 6}), "not free");
  EXPECT_DEATH(space.Take({19, 2}), "not free");
  EXPECT_DEATH(space.Take({30, 1}), "not free");
}

// Against one flag for each byte.
TEST(FreeSpaceTest, AgreesWithABitmap) {
  constexpr uint64_t kSize = 200;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 rng(seed);
    FreeSpace space;
    std::vector<bool> free(kSize + 1, false);
    for (int op = 0; op < 500; ++op) {
      const uint64_t offset = rng() % kSize;
      const uint64_t length = 1 + rng() % std::min<uint64_t>(20, kSize - offset);
      bool all_free = true;
      bool none_free = true;
      for (uint64_t i = offset; i < offset + length; ++i) (free[i] ? none_free : all_free) = false;
      ASSERT_EQ(space.Contains({offset, length}), all_free);
      if (all_free || none_free) {
        all_free ? space.Take({offset, length}) : space.Add({offset, length});
        for (uint64_t i = offset; i < offset + length; ++i) free[i] = none_free;
      }
      uint64_t total = 0;
      uint64_t largest = 0;
      uint64_t runs = 0;
      uint64_t run = 0;
      for (uint64_t i = 0; i <= kSize; ++i) {
        run = free[i] ? run + 1 : 0;
        total += free[i];
        largest = std::max(largest, run);
        runs += free[i] && !free[i + 1];
      }
      ASSERT_EQ(space.total(), total);
      ASSERT_EQ(space.largest(), largest);
      ASSERT_EQ(space.runs().size(), runs);
    }
  }
}

}  // namespace
}  // namespace residency
