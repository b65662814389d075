#include "policy/activity.h"

#include "gtest/gtest.h"

namespace residency {
namespace {

constexpr Micros kHalfLife{60'000'000};
constexpr TimePoint kStart{Micros(5'000'000)};

TEST(ActivityTest, AModelInAStepIsActiveHoweverLongItTakes) {
  EXPECT_EQ(Activity(true, kStart, kStart + 100 * kHalfLife, kHalfLife), 1);
}

TEST(ActivityTest, BetweenStepsItStaysActiveForASecond) {
  EXPECT_EQ(Activity(false, kStart, kStart, kHalfLife), 1);
  EXPECT_EQ(Activity(false, kStart, kStart + kIdleAfter, kHalfLife), 1);
  EXPECT_LT(Activity(false, kStart, kStart + kIdleAfter + Micros(1'000), kHalfLife), 1);
}

TEST(ActivityTest, IdlenessHalvesItEveryHalfLife) {
  const TimePoint idle = kStart + kIdleAfter;
  EXPECT_DOUBLE_EQ(Activity(false, kStart, idle + kHalfLife, kHalfLife), 0.5);
  EXPECT_DOUBLE_EQ(Activity(false, kStart, idle + 3 * kHalfLife, kHalfLife), 0.125);
}

TEST(ActivityTest, ItOnlyFallsWhileIdle) {
  double before = 1;
  for (int second = 0; second < 600; ++second) {
    const double now =
        Activity(false, kStart, kStart + Micros(int64_t{1'000'000} * second), kHalfLife);
    EXPECT_LE(now, before);
    EXPECT_GT(now, 0);
    before = now;
  }
}

TEST(ActivityTest, ASignFromTheFutureAndNoHalfLifeAreHarmless) {
  EXPECT_EQ(Activity(false, kStart + kHalfLife, kStart, kHalfLife), 1);
  EXPECT_EQ(Activity(false, kStart, kStart + 2 * kIdleAfter, Micros(0)), 0);
}

}  // namespace
}  // namespace residency
