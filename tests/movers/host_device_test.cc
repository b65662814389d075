#include "movers/host_device.h"

#include "tests/movers/movers_testing.h"

namespace residency {
namespace {

class HostDeviceTest : public testing::Test {
 protected:
  static std::unique_ptr<Arena> MakeArena() {
    ArenaOptions options;
    options.name = "hbm0";
    options.capacity = MiB(2);
    options.segment_bytes = MiB(1);
    return Arena::Create(options).value();
  }
  std::unique_ptr<Arena> arena_ = MakeArena();
  HostDevice device_{arena_.get()};
  const ByteVector bytes_ = TestBytes(1, 5000);
};

TEST_F(HostDeviceTest, UploadLabelsTheSegmentsAndDownloadReadsBack) {
  const CopyPlace place{
      PoolId(0), {MiB(1).count() - 4096, 8192}, {RegionNumber(1), RegionNumber(2)}};
  ASSERT_TRUE(device_.Upload(place, 1000, bytes_.data(), bytes_.size()).ok());
  ByteVector found(bytes_.size());
  ASSERT_TRUE(device_.Download(place, 1000, found.data(), found.size()).ok());
  EXPECT_EQ(found, bytes_);
  EXPECT_TRUE(device_.Export(RegionNumber(1)).ok());
  EXPECT_TRUE(device_.Export(RegionNumber(2)).ok());
  EXPECT_EQ(device_.Export(RegionNumber(3)).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(HostDeviceTest, RangesOutsideThePlaceAreRefused) {
  const CopyPlace place{PoolId(0), {0, 4096}, {RegionNumber(1)}};
  EXPECT_EQ(device_.Upload(place, 0, bytes_.data(), 5000).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(device_.Upload(place, ~uint64_t{0}, bytes_.data(), 2).code(),
            absl::StatusCode::kOutOfRange);
  const CopyPlace outside{PoolId(0), {MiB(2).count(), 4096}, {RegionNumber(1)}};
  ByteVector into(10);
  EXPECT_EQ(device_.Download(outside, 0, into.data(), 10).code(), absl::StatusCode::kOutOfRange);
}

TEST(DeviceBackendTest, SaysWhichRunsAndWhy) {
  const DeviceBackend backend = SelectDeviceBackend();
  EXPECT_EQ(backend.name, "host");
  EXPECT_NE(backend.reason.find("CUDA"), std::string::npos);
}

}  // namespace
}  // namespace residency
