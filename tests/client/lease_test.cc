// What a lease promises, from the grant to its end.
#include "residency/lease.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include "tests/client/fixture.h"

namespace residency::client_test {
namespace {

using ::testing::HasSubstr;

class LeaseTest : public ClientFixture {};

// The permissions of the mapping that holds this address, "r--s".
std::string PermissionsAt(const void* address) {
  std::ifstream maps("/proc/self/maps");
  std::string line;
  while (std::getline(maps, line)) {
    uint64_t begin = 0, end = 0;
    char dash = 0;
    std::string permissions;
    std::istringstream(line) >> std::hex >> begin >> dash >> end >> permissions;
    if (auto at = reinterpret_cast<uint64_t>(address); at >= begin && at < end) return permissions;
  }
  return "";
}

TEST_F(LeaseTest, HoldsTheBytesAndWhatTheDaemonSaid) {
  ConnectWithModel(3);
  Lease lease = AcquireOne(2);
  ExpectBytes(lease, 2);
  EXPECT_EQ(lease.size(), kBlockBytes);
  EXPECT_EQ(lease.block(), ids_[2]);
  EXPECT_EQ(lease.encoding(), Encoding::kFull);
  EXPECT_EQ(lease.tier(), Tier::kHbm);
  EXPECT_EQ(lease.generation(), 3u);
  EXPECT_EQ(lease.layout(), "row");
  EXPECT_EQ(lease.served_from(), ResidencyState::kDram);
  EXPECT_EQ(lease.stall(), absl::Microseconds(123));
  EXPECT_FALSE(lease.orphaned());
  EXPECT_FALSE(lease.revoked());
}

TEST_F(LeaseTest, MemoryIsMappedReadOnly) {
  ConnectWithModel(1);
  Lease lease = AcquireOne(0);
  EXPECT_EQ(PermissionsAt(lease.data()), "r--s");
}

TEST_F(LeaseTest, BlockAcrossTwoSegmentsIsContiguous) {
  StartDaemon({.segment_bytes = 8192});
  Connect();
  Attach(4);  // 5000 bytes each: b1 and b3 span segments
  for (int i : {3, 1, 0, 2}) ExpectBytes(AcquireOne(i), static_cast<uint64_t>(i));
}

TEST_F(LeaseTest, SecondAcquireSendsNothing) {
  ConnectWithModel(2);
  {
    AcquireResult first = Acquire({0, 1});
    ASSERT_TRUE(first.ok()) << first.status();
  }
  const uint64_t sent = Sent();
  for (int i = 0; i < 100; ++i) {
    AcquireResult again = Acquire({1, 0});
    ASSERT_TRUE(again.ok());
    ExpectBytes((*again)[0], 1);
    std::optional<Lease> local = client_->TryAcquireLocal(ids_[0]);
    ASSERT_TRUE(local.has_value());
  }
  EXPECT_EQ(Sent(), sent);
  EXPECT_EQ(client_->Stats().local_hits, 300u);
  EXPECT_EQ(client_->Stats().misses, 2u);
  EXPECT_EQ(daemon_->Log().acquires, 1);
}

TEST_F(LeaseTest, BlockNeverAcquiredIsNoLocalHit) {
  ConnectWithModel(2);
  EXPECT_FALSE(client_->TryAcquireLocal(ids_[1]).has_value());
}

// A child that may only read, write and exit is killed at any other system call.
TEST_F(LeaseTest, LocalHitMakesNoSystemCall) {
  ConnectWithModel(1);
  AcquireOne(0).Release();
  pid_t child = ::fork();
  if (child == 0) {
    if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) ::_exit(3);
    bool hit = true;
    for (int i = 0; i < 1000; ++i) hit = hit && client_->TryAcquireLocal(ids_[0]).has_value();
    ::syscall(SYS_exit, hit ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 3) GTEST_SKIP() << "no seccomp here";
  EXPECT_TRUE(WIFEXITED(status)) << "killed by signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(LeaseTest, DuplicatesShareOneLease) {
  ConnectWithModel(2);
  AcquireResult leases = Acquire({0, 1, 0});
  ASSERT_TRUE(leases.ok()) << leases.status();
  ASSERT_EQ(leases->size(), 3u);
  EXPECT_EQ((*leases)[0].data(), (*leases)[2].data());
  EXPECT_EQ(daemon_->Log().leases.size(), 2u);
  EXPECT_EQ(client_->Stats().bytes_in_use, 2 * kBlockBytes);
  leases->clear();
  EXPECT_EQ(client_->Stats().bytes_in_use, 0u);
}

TEST_F(LeaseTest, RecalledIdleLeaseIsGivenBackAtOnce) {
  ConnectWithModel(1);
  AcquireOne(0).Release();
  daemon_->SendRecall({OnlyLease()});
  EXPECT_TRUE(DaemonHolds(0));
  EXPECT_FALSE(client_->TryAcquireLocal(ids_[0]).has_value());
  EXPECT_EQ(client_->Stats().recalls, 1u);
}

TEST_F(LeaseTest, RecalledLeaseInUseIsGivenBackWithItsLastUse) {
  ConnectWithModel(1);
  Lease first = AcquireOne(0);
  Lease second = AcquireOne(0);
  const uint64_t id = OnlyLease();
  daemon_->SendRecall({id});
  ASSERT_TRUE(Eventually([&] { return client_->Stats().recalls == 1; }));
  EXPECT_FALSE(client_->TryAcquireLocal(ids_[0]).has_value());
  first.Release();
  EXPECT_EQ(client_->Stats().leases, 1u);
  ExpectBytes(second, 0);
  EXPECT_FALSE(second.revoked());
  second.Release();
  EXPECT_TRUE(DaemonHolds(0));
}

TEST_F(LeaseTest, BlockCanBeLeasedAnewWhileItsRecalledLeaseIsInUse) {
  ConnectWithModel(1);
  Lease old = AcquireOne(0);
  daemon_->SendRecall({OnlyLease()});
  ASSERT_TRUE(Eventually([&] { return client_->Stats().recalls == 1; }));
  Lease fresh = AcquireOne(0);
  EXPECT_EQ(daemon_->Log().leases.size(), 2u);
  old.Release();
  EXPECT_TRUE(DaemonHolds(1));
  ExpectBytes(fresh, 0);
}

TEST_F(LeaseTest, RevokedLeaseSaysSoAndIsNotHitAgain) {
  ConnectWithModel(1);
  Lease lease = AcquireOne(0);
  v1::Hint hint;
  hint.mutable_revoked()->add_lease_ids(OnlyLease());
  hint.mutable_revoked()->set_reason("bad copy");
  daemon_->SendHint(hint);
  ASSERT_TRUE(Eventually([&] { return lease.revoked(); }));
  EXPECT_FALSE(client_->TryAcquireLocal(ids_[0]).has_value());
  Hints hints;
  ASSERT_TRUE(Eventually([&] {
    hints = client_->PollHints(1);
    return !hints.hints.empty();
  }));
  EXPECT_EQ(hints.hints[0].reason, "bad copy");
  lease.Release();
  EXPECT_TRUE(DaemonHolds(0));
}

TEST_F(LeaseTest, PinnedAndStreamingLeasesEndWithTheirUse) {
  ConnectWithModel(2);
  Lease pinned = AcquireOne(0, {.mode = LeaseMode::kPinned});
  Lease streaming = AcquireOne(1, {.mode = LeaseMode::kStreaming});
  EXPECT_EQ(pinned.mode(), LeaseMode::kPinned);
  EXPECT_FALSE(client_->TryAcquireLocal(ids_[0]).has_value());
  EXPECT_FALSE(client_->TryAcquireLocal(ids_[1]).has_value());
  pinned.Release();
  streaming.Release();
  EXPECT_TRUE(DaemonHolds(0));
}

TEST_F(LeaseTest, PinnedLeaseIsNeverServedFromARecallableOne) {
  ConnectWithModel(1);
  Lease recallable = AcquireOne(0);
  Lease pinned = AcquireOne(0, {.mode = LeaseMode::kPinned});
  EXPECT_EQ(pinned.mode(), LeaseMode::kPinned);
  EXPECT_EQ(daemon_->Log().leases.size(), 2u);
}

TEST_F(LeaseTest, BatchIsAllOrNothing) {
  ConnectWithModel(3);
  AcquireOne(0).Release();
  daemon_->Refuse("b2");
  AcquireResult refused = Acquire({0, 1, 2});
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status())) << refused.status();
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("held by another engine"));
  EXPECT_EQ(client_->Stats().bytes_in_use, 0u);
  EXPECT_EQ(daemon_->Log().leases.size(), 1u);  // the cached one
  daemon_->Refuse("");
  EXPECT_TRUE(Acquire({0, 1, 2}).ok());
}

TEST_F(LeaseTest, UseBeyondTheDeclaredLimitIsRefusedHere) {
  ConnectWithModel(4, {.max_leased_bytes = 2 * kBlockBytes, .max_batch_bytes = 2 * kBlockBytes});
  { AcquireResult cached = Acquire({0, 1}); }
  AcquireResult used = Acquire({2, 3});
  ASSERT_TRUE(used.ok()) << used.status();
  const int asked = daemon_->Log().acquires;
  EXPECT_TRUE(absl::IsResourceExhausted(Acquire({0}).status()));  // cached, but no more in use
  EXPECT_FALSE(client_->TryAcquireLocal(ids_[1]).has_value());
  EXPECT_EQ(daemon_->Log().acquires, asked);
  used->clear();
  EXPECT_TRUE(Acquire({0}).ok());
  AcquireResult large = Acquire({0, 1, 2, 3}, {.mode = LeaseMode::kPinned});
  EXPECT_THAT(std::string(large.status().message()), HasSubstr("max_batch_bytes 10000"));
}

TEST_F(LeaseTest, BlocksOfNoModelOrOfTwoAreRefused) {
  ConnectWithModel(1);
  auto other = client_->AttachBlocks({"other", "fp-other", {}}, Blocks(1));
  ASSERT_TRUE(other.ok());
  std::vector<BlockId> mixed = {ids_[0], other->blocks()[0].id};
  EXPECT_TRUE(absl::IsInvalidArgument(client_->Acquire(mixed).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(client_->Acquire({}).status()));
  BlockId unknown{999};
  EXPECT_TRUE(absl::IsFailedPrecondition(client_->Acquire({&unknown, 1}).status()));
}

TEST_F(LeaseTest, AnswerAfterTheDeadlineIsGivenBack) {
  ConnectWithModel(1);
  daemon_->HoldAcquires(true);
  AcquireResult late = Acquire({0}, {.deadline = absl::Milliseconds(20)});
  EXPECT_TRUE(absl::IsDeadlineExceeded(late.status())) << late.status();
  EXPECT_EQ(client_->Stats().bytes_in_use, 0u);
  daemon_->HoldAcquires(false);
  EXPECT_TRUE(DaemonHolds(0));
  EXPECT_EQ(client_->Stats().leases, 0u);
}

TEST_F(LeaseTest, AsyncAcquireCallsBackOnce) {
  ConnectWithModel(2);
  std::future<AcquireResult> future = client_->AcquireAsync(ids_);
  AcquireResult leases = future.get();
  ASSERT_TRUE(leases.ok()) << leases.status();
  ExpectBytes((*leases)[1], 1);
  daemon_->HoldAcquires(true);
  AcquireResult late =
      client_->AcquireAsync(ids_, {.deadline = absl::Milliseconds(20), .mode = LeaseMode::kPinned})
          .get();
  EXPECT_TRUE(absl::IsDeadlineExceeded(late.status())) << late.status();
}

TEST_F(LeaseTest, EndOfTheClientCancelsWhatIsPending) {
  ConnectWithModel(1);
  daemon_->HoldAcquires(true);
  std::future<AcquireResult> pending = client_->AcquireAsync(ids_);
  ASSERT_TRUE(daemon_->WaitFor([](const FakeLog& log) { return log.acquires == 1; }));
  client_.reset();
  EXPECT_TRUE(absl::IsCancelled(pending.get().status()));
}

TEST_F(LeaseTest, LeaseThatOutlivesItsClientIsRevokedAndStaysMapped) {
  ConnectWithModel(1);
  Lease lease = AcquireOne(0);
  client_.reset();
  EXPECT_TRUE(lease.revoked());
  ExpectBytes(lease, 0);
}

TEST_F(LeaseTest, ThreadsAndRecallsLeaveNoLeaseBehind) {
  ConnectWithModel(8);
  std::vector<std::thread> threads;
  std::atomic<int> failed{0};
  for (unsigned seed = 1; seed <= 4; ++seed) {
    threads.emplace_back([&, seed] {
      std::mt19937 random(seed);
      for (int i = 0; i < 300; ++i) {
        int block = static_cast<int>(random() % 8);
        AcquireResult leases = Acquire({block, (block + 1) % 8});
        if (!leases.ok()) {
          ++failed;
        } else {
          ExpectBytes((*leases)[0], static_cast<uint64_t>(block));
        }
        if (random() % 4 == 0) {
          FakeLog log = daemon_->Log();
          daemon_->SendRecall({log.leases.begin(), log.leases.end()});
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(client_->Stats().bytes_in_use, 0u);
  EXPECT_TRUE(Eventually([&] {
    FakeLog log = daemon_->Log();
    daemon_->SendRecall({log.leases.begin(), log.leases.end()});
    return daemon_->Log().leases.empty();
  }));
  EXPECT_TRUE(Eventually([&] { return client_->Stats().leases == 0; }));
}

}  // namespace
}  // namespace residency::client_test
