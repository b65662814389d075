#include "movers/transfer_route.h"

#include <gtest/gtest.h>

namespace residency {
namespace {

constexpr PoolId kHbm(0);
constexpr PoolId kDram(1);
constexpr PoolId kNvme(2);

class TransferRouteTest : public testing::Test {
 protected:
  TransferRoute Route(const RouteEnds& ends) { return RouteBetween(ends, links_, Bytes(8192)); }
  std::string LinkName(std::optional<size_t> lane) {
    if (!lane.has_value()) return "none";
    return *lane < links_.size() ? links_[*lane].name : "within dram";
  }
  // Every byte is in exactly one chunk.
  static void ExpectCovers(const TransferRoute& route) {
    uint64_t at = 0;
    for (uint32_t i = 0; i < route.chunk_count(); ++i) {
      const ChunkRange chunk = route.Chunk(i);
      EXPECT_EQ(chunk.at, at);
      EXPECT_GT(chunk.size, 0u);
      at += chunk.size;
    }
    EXPECT_EQ(at, route.bytes);
  }

  const std::vector<Link> links_ =
      LinksOf({{kHbm, Tier::kHbm}, {kDram, Tier::kDram}, {kNvme, Tier::kNvme}});
};

TEST_F(TransferRouteTest, UploadNeedsNoStaging) {
  const TransferRoute route = Route({20'000, SourceKind::kDram, kDram, 0, false, Tier::kHbm, kHbm});
  EXPECT_EQ(LinkName(route.fill), "none");
  EXPECT_EQ(LinkName(route.drain), "dram_hbm");
  EXPECT_FALSE(route.staged);
  EXPECT_EQ(route.chunk_count(), 3u);
  ExpectCovers(route);
}

TEST_F(TransferRouteTest, DiskToDeviceGoesThroughTheRing) {
  const TransferRoute route = Route({8192, SourceKind::kNvme, kNvme, 0, false, Tier::kHbm, kHbm});
  EXPECT_EQ(LinkName(route.fill), "nvme_dram");
  EXPECT_EQ(LinkName(route.drain), "dram_hbm");
  EXPECT_TRUE(route.staged);
}

TEST_F(TransferRouteTest, DiskAndAlignedFileReachDramDirectly) {
  EXPECT_FALSE(Route({1, SourceKind::kNvme, kNvme, 0, false, Tier::kDram, kDram}).staged);
  EXPECT_FALSE(Route({1, SourceKind::kFile, PoolId(), 4096, true, Tier::kDram, kDram}).staged);
  EXPECT_FALSE(Route({1, SourceKind::kFile, PoolId(), 17, false, Tier::kDram, kDram}).staged);
}

TEST_F(TransferRouteTest, UnalignedDirectReadLeavesRoomForItsSuperset) {
  const TransferRoute route =
      Route({20'000, SourceKind::kFile, PoolId(), 4097, true, Tier::kDram, kDram});
  EXPECT_TRUE(route.staged);
  EXPECT_EQ(route.shift, 1u);
  EXPECT_EQ(route.chunk_bytes, 4096u);
  ExpectCovers(route);
}

TEST_F(TransferRouteTest, MoveWithinDramHasALaneOfItsOwn) {
  const TransferRoute route =
      Route({20'000, SourceKind::kDram, kDram, 0, false, Tier::kDram, kDram});
  EXPECT_EQ(LinkName(route.fill), "within dram");
  EXPECT_EQ(LinkName(route.drain), "none");
}

TEST_F(TransferRouteTest, PartialPageFromDramToDiskIsAChunkOfItsOwn) {
  for (const uint64_t bytes : {1u, 4095u, 4097u, 8192u, 8193u, 16'384u, 20'001u}) {
    const TransferRoute route =
        Route({bytes, SourceKind::kDram, kDram, 0, false, Tier::kNvme, kNvme});
    ExpectCovers(route);
    const ChunkRange last = route.Chunk(route.chunk_count() - 1);
    if (bytes % 4096 != 0) {
      EXPECT_EQ(last.size, bytes % 4096);
    }
  }
}

}  // namespace
}  // namespace residency
