#include "policy/signals.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace residency {
namespace {

constexpr ModelId kModel(0);

class SignalsTest : public testing::Test {
 protected:
  void Visit(int32_t layer, const std::vector<uint64_t>& requests,
             const std::vector<uint16_t>& experts, Phase phase = Phase::kDecode) {
    LayerVisit visit;
    visit.model = kModel;
    visit.layer = layer;
    visit.phase = phase;
    visit.requests = requests;
    visit.top_k = static_cast<int>(experts.size() / requests.size());
    visit.experts = experts;
    estimator_.OnVisit(visit);
  }
  double Rho(int32_t layer, int32_t expert) const {
    return estimator_.Estimate(kModel, layer, expert).rho;
  }
  double Lambda(int32_t layer, int32_t expert) const {
    return estimator_.Estimate(kModel, layer, expert).lambda;
  }

  const PolicyConfig config_;
  const double fast_ = std::exp2(-1 / config_.rho_fast_half_life_visits);
  const double slow_ = std::exp2(-1 / config_.rho_slow_half_life_visits);
  const double w_ = config_.rho_fast_weight;
  EwmaMixEstimator estimator_{config_};
};

TEST_F(SignalsTest, WhatWasNeverVisitedIsNotExpected) {
  EXPECT_EQ(Rho(0, 0), 0);
  Visit(2, {1}, {3, 4});
  for (const auto& [layer, expert] : std::vector<std::pair<int, int>>{
           {0, 3}, {1, 3}, {3, 3}, {2, 0}, {2, 5}, {2, 500}, {-1, 3}, {2, -1}}) {
    EXPECT_EQ(Rho(layer, expert), 0) << layer << " " << expert;
    EXPECT_EQ(Lambda(layer, expert), 0) << layer << " " << expert;
  }
  EXPECT_EQ(estimator_.Estimate(ModelId(9), 2, 3).rho, 0);
}

TEST_F(SignalsTest, OneRequestFollowsTheClosedForm) {
  std::mt19937_64 rng(3);
  std::vector<std::vector<uint16_t>> visits;
  for (int t = 0; t < 300; ++t) {
    const auto first = static_cast<uint16_t>(rng() % 8);
    visits.push_back({first, static_cast<uint16_t>(8 + rng() % 8)});
    Visit(1, {42}, visits.back());
    for (uint16_t expert = 0; expert < 16; ++expert) {
      double fast = 0;
      double slow = 0;
      for (size_t i = 0; i < visits.size(); ++i) {
        if (visits[i][0] != expert && visits[i][1] != expert) continue;
        const double age = static_cast<double>(visits.size() - 1 - i);
        fast += (1 - fast_) * std::pow(fast_, age);
        slow += (1 - slow_) * std::pow(slow_, age);
      }
      ASSERT_NEAR(Rho(1, expert), w_ * fast + (1 - w_) * slow, 1e-5) << "visit " << t;
    }
  }
}

TEST_F(SignalsTest, AnExpertUsedAtEveryVisitTendsToOne) {
  for (int t = 0; t < 500; ++t) Visit(0, {1}, {5, static_cast<uint16_t>(6 + t % 10)});
  EXPECT_NEAR(Rho(0, 5), 1, 1e-3);
  EXPECT_LE(Rho(0, 5), 1);
  EXPECT_LT(Rho(0, 6), 0.3);
}

TEST_F(SignalsTest, RequestsCombineAsTheChanceThatAnyReuses) {
  const int visits = 7;
  for (int t = 0; t < visits; ++t) Visit(0, {1, 2, 3}, {0, 1, 0, 2, 3, 4});
  const double full_fast = 1 - std::pow(fast_, visits);
  const double full_slow = 1 - std::pow(slow_, visits);
  const auto v = [&](bool uses, double share) {
    return w_ * (uses ? full_fast : 0) + (1 - w_) * full_slow * share;
  };
  const double of_0 = 1 - (1 - v(true, 2.0 / 3)) * (1 - v(true, 2.0 / 3)) * (1 - v(false, 2.0 / 3));
  const double of_4 =
      1 - (1 - v(true, 1.0 / 3)) * (1 - v(false, 1.0 / 3)) * (1 - v(false, 1.0 / 3));
  EXPECT_NEAR(Rho(0, 0), of_0, 1e-5);
  EXPECT_NEAR(Rho(0, 4), of_4, 1e-5);
}

TEST_F(SignalsTest, PrefillUpdatesNothing) {
  Visit(0, {1}, {2, 3});
  const double rho = Rho(0, 2);
  const double lambda = Lambda(0, 2);
  for (int t = 0; t < 50; ++t) Visit(0, {1}, {4, 5}, Phase::kPrefill);
  EXPECT_EQ(Rho(0, 2), rho);
  EXPECT_EQ(Lambda(0, 2), lambda);
  EXPECT_EQ(Rho(0, 4), 0);
}

TEST_F(SignalsTest, AnEndedRequestLeavesOnlyTheMeanAcrossRequests) {
  for (int t = 0; t < 5; ++t) Visit(0, {1}, {2, 3});
  estimator_.OnRequestEnded(kModel, 1);
  const double slow = 1 - std::pow(slow_, 5);
  EXPECT_NEAR(Rho(0, 2), (1 - w_) * slow, 1e-5);
  EXPECT_NEAR(Lambda(0, 2), 1, 1e-5);  // two experts of two are all that were ever picked
  estimator_.OnRequestEnded(kModel, 77);
  estimator_.OnRequestEnded(ModelId(5), 1);
}

TEST_F(SignalsTest, ARequestSilentForMoreThanEightVisitsDoesNotCount) {
  Visit(0, {1}, {9});
  for (int t = 0; t < 8; ++t) Visit(0, {2}, {1});
  const double still = Lambda(0, 9);
  Visit(0, {2}, {1});
  const double gone = Lambda(0, 9);
  EXPECT_GT(still, 0.2);
  EXPECT_LT(gone, 0.7 * still);
  // Back again, it goes on where it was.
  Visit(0, {1}, {9});
  EXPECT_NEAR(Lambda(0, 9), still, 0.05);
}

TEST_F(SignalsTest, LambdaOfOneRequestSumsToItsChoiceWhereNothingIsCapped) {
  std::mt19937_64 rng(5);
  for (int t = 0; t < 400; ++t) {
    std::vector<uint16_t> chosen;
    while (chosen.size() < 4) {
      const auto e = static_cast<uint16_t>(rng() % 32);
      if (std::find(chosen.begin(), chosen.end(), e) == chosen.end()) chosen.push_back(e);
    }
    Visit(0, {1}, chosen);
  }
  double sum = 0;
  for (int e = 0; e < 32; ++e) sum += Lambda(0, e);
  EXPECT_NEAR(sum, 4, 1e-4);
}

TEST_F(SignalsTest, LambdaLearnsHowMuchOfTheChoiceStays) {
  Visit(0, {1}, {0, 1});
  EXPECT_NEAR(Lambda(0, 0), 0.4, 1e-6) << "the prior";
  for (int t = 0; t < 500; ++t) Visit(0, {1}, {0, 1});
  EXPECT_NEAR(Lambda(0, 0), 1, 1e-3);
  for (int t = 0; t < 500; ++t) {
    const auto base = static_cast<uint16_t>(2 * (t % 8));
    Visit(0, {1}, {base, static_cast<uint16_t>(base + 1)});
  }
  // The last choice was {6, 7}; nothing ever stays, so the others share all that is picked.
  EXPECT_LT(Lambda(0, 6), 0.01);
  EXPECT_GT(Lambda(0, 0), 0.1);
}

TEST_F(SignalsTest, SeveralRowsOfARequestAreOneVisitOfIt) {
  EwmaMixEstimator merged(config_);
  const std::vector<uint64_t> twice = {1, 1};
  const std::vector<uint64_t> once = {1};
  const std::vector<uint16_t> rows = {3, 4, 4, 5};
  const std::vector<uint16_t> all = {3, 4, 5};
  for (int t = 0; t < 4; ++t) {
    Visit(0, twice, rows);
    merged.OnVisit({.model = kModel, .requests = once, .top_k = 3, .experts = all, .gates = {}});
  }
  for (int e = 3; e <= 5; ++e) EXPECT_EQ(Rho(0, e), merged.Estimate(kModel, 0, e).rho);
}

TEST_F(SignalsTest, MalformedVisitsAreIgnored) {
  Visit(0, {1}, {2, 3});
  const double before = Rho(0, 2);
  const std::vector<uint64_t> requests = {1, 2};
  const std::vector<uint16_t> experts = {2, 3, 4};
  estimator_.OnVisit(
      {.model = kModel, .requests = requests, .top_k = 2, .experts = experts, .gates = {}});
  estimator_.OnVisit(
      {.model = kModel, .requests = requests, .top_k = 0, .experts = {}, .gates = {}});
  estimator_.OnVisit({.model = kModel, .requests = {}, .top_k = 2, .experts = {}, .gates = {}});
  estimator_.OnVisit({.model = kModel,
                      .layer = -1,
                      .requests = requests,
                      .top_k = 1,
                      .experts = std::span(experts).first(2),
                      .gates = {}});
  EXPECT_EQ(Rho(0, 2), before);
}

TEST_F(SignalsTest, OfTooManyRequestsTheLongestSilentIsForgotten) {
  for (uint64_t r = 0; r < EwmaMixEstimator::kRequestsMax; ++r) {
    Visit(0, {r}, {static_cast<uint16_t>(r)});
  }
  Visit(1, {0}, {0});  // heard of again: request 1 is now the longest silent
  Visit(1, {1000}, {100});
  for (int t = 0; t < 9; ++t) Visit(0, {1000}, {100});  // the others count no more

  // What each of the two used 73 visits of the layer ago; only one of them is known to have.
  const double slow = (1 - w_) * (1 - slow_) * std::pow(slow_, 73);
  const double fast = w_ * (1 - fast_) * fast_;
  Visit(0, {0}, {200});
  EXPECT_NEAR(Rho(0, 0), 1 - (1 - slow) * (1 - slow - fast), 1e-5);
  Visit(0, {1}, {200});
  EXPECT_NEAR(Rho(0, 1), 1 - std::pow(1 - slow, 3), 1e-5);
}

TEST_F(SignalsTest, AVisitOfMoreRequestsThanAreFollowedIsCountedWhole) {
  const size_t count = 4 * EwmaMixEstimator::kRequestsMax;
  std::vector<uint64_t> requests;
  std::vector<uint16_t> experts;
  for (size_t r = 0; r < count; ++r) {
    requests.push_back(r);
    experts.push_back(static_cast<uint16_t>(r % 4));
  }
  for (int t = 0; t < 400; ++t) Visit(0, requests, experts);
  for (const uint64_t r : requests) estimator_.OnRequestEnded(kModel, r);
  for (int e = 0; e < 4; ++e) EXPECT_NEAR(Rho(0, e), (1 - w_) * 0.25, 1e-3);
}

TEST_F(SignalsTest, EstimatesStayWithinZeroAndOneAndAreReproducible) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    EwmaMixEstimator first(config_);
    EwmaMixEstimator second(config_);
    std::mt19937_64 rng(seed);
    for (int t = 0; t < 400; ++t) {
      std::vector<uint64_t> requests(1 + rng() % 9);
      for (uint64_t& r : requests) r = rng() % 100;
      std::vector<uint16_t> experts(requests.size() * 4);
      for (uint16_t& e : experts) e = static_cast<uint16_t>(rng() % 40);
      const LayerVisit visit{.model = kModel,
                             .layer = static_cast<int32_t>(rng() % 3),
                             .requests = requests,
                             .top_k = 4,
                             .experts = experts,
                             .gates = {}};
      first.OnVisit(visit);
      second.OnVisit(visit);
      if (rng() % 10 == 0) {
        first.OnRequestEnded(kModel, requests[0]);
        second.OnRequestEnded(kModel, requests[0]);
      }
      for (int e = 0; e < 40; ++e) {
        const Signals s = first.Estimate(kModel, visit.layer, e);
        ASSERT_GE(s.rho, 0);
        ASSERT_LE(s.rho, 1);
        ASSERT_GE(s.lambda, 0);
        ASSERT_LE(s.lambda, 1);
        if (t % 7 == 0) {
          ASSERT_EQ(s.rho, second.Estimate(kModel, visit.layer, e).rho);
        }
      }
    }
    for (int layer = 0; layer < 3; ++layer) {
      for (int e = 0; e < 40; ++e) {
        ASSERT_EQ(first.Estimate(kModel, layer, e).rho, second.Estimate(kModel, layer, e).rho);
        ASSERT_EQ(first.Estimate(kModel, layer, e).lambda,
                  second.Estimate(kModel, layer, e).lambda);
      }
    }
  }
}

}  // namespace
}  // namespace residency
