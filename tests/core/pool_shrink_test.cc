// What a reservation gives back when its bytes turn out to be fewer.
#include "core/pool.h"
#include "gtest/gtest.h"

namespace residency {
namespace {

constexpr DomainId kAlice(1000);
constexpr DomainId kBob(1001);

PoolOptions Options() {
  return {.id = PoolId(3),
          .tier = Tier::kDram,
          .name = "dram",
          .capacity = KiB(64),
          .segment_bytes = KiB(16),
          .alignment = KiB(4),
          .domain_segments = true};
}

TEST(PoolShrinkTest, TheTailIsFreeAtOnce) {
  Pool pool(Options());
  auto room = pool.Reserve(kAlice, KiB(12), Purpose::kDemand);
  ASSERT_TRUE(room.ok());
  const uint64_t begin = room->extent().offset;
  room->Shrink(Bytes(4097));  // two pages
  EXPECT_EQ(room->extent().offset, begin);
  EXPECT_EQ(room->extent().length, KiB(8).count());
  EXPECT_EQ(pool.reserved(), KiB(8));
  EXPECT_EQ(pool.used_by(kAlice), KiB(8));
  EXPECT_EQ(pool.free(), KiB(56));
  pool.CheckInvariants({room->extent()});
}

TEST(PoolShrinkTest, ToItsOwnSizeChangesNothing) {
  Pool pool(Options());
  auto room = pool.Reserve(kAlice, KiB(12), Purpose::kDemand);
  ASSERT_TRUE(room.ok());
  room->Shrink(KiB(12) - Bytes(5));
  EXPECT_EQ(room->extent().length, KiB(12).count());
  EXPECT_EQ(pool.reserved(), KiB(12));
  pool.CheckInvariants({room->extent()});
}

TEST(PoolShrinkTest, SegmentsThatItLeavesGoToOtherDomains) {
  Pool pool(Options());
  auto room = pool.Reserve(kAlice, KiB(64), Purpose::kDemand);  // all four segments
  ASSERT_TRUE(room.ok());
  EXPECT_FALSE(pool.Reserve(kBob, KiB(4), Purpose::kDemand).ok());
  room->Shrink(KiB(20));  // one segment and a page of the next
  pool.CheckInvariants({room->extent()});
  const auto other = pool.Reserve(kBob, KiB(32), Purpose::kDemand);
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_GE(other->extent().offset, KiB(32).count()) << "the second segment is still Alice's";
  pool.CheckInvariants({room->extent(), other->extent()});
}

TEST(PoolShrinkTest, WhatIsKeptIsWhatIsLeft) {
  Pool pool(Options());
  auto room = pool.Reserve(kAlice, KiB(40), Purpose::kDemand);
  ASSERT_TRUE(room.ok());
  room->Shrink(KiB(4));
  const Extent kept = room->extent();
  std::move(*room).Keep();
  EXPECT_EQ(pool.used(), KiB(4));
  EXPECT_EQ(pool.reserved(), Bytes());
  pool.CheckInvariants({kept});
  pool.Free(kept);
  EXPECT_EQ(pool.free(), KiB(64));
  pool.CheckInvariants({});
}

TEST(PoolShrinkTest, AShrunkReservationThatDiesGoesBackWhole) {
  Pool pool(Options());
  {
    auto room = pool.Reserve(kAlice, KiB(40), Purpose::kDemand);
    ASSERT_TRUE(room.ok());
    room->Shrink(KiB(24));
    room->Shrink(KiB(8));
  }
  EXPECT_EQ(pool.reserved(), Bytes());
  EXPECT_EQ(pool.free(), KiB(64));
  pool.CheckInvariants({});
}

}  // namespace
}  // namespace residency
