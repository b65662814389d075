#include "policy/access_history.h"

#include <cmath>
#include <random>

#include "gtest/gtest.h"

namespace residency {
namespace {

constexpr BlockId kBlock(7);

// The definition: a weighted sum over all uses, the latest first.
double ClosedForm(const std::vector<uint64_t>& uses, uint64_t now, const PolicyConfig& config) {
  const double fast = std::exp2(-1 / config.rho_fast_half_life_visits);
  const double slow = std::exp2(-1 / config.rho_slow_half_life_visits);
  double sum_fast = 0;
  double sum_slow = 0;
  for (const uint64_t use : uses) {
    sum_fast += (1 - fast) * std::pow(fast, static_cast<double>(now - use));
    sum_slow += (1 - slow) * std::pow(slow, static_cast<double>(now - use));
  }
  return config.rho_fast_weight * sum_fast + (1 - config.rho_fast_weight) * sum_slow;
}

TEST(AccessHistoryTest, WhatWasNeverUsedIsNotExpected) {
  const AccessHistory history{PolicyConfig()};
  EXPECT_EQ(history.Reuse(kBlock, 100), 0);
}

TEST(AccessHistoryTest, LazyDecayEqualsTheClosedForm) {
  const PolicyConfig config;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 rng(seed);
    AccessHistory history(config);
    std::vector<uint64_t> uses;
    uint64_t step = rng() % 1000;
    for (int i = 0; i < 200; ++i) {
      step += 1 + (rng() % 3 == 0 ? rng() % 20 : 0);
      history.OnAccess(kBlock, step);
      uses.push_back(step);
      const uint64_t now = step + rng() % 10;
      ASSERT_NEAR(history.Reuse(kBlock, now), ClosedForm(uses, now, config), 1e-5);
    }
  }
}

TEST(AccessHistoryTest, UseAtEveryStepTendsToOne) {
  AccessHistory history{PolicyConfig()};
  double before = 0;
  for (uint64_t step = 0; step < 1000; ++step) {
    history.OnAccess(kBlock, step);
    const double now = history.Reuse(kBlock, step);
    EXPECT_GE(now, before - 1e-6);
    EXPECT_LE(now, 1 + 1e-5);
    before = now;
  }
  EXPECT_NEAR(before, 1, 1e-4);
}

TEST(AccessHistoryTest, RepeatedUseWithinAStepCountsOnce) {
  AccessHistory history{PolicyConfig()};
  history.OnAccess(kBlock, 3);
  const double once = history.Reuse(kBlock, 3);
  for (int i = 0; i < 50; ++i) history.OnAccess(kBlock, 3);
  EXPECT_EQ(history.Reuse(kBlock, 3), once);
}

TEST(AccessHistoryTest, AnEngineThatCountsItsStepsAnewIsStillHeard) {
  AccessHistory history{PolicyConfig()};
  for (uint64_t step = 1'000'000; step < 1'000'050; ++step) history.OnAccess(kBlock, step);
  const double before = history.Reuse(kBlock, 1'000'049);
  history.OnAccess(kBlock, 1);
  EXPECT_GT(history.Reuse(kBlock, 1), before);
  EXPECT_LT(history.Reuse(kBlock, 200), before / 2);
}

TEST(AccessHistoryTest, ForgottenBlocksStartOver) {
  AccessHistory history{PolicyConfig()};
  history.OnAccess(kBlock, 3);
  history.OnAccess(BlockId(8), 3);
  history.Forget(kBlock);
  EXPECT_EQ(history.Reuse(kBlock, 3), 0);
  EXPECT_GT(history.Reuse(BlockId(8), 3), 0);
}

}  // namespace
}  // namespace residency
