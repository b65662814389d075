#include "core/link.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace residency {
namespace {

TEST(LinkTest, ANodesLinksAreNumberedDensely) {
  const auto links = LinksOf({{PoolId(0), Tier::kHbm},
                              {PoolId(1), Tier::kHbm},
                              {PoolId(2), Tier::kDram},
                              {PoolId(3), Tier::kNvme}});
  std::vector<std::string> names;
  for (size_t i = 0; i < links.size(); ++i) {
    EXPECT_EQ(links[i].id.value(), i);
    names.push_back(links[i].name);
  }
  EXPECT_THAT(names, testing::ElementsAre("file_dram", "generate", "dram_hbm", "hbm_dram",
                                          "dram_hbm1", "hbm_dram1", "nvme_dram", "dram_nvme",
                                          "quantize", "compress", "decompress"));
  EXPECT_FALSE(links[0].pool.valid());
  EXPECT_EQ(links[4].pool, PoolId(1));
  EXPECT_EQ(links[6].pool, PoolId(3));
}

TEST(LinkTest, WithoutPoolsOnlyRecipesAndCodecsHaveLinks) { EXPECT_EQ(LinksOf({}).size(), 5u); }

TEST(LinkTest, ClassesHaveTheirNames) {
  EXPECT_STREQ(Name(LinkClass::kDemand), "demand");
  EXPECT_STREQ(Name(LinkClass::kPrefetch), "prefetch");
  EXPECT_STREQ(Name(LinkClass::kRebalance), "rebalance");
}

}  // namespace
}  // namespace residency
