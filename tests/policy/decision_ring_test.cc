#include "policy/decision_ring.h"

#include <deque>
#include <random>

#include "gtest/gtest.h"

namespace residency {
namespace {

Decision Of(uint32_t block, uint64_t tick) {
  Decision decision;
  decision.block = BlockId(block);
  decision.tick = tick;
  return decision;
}

std::vector<uint64_t> Ticks(const std::vector<Decision>& decisions) {
  std::vector<uint64_t> ticks;
  for (const Decision& decision : decisions) ticks.push_back(decision.tick);
  return ticks;
}

TEST(DecisionRingTest, TheNewestComesFirstAndNoMoreThanAsked) {
  DecisionRing ring(8);
  for (uint64_t tick = 0; tick < 6; ++tick) ring.Record(Of(tick % 2, tick));
  EXPECT_EQ(Ticks(ring.Of(BlockId(0), 10)), (std::vector<uint64_t>{4, 2, 0}));
  EXPECT_EQ(Ticks(ring.Of(BlockId(1), 2)), (std::vector<uint64_t>{5, 3}));
  EXPECT_TRUE(ring.Of(BlockId(0), 0).empty());
  EXPECT_TRUE(ring.Of(BlockId(9), 10).empty());
}

TEST(DecisionRingTest, RemembersExactlyTheLatestOfAllBlocks) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 rng(seed);
    const size_t capacity = 1 + rng() % 40;
    DecisionRing ring(capacity);
    std::deque<std::pair<uint32_t, uint64_t>> model;
    for (uint64_t tick = 0; tick < 500; ++tick) {
      const uint32_t block = rng() % 7;
      ring.Record(Of(block, tick));
      model.push_front({block, tick});
      if (model.size() > capacity) model.pop_back();
      for (uint32_t b = 0; b < 7; ++b) {
        std::vector<uint64_t> expected;
        for (const auto& [of, at] : model) {
          if (of == b) expected.push_back(at);
        }
        ASSERT_EQ(Ticks(ring.Of(BlockId(b), 1000)), expected) << "block " << b;
      }
    }
    EXPECT_EQ(ring.recorded(), 500u);
  }
}

TEST(DecisionRingTest, EveryFigureComesBackInSinglePrecision) {
  std::mt19937_64 rng(11);
  std::uniform_real_distribution<double> unit(0, 1);
  DecisionRing ring(1024);
  PolicyConfig config;
  config.cost_unit = Micros(700);
  for (uint32_t i = 0; i < 500; ++i) {
    Decision in = Of(i, 77);
    in.at = TimePoint(Micros(123'456'789));
    in.score = ComputeScore({unit(rng), unit(rng), unit(rng), unit(rng), unit(rng)},
                            {1000 * unit(rng), 9000 * unit(rng)}, 5000 * unit(rng),
                            Bytes(1 + rng() % 70'000'000'000), config);
    in.threshold = unit(rng);
    in.k_victim = unit(rng);
    in.hysteresis = 0.05;
    in.pool_pressure = unit(rng);
    in.from = ResidencyState::kS4Nvme;
    in.to = ResidencyState::kS0FullHbm;
    in.verdict = Verdict::kVeto;
    in.veto = VetoReason::kQuota;
    in.reason = "idle link";
    in.competing = BlockId(3);
    ring.Record(in);
    const auto found = ring.Of(BlockId(i), 1);
    ASSERT_EQ(found.size(), 1u);
    const Decision& out = found[0];
    const auto near = [](double a, double b) { return std::abs(a - b) <= 1e-5 * std::abs(a); };
    EXPECT_EQ(out.at, in.at);
    EXPECT_EQ(out.score.bytes, in.score.bytes);
    EXPECT_EQ(out.score.cost_unit_us, 700);
    EXPECT_TRUE(near(in.score.numerator, out.score.numerator));
    EXPECT_TRUE(near(in.score.cost_unfloored, out.score.cost_unfloored));
    EXPECT_TRUE(near(in.score.r, out.score.r));
    EXPECT_TRUE(near(in.score.k, out.score.k));
    EXPECT_TRUE(near(in.threshold, out.threshold));
    EXPECT_TRUE(near(in.k_victim, out.k_victim));
    EXPECT_TRUE(near(in.hysteresis, out.hysteresis));
    EXPECT_TRUE(near(in.pool_pressure, out.pool_pressure));
    for (int c = 0; c < 4; ++c) {
      EXPECT_TRUE(near(in.score.contributions[c], out.score.contributions[c]));
    }
    EXPECT_EQ(out.from, in.from);
    EXPECT_EQ(out.to, in.to);
    EXPECT_EQ(out.verdict, in.verdict);
    EXPECT_EQ(out.veto, in.veto);
    EXPECT_STREQ(out.reason, "idle link");
    EXPECT_EQ(out.competing, BlockId(3));
  }
}

TEST(DecisionRingTest, ADecisionWithoutScoreStaysWithoutOne) {
  DecisionRing ring(4);
  ring.Record(Of(1, 5));
  const auto found = ring.Of(BlockId(1), 1);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].score.k, 0);
  EXPECT_EQ(found[0].score.bytes, 0);
}

TEST(DecisionRingTest, VerdictsHaveTheirNames) {
  EXPECT_STREQ(Name(Verdict::kPromote), "promote");
  EXPECT_STREQ(Name(Verdict::kVeto), "veto");
  EXPECT_STREQ(Name(Verdict::kBypass), "bypass");
}

}  // namespace
}  // namespace residency
