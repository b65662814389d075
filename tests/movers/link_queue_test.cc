#include "movers/link_queue.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace residency {
namespace {

using enum LinkClass;
constexpr uint32_t kMiB = 1 << 20;

class LinkQueueTest : public testing::Test {
 protected:
  void Offer(uint64_t ticket, LinkClass cls, int chunks, uint32_t bytes = kMiB) {
    for (int i = 0; i < chunks; ++i) {
      queue_.Offer(Ticket(ticket), cls, {static_cast<uint32_t>(i), bytes}, clock_.Now());
    }
  }
  // Tickets in the order in which their chunks go, one chunk in flight at a time.
  std::vector<uint64_t> DrainOneByOne(int limit = 1000) {
    std::vector<uint64_t> order;
    while (limit-- > 0 && queue_.Peek(clock_.Now())) {
      const LinkGrant grant = queue_.Take(clock_.Now());
      order.push_back(grant.ticket.value());
      queue_.Done(grant, clock_.Now());
    }
    return order;
  }
  std::vector<LinkGrant> TakeAll() {
    std::vector<LinkGrant> grants;
    while (queue_.Peek(clock_.Now())) grants.push_back(queue_.Take(clock_.Now()));
    return grants;
  }

  ManualClock clock_;
  LinkQueue queue_;
};

TEST_F(LinkQueueTest, ClassesGoInOrderAndWithinAClassFirstComeFirstServed) {
  Offer(1, kRebalance, 1);
  Offer(2, kPrefetch, 1);
  Offer(3, kDemand, 1);
  Offer(4, kDemand, 1);
  Offer(5, kPrefetch, 1);
  EXPECT_EQ(DrainOneByOne(), (std::vector<uint64_t>{3, 4, 2, 5, 1}));
}

TEST_F(LinkQueueTest, TransferKeepsItsPlaceFromChunkToChunk) {
  Offer(1, kDemand, 1);
  Offer(2, kDemand, 2);
  const LinkGrant first = queue_.Take(clock_.Now());
  EXPECT_EQ(first.ticket, Ticket(1));
  Offer(1, kDemand, 1);  // its next chunk comes after 2 was queued
  EXPECT_EQ(DrainOneByOne(), (std::vector<uint64_t>{1, 2, 2}));
}

TEST_F(LinkQueueTest, DemandOvertakesBetweenTwoChunks) {
  Offer(1, kRebalance, 3);
  const LinkGrant first = queue_.Take(clock_.Now());
  Offer(2, kDemand, 2);
  queue_.Done(first, clock_.Now());
  EXPECT_EQ(DrainOneByOne(), (std::vector<uint64_t>{2, 2, 1, 1}));
}

TEST_F(LinkQueueTest, ReclassifiedTransferGoesBehindThoseOfItsNewClass) {
  Offer(1, kRebalance, 2);
  Offer(2, kRebalance, 1);
  Offer(3, kDemand, 1);
  queue_.Reclassify(Ticket(2), kDemand, clock_.Now());
  queue_.Reclassify(Ticket(99), kDemand, clock_.Now());  // unknown: ignored
  EXPECT_EQ(DrainOneByOne(), (std::vector<uint64_t>{3, 2, 1, 1}));
}

TEST_F(LinkQueueTest, WithdrawnChunksNeverGo) {
  Offer(1, kDemand, 3);
  Offer(2, kRebalance, 1);
  const LinkGrant flying = queue_.Take(clock_.Now());
  queue_.Withdraw(Ticket(1));
  queue_.Done(flying, clock_.Now());
  EXPECT_EQ(DrainOneByOne(), (std::vector<uint64_t>{2}));
  EXPECT_TRUE(queue_.in_flight().zero());
}

TEST_F(LinkQueueTest, BackgroundFillsTheLinkWhileThereIsNoDemand) {
  Offer(1, kRebalance, 100);
  TakeAll();
  EXPECT_EQ(queue_.in_flight(), MiB(16));
}

TEST_F(LinkQueueTest, BackgroundHasAWindowWhileDemandIsAbout) {
  Offer(1, kDemand, 1);
  Offer(2, kPrefetch, 100);
  Offer(3, kRebalance, 100);
  const std::vector<LinkGrant> grants = TakeAll();
  ASSERT_EQ(grants.size(), 3u);
  EXPECT_EQ(grants[0].ticket, Ticket(1));
  EXPECT_EQ(grants[1].ticket, Ticket(2));
  EXPECT_EQ(grants[2].ticket, Ticket(2));
  for (const LinkGrant& grant : grants) queue_.Done(grant, clock_.Now());
  EXPECT_EQ(TakeAll().size(), 2u) << "demand was seen just now";
}

TEST_F(LinkQueueTest, WindowOpensAHundredMillisecondsAfterTheLastDemand) {
  Offer(1, kDemand, 1);
  queue_.Done(queue_.Take(clock_.Now()), clock_.Now());
  Offer(2, kRebalance, 100);
  clock_.Advance(Micros(99'999));
  EXPECT_EQ(TakeAll().size(), 2u);
  clock_.Advance(Micros(1));
  EXPECT_EQ(TakeAll().size(), 14u);
}

TEST_F(LinkQueueTest, DemandMayFillTheLinkBesideTheWindow) {
  Offer(2, kRebalance, 4);
  Offer(1, kDemand, 100);
  EXPECT_EQ(TakeAll().size(), 16u);
  EXPECT_EQ(queue_.in_flight(), MiB(16));
}

TEST_F(LinkQueueTest, HeldBackPrefetchIsNotOvertakenByRebalance) {
  Offer(1, kDemand, 1);
  Offer(2, kPrefetch, 1, 2 * kMiB);
  Offer(2, kPrefetch, 1, 2 * kMiB);
  Offer(3, kRebalance, 1, 4096);
  EXPECT_EQ(TakeAll().size(), 2u);
  EXPECT_EQ(queue_.Peek(clock_.Now()), std::nullopt);
}

TEST_F(LinkQueueTest, ChunkLargerThanTheLimitsGoesAlone) {
  Offer(1, kRebalance, 2, 64 * kMiB);
  EXPECT_EQ(TakeAll().size(), 1u);
}

TEST_F(LinkQueueTest, SmallChunksAreBoundedByCount) {
  Offer(1, kDemand, 1000, 512);
  EXPECT_EQ(TakeAll().size(), 64u);
}

}  // namespace
}  // namespace residency
