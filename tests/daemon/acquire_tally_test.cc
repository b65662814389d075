#include "daemon/acquire_tally.h"

#include <gmock/gmock.h>

namespace residency {
namespace {

constexpr TimePoint kStart{Micros(1'000'000)};

// Leases of S0; the daemon does not know the copy yet where the lease's number is 0.
std::optional<ResidencyState> StateOfLease(const GrantedLease& lease) {
  if (lease.lease == LeaseId(0)) return std::nullopt;
  return ResidencyState::kS0FullHbm;
}

GrantedLease Lease(uint32_t block, ResidencyState from, int64_t stall_us) {
  GrantedLease lease;
  lease.lease = LeaseId(1);
  lease.block = BlockId(block);
  lease.served_from = from;
  lease.stall = Micros(stall_us);
  return lease;
}

class AcquireTallyTest : public testing::Test {
 protected:
  void Grant(std::vector<GrantedLease> leases, TimePoint now = kStart) {
    tally_.OnGranted({std::move(leases)}, now);
  }
  AcquireTally tally_{StateOfLease};
};

TEST_F(AcquireTallyTest, AWaitIsSharedAmongTheBlocksThatWereNotThere) {
  Grant({Lease(1, ResidencyState::kS3Dram, 1000), Lease(2, ResidencyState::kS4Nvme, 1000),
         Lease(3, ResidencyState::kS0FullHbm, 1000)});
  Grant({Lease(2, ResidencyState::kS4Nvme, 2000)});
  const AcquireTally::Report report = tally_.Read(10, kStart);
  ASSERT_EQ(report.blocks.size(), 2u);
  EXPECT_EQ(report.blocks[0].block, BlockId(2));
  EXPECT_EQ(report.blocks[0].served_from, ResidencyState::kS4Nvme);
  EXPECT_NEAR(report.blocks[0].stall_us_per_second / report.blocks[1].stall_us_per_second, 5, 1e-9);
  EXPECT_NEAR(report.blocks[0].misses_per_second / report.blocks[1].misses_per_second, 2, 1e-9);
  EXPECT_NEAR(report.stall_us_per_second,
              report.blocks[0].stall_us_per_second + report.blocks[1].stall_us_per_second, 1e-9);
}

TEST_F(AcquireTallyTest, ABatchThatDidNotWaitMissedNothing) {
  Grant({Lease(1, ResidencyState::kS3Dram, 0)});
  Grant({});
  EXPECT_TRUE(tally_.Read(10, kStart).blocks.empty());
}

TEST_F(AcquireTallyTest, WhatHappenedAHalfLifeAgoCountsHalf) {
  Grant({Lease(1, ResidencyState::kS3Dram, 1000)});
  const double fresh = tally_.Read(1, kStart).stall_us_per_second;
  EXPECT_NEAR(tally_.Read(1, kStart + AcquireTally::kHalfLife).stall_us_per_second, fresh / 2,
              1e-9);
}

TEST_F(AcquireTallyTest, ASteadyRateIsReportedAsItIs) {
  TimePoint now = kStart;
  for (int i = 0; i < 2000; ++i) {  // 100 a second, 500 us each, over 20 seconds and more.
    now += Micros(100'000);
    for (int n = 0; n < 10; ++n) Grant({Lease(1, ResidencyState::kS3Dram, 500)}, now);
  }
  const AcquireTally::Report report = tally_.Read(1, now);
  EXPECT_NEAR(report.misses_per_second, 100, 2);
  EXPECT_NEAR(report.stall_us_per_second, 50'000, 1000);
}

TEST_F(AcquireTallyTest, HoldsNoMoreThanItsBoundAndKeepsTheWorst) {
  for (uint32_t i = 0; i < 3 * AcquireTally::kBlocksMax; ++i) {
    Grant({Lease(i + 1, ResidencyState::kS3Dram, i == 0 ? 1'000'000 : 1)});
  }
  const AcquireTally::Report report = tally_.Read(~size_t{0}, kStart);
  EXPECT_LE(report.blocks.size(), AcquireTally::kBlocksMax);
  EXPECT_EQ(report.blocks.front().block, BlockId(1));
  EXPECT_EQ(tally_.Read(3, kStart).blocks.size(), 3u);
}

}  // namespace
}  // namespace residency
