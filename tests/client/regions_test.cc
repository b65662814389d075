#include "client/regions.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <map>

namespace residency::client::internal {
namespace {

constexpr uint64_t kSegment = 16384;

// Memory files by region; the first byte of each is its region's number.
class RegionsTest : public ::testing::Test {
 protected:
  RegionsTest() {
    v1::GetNodeInfoResponse info;
    info.set_daemon_instance("instance");
    v1::Pool& pool = *info.add_pools();
    pool.set_pool_id(1);
    pool.set_tier(v1::TIER_HBM);
    pool.set_segment_bytes(kSegment);
    pool.set_capacity_bytes(4 * kSegment);
    instance_ = *DaemonInstance::Create(info);
  }

  absl::StatusOr<Mapping> Map(uint64_t offset, uint64_t length, std::vector<uint64_t> regions) {
    v1::Lease lease;
    lease.set_lease_id(5);
    lease.set_pool_id(1);
    lease.set_offset(offset);
    lease.set_length(length);
    lease.mutable_regions()->Add(regions.begin(), regions.end());
    uint64_t segment = offset / kSegment;
    return instance_->Map(lease, [&](uint64_t region) { return Give(region, segment++); });
  }

  absl::StatusOr<Region> Give(uint64_t region, uint64_t segment) {
    ++asked_;
    UniqueFd file(::memfd_create("region", MFD_CLOEXEC));
    EXPECT_EQ(::ftruncate(file.get(), static_cast<off_t>(file_bytes_)), 0);
    char first = static_cast<char>(region);
    EXPECT_EQ(::pwrite(file.get(), &first, 1, 0), 1);
    return Region{std::move(file), region, 1, segment + segment_shift_, kSegment};
  }

  std::shared_ptr<DaemonInstance> instance_;
  uint64_t file_bytes_ = kSegment;
  uint64_t segment_shift_ = 0;
  int asked_ = 0;
};

TEST_F(RegionsTest, RegionIsAskedForOnce) {
  auto first = Map(0, 100, {7});
  ASSERT_TRUE(first.ok()) << first.status();
  auto second = Map(200, 100, {7});
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->data(), first->data() + 200);
  EXPECT_EQ(asked_, 1);
}

TEST_F(RegionsTest, SegmentIsMappedAnewOnlyWhenNoLeaseOfTheOldRegionLives) {
  {
    auto old = Map(0, 100, {7});
    ASSERT_TRUE(old.ok());
    EXPECT_TRUE(absl::IsFailedPrecondition(Map(0, 100, {8}).status()));
    EXPECT_EQ(old->data()[0], std::byte{7});
  }
  auto fresh = Map(0, 100, {8});
  ASSERT_TRUE(fresh.ok()) << fresh.status();
  EXPECT_EQ(fresh->data()[0], std::byte{8});
}

TEST_F(RegionsTest, LeaseBeyondItsPoolOrWithoutItsRegionsIsRefused) {
  EXPECT_FALSE(Map(4 * kSegment, 1, {7}).ok());
  EXPECT_FALSE(Map(~uint64_t{0}, 2, {7}).ok());
  EXPECT_FALSE(Map(0, 5 * kSegment, {1, 2, 3, 4, 5}).ok());
  EXPECT_FALSE(Map(0, 0, {}).ok());
  EXPECT_FALSE(Map(kSegment - 1, 2, {7}).ok());
  EXPECT_TRUE(Map(kSegment - 1, 2, {7, 8}).ok());
}

TEST_F(RegionsTest, WrongOrShortRegionIsRefused) {
  segment_shift_ = 1;
  EXPECT_FALSE(Map(0, 100, {7}).ok());
  segment_shift_ = 0;
  file_bytes_ = 4096;
  EXPECT_FALSE(Map(0, 5000, {7}).ok()) << "reading it would kill the process";
  EXPECT_TRUE(Map(0, 4096, {7}).ok());
}

TEST_F(RegionsTest, MappingOutlivesEverybodyElse) {
  auto mapping = Map(0, 100, {9});
  ASSERT_TRUE(mapping.ok());
  instance_.reset();
  EXPECT_EQ(mapping->data()[0], std::byte{9});
}

TEST_F(RegionsTest, PoolsThatMakeNoSenseAreRefused) {
  v1::GetNodeInfoResponse info;
  info.add_pools()->set_segment_bytes(1000);
  EXPECT_TRUE(absl::IsInvalidArgument(DaemonInstance::Create(info).status()));
}

}  // namespace
}  // namespace residency::client::internal
