#include "core/copy.h"

#include "gtest/gtest.h"

namespace residency {
namespace {

TEST(CopyTest, ASlotIsReusedUnderAHigherGeneration) {
  CopyTable copies;
  const SlotId slot = copies.Allocate();
  const Generation first = copies[slot].generation;
  copies[slot].status = CopyStatus::kLive;
  copies[slot].offset = 4096;
  EXPECT_TRUE(copies.Is(slot, first));
  copies.Release(slot);
  EXPECT_FALSE(copies.Is(slot, first));
  ASSERT_EQ(copies.Allocate(), slot);
  copies[slot].status = CopyStatus::kLive;
  EXPECT_GT(copies[slot].generation, first);
  EXPECT_FALSE(copies.Is(slot, first));
  EXPECT_EQ(copies[slot].offset, 0u) << "nothing of the last copy is left";
}

TEST(CopyTest, WhatIsNoSlotIsNoCopy) {
  CopyTable copies;
  EXPECT_FALSE(copies.Is(SlotId(), Generation(0)));
  EXPECT_FALSE(copies.Is(SlotId(0), Generation(0)));
  EXPECT_EQ(copies.size(), 0u);
}

TEST(CopyDeathTest, ALeasedCopysSlotIsNotReleased) {
  CopyTable copies;
  const SlotId slot = copies.Allocate();
  copies[slot].leases = 1;
  EXPECT_DEATH(copies.Release(slot), "leased");
}

TEST(CopyTest, StatusesHaveTheirNames) {
  EXPECT_STREQ(Name(CopyStatus::kFree), "free");
  EXPECT_STREQ(Name(CopyStatus::kCommitting), "committing");
  EXPECT_STREQ(Name(CopyStatus::kQuarantined), "quarantined");
}

}  // namespace
}  // namespace residency
