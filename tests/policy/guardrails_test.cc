#include "policy/guardrails.h"

#include <algorithm>
#include <functional>
#include <vector>

#include "gtest/gtest.h"

namespace residency {
namespace {

using enum ResidencyState;

// A move in the background that adds one copy and drops another, to which nobody objects.
MoveFacts Harmless() {
  MoveFacts facts;
  facts.from = kS0FullHbm;
  facts.to = kS3Dram;
  facts.dropping = true;
  facts.adding = true;
  facts.resident_for = Micros(3'600'000'000);
  return facts;
}

// What makes each guardrail object, in the order in which they are asked.
const std::vector<std::function<void(MoveFacts&)>>& Causes() {
  static const std::vector<std::function<void(MoveFacts&)>> causes = {
      [](MoveFacts& f) { f.leased = true; },
      [](MoveFacts& f) { f.pinned = true; },
      [](MoveFacts& f) {
        f.psi = 0.7;
        f.model_active = true;
      },
      [](MoveFacts& f) { f.last_lossless = true; },
      [](MoveFacts& f) { f.in_flight = true; },
      [](MoveFacts& f) { f.resident_for = Micros(10); },
      [](MoveFacts& f) { f.recent_round_trips = 100; },
      [](MoveFacts& f) { f.link_backlog = 10; },
      [](MoveFacts& f) { f.room = false; },
      [](MoveFacts& f) { f.domain_share = 1.5; },
      [](MoveFacts& f) { f.quarantined = true; },
  };
  return causes;
}

TEST(GuardrailsTest, NobodyObjectsToAHarmlessMove) {
  EXPECT_EQ(Veto(Harmless(), PolicyConfig()), std::nullopt);
  EXPECT_EQ(Veto(MoveFacts(), PolicyConfig()), std::nullopt);
}

TEST(GuardrailsTest, AreAskedInTheOrderOfTheirReasons) {
  ASSERT_EQ(Guardrails().size(), static_cast<size_t>(kVetoReasonCount));
  for (int i = 0; i < kVetoReasonCount; ++i) {
    EXPECT_EQ(Guardrails()[i].reason, static_cast<VetoReason>(i));
  }
}

TEST(GuardrailsTest, EachObjectsAloneAndNamesItself) {
  ASSERT_EQ(Causes().size(), static_cast<size_t>(kVetoReasonCount));
  for (int cause = 0; cause < kVetoReasonCount; ++cause) {
    MoveFacts facts = Harmless();
    Causes()[cause](facts);
    EXPECT_EQ(Veto(facts, PolicyConfig()), static_cast<VetoReason>(cause));
    for (int i = 0; i < kVetoReasonCount; ++i) {
      EXPECT_EQ(Guardrails()[i].objects(facts, PolicyConfig()), i == cause)
          << Name(static_cast<VetoReason>(i)) << " asked about "
          << Name(static_cast<VetoReason>(cause));
    }
  }
}

TEST(GuardrailsTest, OfAnyCombinationTheFirstGivesTheReason) {
  for (unsigned set = 1; set < (1u << kVetoReasonCount); ++set) {
    MoveFacts facts = Harmless();
    std::optional<VetoReason> first;
    for (int cause = 0; cause < kVetoReasonCount; ++cause) {
      if ((set >> cause & 1) == 0) continue;
      Causes()[cause](facts);
      if (!first) first = static_cast<VetoReason>(cause);
    }
    ASSERT_EQ(Veto(facts, PolicyConfig()), first) << "set " << set;
  }
}

TEST(GuardrailsTest, FactsOfACopyThatStaysOrNeverComesDoNotCount) {
  const auto is = [](VetoReason reason, std::initializer_list<VetoReason> list) {
    return std::find(list.begin(), list.end(), reason) != list.end();
  };
  using enum VetoReason;
  for (int cause = 0; cause < kVetoReasonCount; ++cause) {
    const auto reason = static_cast<VetoReason>(cause);
    MoveFacts adding = Harmless();
    adding.from = kS3Dram;
    adding.to = kS0FullHbm;
    adding.dropping = false;
    Causes()[cause](adding);
    EXPECT_EQ(Veto(adding, PolicyConfig()).has_value(),
              !is(reason, {kLeased, kPinned, kSensitive, kLastLosslessCopy, kMinResidency}))
        << Name(reason);
    MoveFacts dropping = Harmless();
    dropping.adding = false;
    Causes()[cause](dropping);
    EXPECT_EQ(Veto(dropping, PolicyConfig()).has_value(),
              !is(reason, {kBandwidth, kNoRoom, kQuota, kQuarantined}))
        << Name(reason);
  }
}

TEST(GuardrailsTest, DemandIsNotHeldUpByWhatProtectsTheBackground) {
  using enum VetoReason;
  for (int cause = 0; cause < kVetoReasonCount; ++cause) {
    const auto reason = static_cast<VetoReason>(cause);
    MoveFacts facts = Harmless();
    facts.purpose = Purpose::kDemand;
    Causes()[cause](facts);
    const bool waived = reason == kMinResidency || reason == kThrash || reason == kBandwidth;
    EXPECT_EQ(Veto(facts, PolicyConfig()).has_value(), !waived) << Name(reason);
  }
}

TEST(GuardrailsTest, StagingIsNoThrashing) {
  MoveFacts facts = Harmless();
  facts.recent_round_trips = 100;
  facts.dropping = false;
  facts.adding = true;
  facts.from = ResidencyState::kS0FullHbm;
  facts.to = ResidencyState::kS0FullHbm;  // a copy below: the state stays
  EXPECT_EQ(Veto(facts, PolicyConfig()), std::nullopt);
  facts.from = ResidencyState::kS4Nvme;
  facts.to = ResidencyState::kS3Dram;
  EXPECT_EQ(Veto(facts, PolicyConfig()), std::nullopt);
  facts.to = ResidencyState::kS0FullHbm;
  EXPECT_EQ(Veto(facts, PolicyConfig()), VetoReason::kThrash);
}

TEST(GuardrailsTest, TheLimitOfTransitionsIsOneOfTheBackground) {
  const PolicyConfig config;
  MoveFacts facts = Harmless();
  facts.background_in_flight = config.in_flight_limit - 1;
  EXPECT_EQ(Veto(facts, config), std::nullopt);
  facts.background_in_flight = config.in_flight_limit;
  EXPECT_EQ(Veto(facts, config), VetoReason::kInFlight);
  facts.purpose = Purpose::kDemand;
  EXPECT_EQ(Veto(facts, config), std::nullopt);
  facts.purpose = Purpose::kBackground;
  facts.adding = false;
  EXPECT_EQ(Veto(facts, config), std::nullopt) << "a drop moves no bytes";
}

TEST(GuardrailsTest, SensitiveBlocksOfAnActiveModelStayAtS1OrHotter) {
  const PolicyConfig config;
  for (const auto from : {kS0FullHbm, kS1LowbitHbm, kS2CompressedHbm, kS3Dram, kS4Nvme}) {
    for (const auto to :
         {kS0FullHbm, kS1LowbitHbm, kS2CompressedHbm, kS3Dram, kS4Nvme, kS6Recomputable}) {
      MoveFacts facts = Harmless();
      facts.from = from;
      facts.to = to;
      facts.psi = 0.7;
      facts.model_active = true;
      const bool objects = from <= kS1LowbitHbm && to >= kS3Dram;
      EXPECT_EQ(Veto(facts, config) == VetoReason::kSensitive, objects)
          << Name(from) << " to " << Name(to);
      MoveFacts idle = facts;
      idle.model_active = false;
      EXPECT_EQ(Veto(idle, config), std::nullopt);
      MoveFacts unprotected = facts;
      unprotected.protection_lost = true;
      EXPECT_EQ(Veto(unprotected, config), std::nullopt);
      MoveFacts robust = facts;
      robust.psi = config.psi_low_bit_floor;
      EXPECT_EQ(Veto(robust, config), std::nullopt);
    }
  }
}

TEST(GuardrailsTest, TheMostSensitiveBlocksAreNeverServedLowBit) {
  const PolicyConfig config;
  for (const bool active : {false, true}) {
    for (const auto from : {kS0FullHbm, kS2CompressedHbm, kS3Dram, kS4Nvme, kS6Recomputable}) {
      MoveFacts facts = Harmless();
      facts.from = from;
      facts.to = kS1LowbitHbm;
      facts.model_active = active;
      facts.protection_lost = true;
      facts.psi = config.psi_no_low_bit;
      EXPECT_EQ(Veto(facts, config), std::nullopt);
      facts.psi = 0.9;
      EXPECT_EQ(Veto(facts, config), VetoReason::kSensitive) << Name(from);
    }
  }
}

TEST(GuardrailsTest, TheLinksBacklogAndTheQuotaAreLimitsNotTargets) {
  PolicyConfig config;
  config.background_share = 0.5;
  config.domain_quota = 0.25;
  MoveFacts facts = Harmless();
  facts.link_backlog = kBacklogSecondsMax * 0.5;
  facts.domain_share = 0.25;
  EXPECT_EQ(Veto(facts, config), std::nullopt);
  facts.domain_share = 0.26;
  EXPECT_EQ(Veto(facts, config), VetoReason::kQuota);
  facts.link_backlog = kBacklogSecondsMax * 0.51;
  EXPECT_EQ(Veto(facts, config), VetoReason::kBandwidth);
}

TEST(GuardrailsTest, VetoesAreCountedByReasonAndEdge) {
  VetoCounts counts;
  counts.Count(VetoReason::kQuota, kS3Dram, kS0FullHbm);
  counts.Count(VetoReason::kQuota, kS3Dram, kS0FullHbm);
  EXPECT_EQ(counts.at(VetoReason::kQuota, kS3Dram, kS0FullHbm), 2u);
  EXPECT_EQ(counts.at(VetoReason::kQuota, kS0FullHbm, kS3Dram), 0u);
  EXPECT_EQ(counts.at(VetoReason::kNoRoom, kS3Dram, kS0FullHbm), 0u);
}

TEST(GuardrailsTest, ReasonsHaveTheirNames) {
  EXPECT_STREQ(Name(VetoReason::kLeased), "leased");
  EXPECT_STREQ(Name(VetoReason::kLastLosslessCopy), "last_lossless_copy");
  EXPECT_STREQ(Name(VetoReason::kQuarantined), "quarantined");
}

}  // namespace
}  // namespace residency
