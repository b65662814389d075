#include "daemon/policy_store.h"

#include <gmock/gmock.h>

namespace residency {
namespace {

using testing::HasSubstr;

class PolicyStoreTest : public testing::Test {
 protected:
  PolicyEntry Of(const std::string& key) {
    for (const PolicyEntry& entry : store_.List()) {
      if (entry.key == key) return entry;
    }
    ADD_FAILURE() << "no key " << key;
    return {};
  }
  static PolicyConfig With(const std::string& key, const std::string& value) {
    PolicyConfig config;
    EXPECT_TRUE(SetPolicyField(config, key, value).ok());
    return config;
  }

  int changes_ = 0;
  PolicyStore store_{
      With("hysteresis", "0.3"), {"hysteresis"}, [this](const PolicyConfig&) { ++changes_; }};
};

TEST_F(PolicyStoreTest, EachValueSaysWhereItComesFrom) {
  EXPECT_EQ(Of("hysteresis").source, PolicySource::kFile);
  EXPECT_EQ(Of("alpha").source, PolicySource::kDefault);
  ASSERT_TRUE(store_.Update({{"alpha", "0.5"}, {"hysteresis", "0.4"}}).ok());
  EXPECT_EQ(Of("alpha").source, PolicySource::kOperator);
  EXPECT_EQ(Of("alpha").value, "0.5");
  EXPECT_EQ(Of("hysteresis").source, PolicySource::kOperator);
  EXPECT_EQ(changes_, 1);
}

TEST_F(PolicyStoreTest, ReadingTheFileAgainEndsWhatOperatorsSet) {
  ASSERT_TRUE(store_.Update({{"alpha", "0.5"}, {"hysteresis", "0.4"}}).ok());
  store_.Replace(With("alpha", "0.25"), {"alpha"});
  EXPECT_EQ(Of("alpha").source, PolicySource::kFile);
  EXPECT_EQ(Of("alpha").value, "0.25");
  EXPECT_EQ(Of("hysteresis").source, PolicySource::kDefault);
  EXPECT_EQ(changes_, 2);
}

TEST_F(PolicyStoreTest, AWrongValueChangesNothing) {
  const absl::Status status = store_.Update({{"alpha", "0.5"}, {"hysteresis", "many"}});
  EXPECT_THAT(std::string(status.message()), HasSubstr("hysteresis"));
  EXPECT_FALSE(store_.Update({{"alpah", "0.5"}}).ok());
  EXPECT_EQ(Of("alpha").source, PolicySource::kDefault);
  EXPECT_EQ(Of("hysteresis").source, PolicySource::kFile);
  EXPECT_EQ(changes_, 0);
}

}  // namespace
}  // namespace residency
