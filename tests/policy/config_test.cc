#include "policy/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "policy/nearest_key.h"

namespace residency {
namespace {

using ::testing::HasSubstr;

TEST(PolicyConfigTest, DefaultsAreValid) { EXPECT_TRUE(ValidatePolicy(PolicyConfig()).ok()); }

TEST(PolicyConfigTest, EveryFieldReadsItsOwnText) {
  const PolicyConfig defaults;
  for (const PolicyField& field : PolicyFields()) {
    PolicyConfig copy;
    const auto text = GetPolicyField(defaults, field.key);
    ASSERT_TRUE(text.ok()) << field.key;
    EXPECT_TRUE(SetPolicyField(copy, field.key, *text).ok()) << field.key << " = " << *text;
    EXPECT_EQ(*GetPolicyField(copy, field.key), *text) << field.key;
    EXPECT_THAT(std::string(field.description), HasSubstr("; "));
  }
}

TEST(PolicyConfigTest, TheTableNamesEveryMember) {
  // 27 numbers and durations and 5 switches; a member without a key could not be configured.
  EXPECT_EQ(PolicyFields().size(), 32u);
}

TEST(PolicyConfigTest, EveryFieldChangesOnlyItself) {
  for (const PolicyField& field : PolicyFields()) {
    PolicyConfig changed;
    const std::string before = *GetPolicyField(changed, field.key);
    const std::string other = before == "true" ? "false" : before == "1" ? "0.5" : "1";
    if (!SetPolicyField(changed, field.key, other).ok()) continue;  // 1 is out of its range
    for (const PolicyField& each : PolicyFields()) {
      const bool same =
          *GetPolicyField(changed, each.key) == *GetPolicyField(PolicyConfig(), each.key);
      EXPECT_EQ(same, each.key != field.key) << field.key << " against " << each.key;
    }
  }
}

TEST(PolicyConfigTest, ValuesOutOfRangeAreRefusedAndChangeNothing) {
  PolicyConfig config;
  const auto status = SetPolicyField(config, "w1", "1.5");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("w1: found \"1.5\", allowed is"));
  EXPECT_EQ(config.w1, PolicyConfig().w1);
}

TEST(PolicyConfigTest, TextThatIsNoValueIsRefused) {
  PolicyConfig config;
  for (const char* wrong : {"", "x", "0.5x", " 0.5", "nan", "inf", "-1", "true"}) {
    EXPECT_FALSE(SetPolicyField(config, "w1", wrong).ok()) << wrong;
  }
  for (const char* wrong : {"", "1.5", "1e3", "-1", "99999999999999999999"}) {
    EXPECT_FALSE(SetPolicyField(config, "thrash_limit", wrong).ok()) << wrong;
    EXPECT_FALSE(SetPolicyField(config, "cost_unit_us", wrong).ok()) << wrong;
  }
  for (const char* wrong : {"", "1", "yes", "True"}) {
    EXPECT_FALSE(SetPolicyField(config, "prefetch", wrong).ok()) << wrong;
  }
}

TEST(PolicyConfigTest, UnknownKeyNamesTheNearest) {
  PolicyConfig config;
  const auto status = SetPolicyField(config, "trash_limit", "3");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("did you mean \"thrash_limit\"?"));
  EXPECT_EQ(GetPolicyField(config, "nothing_like_it").status().message(),
            "there is no policy key \"nothing_like_it\"");
}

TEST(PolicyConfigTest, WeightsMustSumToOne) {
  PolicyConfig config;
  config.w1 = 0.5;
  EXPECT_THAT(std::string(ValidatePolicy(config).message()), HasSubstr("w1 + w2 + w3 + w4"));
  config.w4 = 0;
  EXPECT_TRUE(ValidatePolicy(config).ok());
}

TEST(PolicyConfigTest, FieldsThatContradictEachOtherAreRefused) {
  PolicyConfig half_lives;
  half_lives.rho_fast_half_life_visits = 100;
  EXPECT_THAT(std::string(ValidatePolicy(half_lives).message()),
              HasSubstr("rho_fast_half_life_visits: found 100"));
  PolicyConfig floors;
  floors.psi_low_bit_floor = 0.9;
  EXPECT_FALSE(ValidatePolicy(floors).ok());
  PolicyConfig shares;
  shares.protected_share = 0.99;
  EXPECT_FALSE(ValidatePolicy(shares).ok());
}

TEST(PolicyConfigTest, ValidationLooksAtRangesToo) {
  PolicyConfig config;
  config.hysteresis = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE(ValidatePolicy(config).ok());
  config.hysteresis = 0.05;
  config.in_flight_limit = 0;
  EXPECT_FALSE(ValidatePolicy(config).ok());
}

TEST(NearestKeyTest, FarKeysAreNotSuggested) {
  EXPECT_EQ(NearestKey("capcity", {"capacity", "segment"}), "capacity");
  EXPECT_EQ(NearestKey("zzz", {"capacity", "segment"}), "");
  EXPECT_EQ(NearestKey(std::string(5000, 'a'), {"capacity"}), "");
}

}  // namespace
}  // namespace residency
