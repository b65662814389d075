#include "policy/link_model.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace residency {
namespace {

using testing::ElementsAre;

constexpr LinkModel::End kGpu0{Tier::kHbm, PoolId(0)};
constexpr LinkModel::End kGpu1{Tier::kHbm, PoolId(1)};
constexpr LinkModel::End kHost{Tier::kDram, PoolId(2)};
constexpr LinkModel::End kDisk0{Tier::kNvme, PoolId(3)};
constexpr LinkModel::End kDisk1{Tier::kNvme, PoolId(4)};

class LinkModelTest : public testing::Test {
 protected:
  std::vector<std::string> Names(const LinkModel::Path& path) const {
    std::vector<std::string> names;
    for (const auto& hop : path) names.push_back(model_.links()[hop.link.value()].name);
    return names;
  }
  LinkUse Use(const LinkModel::Path& path, uint64_t bytes, int64_t busy_us,
              int64_t latency_us = 0) const {
    return {path[0].link, LinkClass::kDemand, bytes, busy_us, latency_us};
  }

  LinkModel model_{LinksOf({{PoolId(0), Tier::kHbm},
                            {PoolId(1), Tier::kHbm},
                            {PoolId(2), Tier::kDram},
                            {PoolId(3), Tier::kNvme},
                            {PoolId(4), Tier::kNvme}})};
};

TEST_F(LinkModelTest, EveryMoveTakesItsLinks) {
  EXPECT_THAT(Names(model_.CopyPath(kHost, kGpu0)), ElementsAre("dram_hbm"));
  EXPECT_THAT(Names(model_.CopyPath(kHost, kGpu1)), ElementsAre("dram_hbm1"));
  EXPECT_THAT(Names(model_.CopyPath(kGpu1, kHost)), ElementsAre("hbm_dram1"));
  EXPECT_THAT(Names(model_.CopyPath(kDisk0, kHost)), ElementsAre("nvme_dram"));
  EXPECT_THAT(Names(model_.CopyPath(kHost, kDisk1)), ElementsAre("dram_nvme1"));
  EXPECT_THAT(Names(model_.CopyPath(kDisk1, kGpu0)), ElementsAre("nvme_dram1", "dram_hbm"));
  EXPECT_THAT(Names(model_.CopyPath(kGpu0, kDisk0)), ElementsAre("hbm_dram", "dram_nvme"));
  EXPECT_THAT(Names(model_.CopyPath(kGpu0, kGpu1)), ElementsAre("hbm_dram", "dram_hbm1"));
  EXPECT_THAT(Names(model_.CopyPath(kDisk0, kDisk1)), ElementsAre("nvme_dram", "dram_nvme1"));
  EXPECT_THAT(Names(model_.CopyPath(kDisk0, kDisk0)), ElementsAre("nvme_dram", "dram_nvme"));
  EXPECT_TRUE(model_.CopyPath(kGpu0, kGpu0).empty());
  EXPECT_TRUE(model_.CopyPath(kHost, kHost).empty());
}

TEST_F(LinkModelTest, RecipesEnterThroughTheirOwnLink) {
  EXPECT_THAT(Names(model_.FilePath(kHost)), ElementsAre("file_dram"));
  EXPECT_THAT(Names(model_.FilePath(kGpu1)), ElementsAre("file_dram", "dram_hbm1"));
  EXPECT_THAT(Names(model_.FilePath(kDisk0)), ElementsAre("file_dram", "dram_nvme"));
  EXPECT_THAT(Names(model_.GeneratePath(kHost)), ElementsAre("generate"));
  EXPECT_THAT(Names(model_.GeneratePath(kGpu0)), ElementsAre("generate", "dram_hbm"));
}

TEST_F(LinkModelTest, TheSlowestLinkSetsThePaceAndLatenciesAddUp) {
  const auto path = model_.CopyPath(kDisk0, kGpu0);
  const auto& disk = model_.figures(path[0].link);
  const auto& upload = model_.figures(path[1].link);
  ASSERT_LT(disk.bytes_per_us, upload.bytes_per_us);
  EXPECT_DOUBLE_EQ(model_.EstimateUs(path, Bytes(10'000'000), LinkClass::kDemand),
                   disk.latency_us + upload.latency_us + 1e7 / disk.bytes_per_us);
  EXPECT_EQ(model_.EstimateUs({}, Bytes(10'000'000), LinkClass::kDemand), 0);
}

TEST_F(LinkModelTest, OnlyWhatIsAtItsClassOrAboveIsAhead) {
  const auto path = model_.CopyPath(kHost, kGpu0);
  const double idle = model_.EstimateUs(path, MiB(8), LinkClass::kDemand);
  model_.OnStarted(path, LinkClass::kPrefetch, MiB(80));
  EXPECT_DOUBLE_EQ(model_.EstimateUs(path, MiB(8), LinkClass::kDemand), idle);
  EXPECT_GT(model_.EstimateUs(path, MiB(8), LinkClass::kPrefetch), 5 * idle);
  EXPECT_GT(model_.EstimateUs(path, MiB(8), LinkClass::kRebalance), 5 * idle);
  model_.OnReclassified(path, LinkClass::kPrefetch, LinkClass::kDemand, MiB(80));
  EXPECT_GT(model_.EstimateUs(path, MiB(8), LinkClass::kDemand), 5 * idle);
  model_.OnEnded(path, LinkClass::kDemand, MiB(80));
  EXPECT_DOUBLE_EQ(model_.EstimateUs(path, MiB(8), LinkClass::kDemand), idle);
}

TEST_F(LinkModelTest, BacklogIsBackgroundWorkOfTheBusiestLink) {
  const auto path = model_.CopyPath(kDisk0, kGpu0);
  const auto read = model_.CopyPath(kDisk0, kHost);
  const double rate = model_.figures(read[0].link).bytes_per_us;
  model_.OnStarted(path, LinkClass::kDemand, GiB(1));
  EXPECT_EQ(model_.BacklogSeconds(path), 0);
  EXPECT_FALSE(model_.Idle(path));
  model_.OnStarted(read, LinkClass::kPrefetch, MiB(100));
  model_.OnStarted(read, LinkClass::kRebalance, MiB(100));
  EXPECT_DOUBLE_EQ(model_.BacklogSeconds(path), static_cast<double>(200 << 20) / rate / 1e6);
  EXPECT_EQ(model_.BacklogSeconds(model_.CopyPath(kHost, kGpu0)), 0);
  EXPECT_FALSE(model_.Idle(model_.CopyPath(kHost, kGpu0)));
  EXPECT_TRUE(model_.Idle(model_.CopyPath(kHost, kGpu1)));
  EXPECT_TRUE(model_.Idle({}));
}

TEST_F(LinkModelTest, MeasurementsReplaceThePriorByTheirBytes) {
  const auto path = model_.CopyPath(kDisk0, kHost);
  const double prior = model_.figures(path[0].link).bytes_per_us;
  EXPECT_FALSE(model_.figures(path[0].link).measured);
  model_.OnMeasured(Use(path, 4096, 4096 / 16));  // 16 bytes a microsecond
  EXPECT_TRUE(model_.figures(path[0].link).measured);
  EXPECT_NEAR(model_.figures(path[0].link).bytes_per_us, prior, prior * 0.02);
  for (int i = 0; i < 40; ++i) model_.OnMeasured(Use(path, 32 << 20, (32 << 20) / 6000, 80));
  EXPECT_NEAR(model_.figures(path[0].link).bytes_per_us, 6000, 300);  // the prior counts as 32 MiB
  EXPECT_NEAR(model_.figures(path[0].link).latency_us, 80, 15);
  EXPECT_EQ(model_.figures(path[0].link).moved_bytes[0], 4096u + 40u * (32 << 20));
  EXPECT_NEAR(model_.figures(path[0].link).busy_seconds[0], 40 * (32 << 20) / 6000 * 1e-6, 1e-3);
}

TEST_F(LinkModelTest, SenselessMeasurementsChangeNoEstimate) {
  const auto path = model_.CopyPath(kDisk0, kHost);
  const double before = model_.EstimateUs(path, MiB(8), LinkClass::kDemand);
  model_.OnMeasured(Use(path, 0, 0));
  model_.OnMeasured(Use(path, 0, 1000, -5));
  model_.OnMeasured(Use(path, 1 << 20, 0));
  model_.OnMeasured(Use(path, 1 << 20, -7, -1));
  LinkUse unknown = Use(path, 1 << 20, 5);
  unknown.link = LinkId(999);
  model_.OnMeasured(unknown);
  unknown.link = LinkId();
  model_.OnMeasured(unknown);
  EXPECT_EQ(model_.EstimateUs(path, MiB(8), LinkClass::kDemand), before);
  EXPECT_FALSE(model_.figures(path[0].link).measured);
}

TEST_F(LinkModelTest, EndingMoreThanBeganLeavesNothingQueued) {
  const auto path = model_.CopyPath(kHost, kGpu0);
  model_.OnStarted(path, LinkClass::kDemand, MiB(1));
  model_.OnEnded(path, LinkClass::kDemand, MiB(2));
  EXPECT_TRUE(model_.Idle(path));
}

}  // namespace
}  // namespace residency
