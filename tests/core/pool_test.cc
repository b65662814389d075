#include "core/pool.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace residency {
namespace {

constexpr DomainId kAlice(1000);
constexpr DomainId kBob(1001);

PoolOptions Options(uint64_t capacity_kib, uint64_t segment_kib, bool domain_segments = true) {
  return {.id = PoolId(3),
          .tier = domain_segments ? Tier::kDram : Tier::kNvme,
          .name = "dram",
          .capacity = KiB(capacity_kib),
          .segment_bytes = KiB(segment_kib),
          .alignment = KiB(4),
          .domain_segments = domain_segments};
}

Extent Keep(Pool& pool, DomainId domain, uint64_t kib, Purpose purpose = Purpose::kDemand) {
  auto room = pool.Reserve(domain, KiB(kib), purpose);
  EXPECT_TRUE(room.ok()) << room.status();
  if (!room.ok()) return {};
  const Extent extent = room->extent();
  std::move(*room).Keep();
  return extent;
}

TEST(PoolTest, AReservationThatDiesGoesBack) {
  Pool pool(Options(64, 16));
  {
    auto room = pool.Reserve(kAlice, KiB(8), Purpose::kDemand);
    ASSERT_TRUE(room.ok());
    EXPECT_EQ(pool.reserved(), KiB(8));
    pool.CheckInvariants({room->extent()});
    Pool::Reservation moved = *std::move(room);
    EXPECT_EQ(pool.reserved(), KiB(8));
  }
  EXPECT_EQ(pool.reserved(), Bytes());
  EXPECT_EQ(pool.free(), KiB(64));
  pool.CheckInvariants({});
}

TEST(PoolTest, KeptBytesStayUntilFreed) {
  Pool pool(Options(64, 16));
  const Extent extent = Keep(pool, kAlice, 8);
  EXPECT_EQ(pool.used(), KiB(8));
  EXPECT_EQ(pool.used_by(kAlice), KiB(8));
  EXPECT_EQ(pool.used_by(kBob), Bytes());
  EXPECT_DOUBLE_EQ(pool.pressure(), 0.125);
  pool.Free(extent);
  EXPECT_EQ(pool.used(), Bytes());
  pool.CheckInvariants({});
}

TEST(PoolTest, SizesAreRoundedToTheAlignmentOnly) {
  Pool pool(Options(1024, 1024));
  // 13 blocks of 76 KiB fit into 1024 KiB; with powers of two it would be 8.
  std::vector<Extent> kept;
  for (int i = 0; i < 13; ++i) {
    auto room = pool.Reserve(kAlice, KiB(75) + Bytes(1), Purpose::kDemand);
    ASSERT_TRUE(room.ok()) << i;
    EXPECT_EQ(room->extent().length, KiB(76).count());
    kept.push_back(room->extent());
    std::move(*room).Keep();
  }
  EXPECT_FALSE(pool.Reserve(kAlice, KiB(76), Purpose::kDemand).ok());
  pool.CheckInvariants(kept);
}

TEST(PoolTest, AHoleOfTheSameSizeIsTakenFirst) {
  Pool pool(Options(256, 64));
  std::vector<Extent> kept;
  for (int i = 0; i < 5; ++i) kept.push_back(Keep(pool, kAlice, 12));
  const Extent small = Keep(pool, kAlice, 4);
  pool.Free(kept[2]);
  EXPECT_EQ(Keep(pool, kAlice, 12), kept[2]);
  pool.Free(small);
  EXPECT_EQ(Keep(pool, kAlice, 4), small);
}

TEST(PoolTest, SizesKeepToSegmentsOfTheirOwnWhileThereAreFreshOnes) {
  Pool pool(Options(256, 64));
  std::vector<Extent> large;
  std::vector<Extent> small;
  for (int i = 0; i < 4; ++i) {
    large.push_back(Keep(pool, kAlice, 12));
    small.push_back(Keep(pool, kAlice, 4));
  }
  for (const Extent& a : large)
    EXPECT_EQ(a.offset / KiB(64).count(), large[0].offset / KiB(64).count());
  for (const Extent& a : small)
    EXPECT_EQ(a.offset / KiB(64).count(), small[0].offset / KiB(64).count());
  EXPECT_NE(large[0].offset / KiB(64).count(), small[0].offset / KiB(64).count());
}

TEST(PoolTest, SameSizedBlocksSpanAdjacentSegmentsAndWasteNothing) {
  Pool pool(Options(192, 64));
  // 12 KiB does not divide 64 KiB: 5 a segment alone, 16 in three that touch.
  std::vector<Extent> kept;
  for (int i = 0; i < 16; ++i) kept.push_back(Keep(pool, kAlice, 12));
  EXPECT_EQ(pool.free(), Bytes());
  pool.CheckInvariants(kept);
  int spanning = 0;
  for (const Extent& extent : kept) {
    const CopyPlace place = pool.PlaceOf(extent);
    const bool spans = extent.offset / KiB(64).count() != (extent.end() - 1) / KiB(64).count();
    EXPECT_EQ(place.regions.size(), spans ? 2u : 1u);
    spanning += spans;
  }
  EXPECT_EQ(spanning, 2);
}

TEST(PoolTest, ABlockLargerThanASegmentTakesAdjacentOnes) {
  Pool pool(Options(256, 64));
  const Extent extent = Keep(pool, kAlice, 150);
  const CopyPlace place = pool.PlaceOf(extent);
  ASSERT_EQ(place.regions.size(), 3u);
  for (const RegionNumber region : place.regions) EXPECT_EQ(pool.DomainOfRegion(region), kAlice);
  pool.CheckInvariants({extent});
}

TEST(PoolTest, DomainsNeverShareASegment) {
  Pool pool(Options(128, 64));
  const Extent alice = Keep(pool, kAlice, 4);
  const Extent bob = Keep(pool, kBob, 4);
  EXPECT_NE(alice.offset / KiB(64).count(), bob.offset / KiB(64).count());
  EXPECT_FALSE(pool.WouldFit(DomainId(7), KiB(4), Purpose::kDemand, {}));
  const auto refused = pool.Reserve(DomainId(7), KiB(4), Purpose::kDemand);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.status().message()), testing::HasSubstr("no run of 4.00 KiB"));
}

TEST(PoolTest, AWhollyFreeSegmentChangesDomainUnderANewRegion) {
  Pool pool(Options(64, 64));
  const Extent alice = Keep(pool, kAlice, 4);
  const RegionNumber before = pool.PlaceOf(alice).regions[0];
  EXPECT_TRUE(pool.WouldFit(kBob, KiB(4), Purpose::kDemand, {alice}));
  EXPECT_FALSE(pool.WouldFit(kBob, KiB(4), Purpose::kDemand, {}));
  pool.Free(alice);
  EXPECT_EQ(pool.DomainOfRegion(before), kAlice) << "kept while nobody else needs it";
  const Extent bob = Keep(pool, kBob, 4);
  const RegionNumber after = pool.PlaceOf(bob).regions[0];
  EXPECT_NE(after, before);
  EXPECT_EQ(pool.DomainOfRegion(before), std::nullopt);
  EXPECT_EQ(pool.DomainOfRegion(after), kBob);
  EXPECT_EQ(pool.SegmentOfRegion(after), 0u);
}

TEST(PoolTest, AnUnassignedSegmentBeforeADomainsHoleServesALargeBlock) {
  Pool pool(Options(128, 64));
  const Extent a = Keep(pool, kBob, 64);
  const Extent b = Keep(pool, kAlice, 32);
  const Extent c = Keep(pool, kAlice, 32);
  pool.Free(b.offset < c.offset ? b : c);
  pool.Free(a);
  // Bob's empty segment and the hole after it make up 96 KiB.
  EXPECT_TRUE(pool.WouldFit(kAlice, KiB(96), Purpose::kDemand, {}));
  EXPECT_TRUE(pool.Reserve(kAlice, KiB(96), Purpose::kDemand).ok());
}

TEST(PoolTest, OnlyDemandEntersTheDemandReserve) {
  Pool pool(Options(64, 64));
  pool.set_demand_reserve(KiB(16));
  Keep(pool, kAlice, 44, Purpose::kBackground);
  EXPECT_FALSE(pool.WouldFit(kAlice, KiB(8), Purpose::kBackground, {}));
  const auto refused = pool.Reserve(kAlice, KiB(8), Purpose::kBackground);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.status().message()), testing::HasSubstr("kept for demand"));
  EXPECT_TRUE(pool.Reserve(kAlice, KiB(4), Purpose::kBackground).ok());
  Keep(pool, kAlice, 20, Purpose::kDemand);
  EXPECT_EQ(pool.free(), Bytes());
}

TEST(PoolTest, WhatACatalogueRemembersIsRestoredOnce) {
  Pool pool(Options(64, 16, /*domain_segments=*/false));
  EXPECT_TRUE(pool.Restore({8192, 16384}).ok());
  EXPECT_EQ(pool.Restore({8192, 4096}).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(pool.Restore({20480, 8192}).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(pool.Restore({1, 4096}).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(pool.Restore({0, 4097}).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(pool.Restore({0, 0}).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(pool.Restore({65536, 4096}).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(pool.Restore({~uint64_t{4095}, 8192}).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(pool.used(), KiB(16));
  EXPECT_TRUE(pool.PlaceOf({8192, 16384}).regions.empty());
  pool.CheckInvariants({{8192, 16384}});
}

TEST(PoolTest, FragmentationIsWhatTheLargestRunLeavesOut) {
  Pool pool(Options(64, 64));
  EXPECT_EQ(pool.fragmentation(), 0);
  std::vector<Extent> kept;
  for (int i = 0; i < 16; ++i) kept.push_back(Keep(pool, kAlice, 4));
  EXPECT_EQ(pool.fragmentation(), 0) << "nothing is free";
  for (int i = 0; i < 16; i += 4) pool.Free(kept[i]);
  EXPECT_DOUBLE_EQ(pool.fragmentation(), 0.75);
}

TEST(PoolTest, CapacityIsRoundedDownAndTheLastSegmentMayBeShort) {
  PoolOptions options = Options(64, 48);
  options.capacity = KiB(63);
  Pool pool(options);
  EXPECT_EQ(pool.capacity(), KiB(60));
  EXPECT_TRUE(pool.Reserve(kAlice, KiB(60), Purpose::kDemand).ok());
  EXPECT_FALSE(pool.Reserve(kAlice, KiB(61), Purpose::kDemand).ok());
}

}  // namespace
}  // namespace residency
