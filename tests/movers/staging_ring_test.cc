#include "movers/staging_ring.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "movers/io_alignment.h"

namespace residency {
namespace {

std::unique_ptr<StagingRing> MakeRing(Bytes total, Bytes buffer) {
  absl::StatusOr<std::unique_ptr<StagingRing>> ring = StagingRing::Create({total, buffer});
  EXPECT_TRUE(ring.ok()) << ring.status();
  return *std::move(ring);
}

TEST(StagingRingTest, GivesOutNoMoreThanItHas) {
  auto ring = MakeRing(MiB(4), MiB(1));
  std::vector<StagingBuffer> held;
  while (auto buffer = ring->TryAcquire(LinkClass::kDemand)) held.push_back(*std::move(buffer));
  EXPECT_EQ(held.size(), 4u);
  EXPECT_EQ(ring->free_count(), 0u);
  held.pop_back();
  EXPECT_TRUE(ring->TryAcquire(LinkClass::kDemand).has_value());
}

TEST(StagingRingTest, BackgroundLeavesAQuarterToDemand) {
  auto ring = MakeRing(MiB(8), MiB(1));
  std::vector<StagingBuffer> held;
  while (auto buffer = ring->TryAcquire(LinkClass::kPrefetch)) held.push_back(*std::move(buffer));
  EXPECT_EQ(held.size(), 6u);
  EXPECT_FALSE(ring->TryAcquire(LinkClass::kRebalance).has_value());
  EXPECT_TRUE(ring->TryAcquire(LinkClass::kDemand).has_value());
}

TEST(StagingRingTest, BackgroundIsServedByASingleBuffer) {
  auto ring = MakeRing(MiB(1), MiB(1));
  EXPECT_TRUE(ring->TryAcquire(LinkClass::kRebalance).has_value());
}

TEST(StagingRingTest, BuffersAreAlignedApartAndWithinTheRegisteredMemory) {
  auto ring = MakeRing(KiB(64), KiB(8));
  std::vector<StagingBuffer> held;
  while (auto buffer = ring->TryAcquire(LinkClass::kDemand)) {
    EXPECT_TRUE(IsAligned(reinterpret_cast<uintptr_t>(buffer->data())));
    EXPECT_GE(buffer->data(), ring->memory().data());
    EXPECT_LE(buffer->data() + 8192, ring->memory().data() + ring->memory().size());
    std::memset(buffer->data(), static_cast<int>(held.size()), 8192);
    held.push_back(*std::move(buffer));
  }
  for (size_t i = 0; i < held.size(); ++i) {
    EXPECT_EQ(held[i].data()[0], static_cast<std::byte>(i));
    EXPECT_EQ(held[i].data()[8191], static_cast<std::byte>(i));
  }
}

TEST(StagingRingTest, MovedBufferIsGivenBackOnce) {
  auto ring = MakeRing(KiB(16), KiB(8));
  {
    auto a = ring->TryAcquire(LinkClass::kDemand);
    auto b = ring->TryAcquire(LinkClass::kDemand);
    *a = *std::move(b);
    EXPECT_EQ(ring->free_count(), 1u);
  }
  EXPECT_EQ(ring->free_count(), 2u);
}

TEST(StagingRingTest, SizesThatMakeNoBufferAreRefused) {
  for (const StagingRingOptions& bad :
       {StagingRingOptions{MiB(1), MiB(2)}, StagingRingOptions{MiB(1), KiB(4)},
        StagingRingOptions{MiB(1), Bytes(10000)}}) {
    EXPECT_EQ(StagingRing::Create(bad).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace residency
