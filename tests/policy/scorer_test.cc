#include "policy/scorer.h"

#include <numeric>
#include <random>

#include "gtest/gtest.h"

namespace residency {
namespace {

PolicyConfig SomeConfig(std::mt19937_64& rng) {
  std::uniform_real_distribution<double> unit(0, 1);
  PolicyConfig config;
  std::array<double, 4> w = {unit(rng), unit(rng), unit(rng), unit(rng) + 0.01};
  const double sum = std::accumulate(w.begin(), w.end(), 0.0);
  config.w1 = w[0] / sum;
  config.w2 = w[1] / sum;
  config.w3 = w[2] / sum;
  config.w4 = w[3] / sum;
  config.alpha = 2 * unit(rng);
  config.beta = 2 * unit(rng);
  config.cost_unit = Micros(1 + static_cast<int64_t>(5000 * unit(rng)));
  return config;
}

TEST(ScorerTest, EveryFigureCanBeAddedUpByHand) {
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 rng(seed);
    std::uniform_real_distribution<double> unit(0, 1);
    const PolicyConfig config = SomeConfig(rng);
    const Terms t{unit(rng), unit(rng), unit(rng), unit(rng), unit(rng)};
    const MoveCost cost{4000 * unit(rng), 9000 * unit(rng)};
    const double restore_us = 20'000 * unit(rng);
    const Bytes bytes(1 + rng() % 50'000'000);
    const Score score = ComputeScore(t, cost, restore_us, bytes, config);

    const auto& c = score.contributions;
    EXPECT_DOUBLE_EQ(c[0], score.weights[0] * t.rho);
    EXPECT_DOUBLE_EQ(c[1], score.weights[1] * t.lambda);
    EXPECT_DOUBLE_EQ(c[2], score.weights[2] * t.activity * t.kappa);
    EXPECT_DOUBLE_EQ(c[3], score.weights[3] * t.activity * t.psi);
    EXPECT_DOUBLE_EQ(std::accumulate(c.begin(), c.end(), 0.0), score.numerator);
    EXPECT_DOUBLE_EQ(score.numerator, Numerator(t, config));
    EXPECT_GE(score.numerator, 0);
    EXPECT_LE(score.numerator, 1 + 1e-12);

    const double unfloored =
        (score.alpha * score.cost_us.delta_us + score.beta * score.cost_us.tau_us) /
        score.cost_unit_us;
    EXPECT_DOUBLE_EQ(score.cost_unfloored, unfloored);
    EXPECT_EQ(score.floored, unfloored < 1);
    EXPECT_DOUBLE_EQ(score.cost, unfloored < 1 ? 1 : unfloored);
    EXPECT_DOUBLE_EQ(score.r, score.numerator / score.cost);
    EXPECT_DOUBLE_EQ(score.k, score.numerator * score.restore_us / score.bytes);
    EXPECT_EQ(score.bytes, static_cast<double>(bytes.count()));
  }
}

TEST(ScorerTest, AnIdleModelsCriticalBlocksLetGo) {
  const PolicyConfig config;
  const Score busy = ComputeScore({.kappa = 1, .psi = 1, .activity = 1}, {}, 1000, MiB(1), config);
  const Score idle = ComputeScore({.kappa = 1, .psi = 1, .activity = 0}, {}, 1000, MiB(1), config);
  EXPECT_DOUBLE_EQ(busy.numerator, config.w3 + config.w4);
  EXPECT_EQ(idle.numerator, 0);
  EXPECT_EQ(idle.k, 0);
}

TEST(ScorerTest, WhatIsNearCostsOneAndSaysThatItWasFloored) {
  const PolicyConfig config;
  const Score near = ComputeScore({.rho = 1}, {.tau_us = 999}, 1, Bytes(1), config);
  EXPECT_TRUE(near.floored);
  EXPECT_EQ(near.cost, 1);
  EXPECT_DOUBLE_EQ(near.r, config.w1);
  const Score far = ComputeScore({.rho = 1}, {.tau_us = 4000}, 1, Bytes(1), config);
  EXPECT_FALSE(far.floored);
  EXPECT_DOUBLE_EQ(far.r, config.w1 / 4);
}

TEST(ScorerTest, DearToBringBackIsWorthMoreToKeepPerByte) {
  const PolicyConfig config;
  const Terms t{.rho = 0.5};
  const double near = ComputeScore(t, {}, 500, MiB(8), config).k;
  EXPECT_DOUBLE_EQ(ComputeScore(t, {}, 5000, MiB(8), config).k, 10 * near);
  EXPECT_DOUBLE_EQ(ComputeScore(t, {}, 500, MiB(4), config).k, 2 * near);
}

TEST(ScorerDeathTest, NothingHasNoScore) {
  EXPECT_DEATH(ComputeScore({}, {}, 1, Bytes(0), PolicyConfig()), "no bytes");
}

}  // namespace
}  // namespace residency
