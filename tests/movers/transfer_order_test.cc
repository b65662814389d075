// Cancelling, raising, limits and the end: what happens to transfers midway.
#include "tests/movers/node_testing.h"

namespace residency {
namespace {

constexpr uint64_t kBytes = 32'768 * 8;  // eight chunks

class TransferOrderTest : public testing::Test {
 protected:
  static TestNodeOptions OneChunkAtATime() {
    TestNodeOptions options;
    options.chunks_in_flight_max = 1;
    options.compute_threads = 1;
    return options;
  }
  // Returns when everything started so far is queued on its link: the one worker prepares in order.
  static void AwaitPrepared(TestNode& node) {
    EXPECT_TRUE(node.Run(Synthetic(), TestNode::Place(kDram, 8 << 20, 1), 1).status.ok());
  }
  static std::vector<uint64_t> ChunksOf(uint64_t at, uint64_t first, uint64_t last) {
    std::vector<uint64_t> offsets;
    for (uint64_t i = first; i <= last; ++i) offsets.push_back(at + i * 32'768);
    return offsets;
  }
  // The reads of a disk after the first `skip`, as many as are expected.
  static std::vector<uint64_t> ReadsAfter(TestNode& node, size_t skip, size_t count) {
    const std::vector<uint64_t> reads = node.disk(kNvme0).reads();
    if (reads.size() < skip + count) return reads;
    const auto begin = reads.begin() + static_cast<ptrdiff_t>(skip);
    return {begin, begin + static_cast<ptrdiff_t>(count)};
  }
  // A copy on disk at `at`, to be staged in DRAM.
  Ticket StartFromDisk(TestNode& node, uint64_t at, LinkClass cls) {
    const ByteVector bytes = TestBytes(at, kBytes);
    const CopySource source{TestNode::Place(kNvme0, at, kBytes), ChecksumOf(bytes)};
    node.Put(source.place, bytes);
    return node.Start(source, TestNode::Place(kDram, at, kBytes), kBytes, cls);
  }
  static Recipe Synthetic() {
    Recipe recipe;
    recipe.kind = RecipeKind::kSynthetic;
    recipe.seed = 3;
    return recipe;
  }
};

TEST_F(TransferOrderTest, CancelEndsAtTheNextChunkAndAfterTheLastIo) {
  TestNode node(OneChunkAtATime());
  node.disk(kNvme0).gate.Close();
  const Ticket ticket = StartFromDisk(node, 0, LinkClass::kDemand);
  ASSERT_TRUE(node.disk(kNvme0).gate.LetOneGo());
  ASSERT_TRUE(node.disk(kNvme0).gate.AwaitHeld(1));
  node.engine().Cancel(ticket);
  EXPECT_EQ(node.engine().live_count(), 1u) << "a read of its target is still under way";
  EXPECT_FALSE(node.outcomes.Has(ticket));
  node.disk(kNvme0).gate.Open();
  const TransferOutcome outcome = node.outcomes.Wait(ticket);
  EXPECT_EQ(outcome.failure, TransferFailure::kCancelled);
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(node.disk(kNvme0).reads().size(), 2u);
}

TEST_F(TransferOrderTest, QueuedTransferIsCancelledAtOnce) {
  TestNode node(OneChunkAtATime());
  node.disk(kNvme0).gate.Close();
  const Ticket first = StartFromDisk(node, 0, LinkClass::kDemand);
  ASSERT_TRUE(node.disk(kNvme0).gate.AwaitHeld(1));
  const Ticket second = StartFromDisk(node, 1 << 20, LinkClass::kDemand);
  node.engine().Cancel(second);
  EXPECT_EQ(node.outcomes.Wait(second).failure, TransferFailure::kCancelled);
  node.disk(kNvme0).gate.Open();
  EXPECT_TRUE(node.outcomes.Wait(first).status.ok());
}

TEST_F(TransferOrderTest, CancelAfterTheEndAndOfTheUnknownIsIgnored) {
  TestNode node;
  const Ticket ticket = StartFromDisk(node, 0, LinkClass::kDemand);
  EXPECT_TRUE(node.outcomes.Wait(ticket).status.ok());
  node.engine().Cancel(ticket);
  node.engine().Cancel(Ticket(12345));
  node.engine().Reclassify(Ticket(12345), LinkClass::kDemand);
  EXPECT_EQ(node.outcomes.size(), 1u);
}

TEST_F(TransferOrderTest, CancelledTransfersGiveTheirStagingBuffersBack) {
  TestNode node;
  node.disk(kNvme1).gate.Close();
  std::vector<Ticket> tickets;
  for (uint64_t i = 0; i < 8; ++i) {
    tickets.push_back(node.Start(Synthetic(), TestNode::Place(kNvme1, i * kBytes, kBytes), kBytes));
  }
  ASSERT_TRUE(node.disk(kNvme1).gate.AwaitHeld(node.staging().buffer_count()));
  for (const Ticket ticket : tickets) node.engine().Cancel(ticket);
  node.disk(kNvme1).gate.Open();
  for (const Ticket ticket : tickets) {
    EXPECT_EQ(node.outcomes.Wait(ticket).failure, TransferFailure::kCancelled);
  }
  EXPECT_EQ(node.staging().free_count(), node.staging().buffer_count());
}

TEST_F(TransferOrderTest, DemandOvertakesARebalanceMidway) {
  TestNode node(OneChunkAtATime());
  Gate& gate = node.disk(kNvme0).gate;
  gate.Close();
  const Ticket slow = StartFromDisk(node, 0, LinkClass::kRebalance);
  ASSERT_TRUE(gate.LetOneGo());
  ASSERT_TRUE(gate.AwaitHeld(1));
  const Ticket urgent = StartFromDisk(node, 1 << 20, LinkClass::kDemand);
  AwaitPrepared(node);
  for (int i = 0; i < 9; ++i) ASSERT_TRUE(gate.LetOneGo());
  EXPECT_TRUE(node.outcomes.Wait(urgent).status.ok());
  EXPECT_FALSE(node.outcomes.Has(slow));
  EXPECT_EQ(ReadsAfter(node, 2, 8), ChunksOf(1 << 20, 0, 7));
  gate.Open();
  EXPECT_TRUE(node.outcomes.Wait(slow).status.ok());
  EXPECT_EQ(ReadsAfter(node, 10, 6), ChunksOf(0, 2, 7));
}

TEST_F(TransferOrderTest, RaisedTransferOvertakes) {
  TestNode node(OneChunkAtATime());
  Gate& gate = node.disk(kNvme0).gate;
  gate.Close();
  const Ticket first = StartFromDisk(node, 0, LinkClass::kRebalance);
  ASSERT_TRUE(gate.AwaitHeld(1));
  const Ticket raised = StartFromDisk(node, 1 << 20, LinkClass::kRebalance);
  AwaitPrepared(node);
  node.engine().Reclassify(raised, LinkClass::kDemand);
  for (int i = 0; i < 9; ++i) ASSERT_TRUE(gate.LetOneGo());
  const TransferOutcome outcome = node.outcomes.Wait(raised);
  EXPECT_TRUE(outcome.status.ok());
  ASSERT_EQ(outcome.uses.size(), 1u);
  EXPECT_EQ(outcome.uses[0].cls, LinkClass::kDemand);
  EXPECT_FALSE(node.outcomes.Has(first));
  EXPECT_EQ(ReadsAfter(node, 1, 8), ChunksOf(1 << 20, 0, 7));
  gate.Open();
  EXPECT_TRUE(node.outcomes.Wait(first).status.ok());
}

TEST_F(TransferOrderTest, LoweredTransferIsOvertaken) {
  TestNode node(OneChunkAtATime());
  Gate& gate = node.disk(kNvme0).gate;
  gate.Close();
  const Ticket lowered = StartFromDisk(node, 0, LinkClass::kDemand);
  ASSERT_TRUE(gate.AwaitHeld(1));
  const Ticket other = StartFromDisk(node, 1 << 20, LinkClass::kPrefetch);
  AwaitPrepared(node);
  node.engine().Reclassify(lowered, LinkClass::kRebalance);
  for (int i = 0; i < 9; ++i) ASSERT_TRUE(gate.LetOneGo());
  EXPECT_TRUE(node.outcomes.Wait(other).status.ok());
  EXPECT_EQ(ReadsAfter(node, 1, 8), ChunksOf(1 << 20, 0, 7));
  gate.Open();
  EXPECT_TRUE(node.outcomes.Wait(lowered).status.ok());
}

TEST_F(TransferOrderTest, TransfersBeyondTheLimitAreRefused) {
  TestNodeOptions options;
  options.transfers_max = 2;
  TestNode node(options);
  node.disk(kNvme0).gate.Close();
  const Ticket a = StartFromDisk(node, 0, LinkClass::kDemand);
  const Ticket b = StartFromDisk(node, 1 << 20, LinkClass::kDemand);
  const Ticket c = StartFromDisk(node, 2 << 20, LinkClass::kDemand);
  const TransferOutcome refused = node.outcomes.Wait(c);
  EXPECT_EQ(refused.failure, TransferFailure::kTargetError);
  EXPECT_EQ(refused.status.code(), absl::StatusCode::kResourceExhausted);
  node.disk(kNvme0).gate.Open();
  EXPECT_TRUE(node.outcomes.Wait(a).status.ok());
  EXPECT_TRUE(node.outcomes.Wait(b).status.ok());
}

TEST_F(TransferOrderTest, EndOfTheEngineCancelsEverythingAndTellsEverybody) {
  TestNode node;
  std::vector<Ticket> tickets;
  for (uint64_t i = 0; i < 10; ++i) {
    tickets.push_back(StartFromDisk(node, i << 20, LinkClass::kRebalance));
    tickets.push_back(node.Start(Synthetic(), TestNode::Place(kNvme1, i << 20, kBytes), kBytes));
  }
  node.EndEngine();
  for (const Ticket ticket : tickets) {
    ASSERT_TRUE(node.outcomes.Has(ticket));
    const TransferFailure failure = node.outcomes.Wait(ticket).failure;
    EXPECT_TRUE(failure == TransferFailure::kNone || failure == TransferFailure::kCancelled);
  }
  EXPECT_EQ(node.staging().free_count(), node.staging().buffer_count());
}

// Cancels and raises at arbitrary moments: every ticket gets one outcome, and no buffer is lost.
TEST_F(TransferOrderTest, CancellingAtAnyMomentLosesNothing) {
  TestNode node;
  std::vector<Ticket> tickets;
  for (uint64_t i = 0; i < 60; ++i) {
    const uint64_t at = (i % 15) << 20;
    const PoolId target = i % 3 == 0 ? kNvme1 : i % 3 == 1 ? kHbm0 : kHbm1;
    // Cancelled ones may share a place: who wrote last does not matter here.
    tickets.push_back(
        node.Start(Synthetic(), TestNode::Place(target, at, kBytes), kBytes, LinkClass::kPrefetch));
    if (i % 2 == 0) node.engine().Cancel(tickets[i / 2]);
    if (i % 3 == 0) node.engine().Reclassify(tickets[i / 3], LinkClass::kDemand);
  }
  for (const Ticket ticket : tickets) node.outcomes.Wait(ticket);
  EXPECT_EQ(node.outcomes.size(), tickets.size());
  EXPECT_EQ(node.staging().free_count(), node.staging().buffer_count());
}

}  // namespace
}  // namespace residency
