// What becomes of leases when the stream or the daemon is lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/checkpoint_writer.h"
#include "tests/client/fixture.h"

namespace residency::client_test {
namespace {

class ReconnectTest : public ClientFixture {
 protected:
  void AwaitReconnects(uint64_t count) {
    ASSERT_TRUE(
        Eventually([&] { return client_->Stats().reconnects >= count && client_->connected(); }));
  }
};

TEST_F(ReconnectTest, OldLeaseIsOrphanedAndReadableAndANewOneIsFresh) {
  ConnectWithModel(3);
  Lease old = AcquireOne(1);
  AcquireOne(2).Release();
  RestartDaemon();
  AwaitReconnects(1);
  EXPECT_TRUE(old.orphaned());
  EXPECT_FALSE(old.revoked());
  ExpectBytes(old, 1);
  EXPECT_FALSE(client_->TryAcquireLocal(ids_[2]).has_value());
  EXPECT_EQ(daemon_->Log().attaches, 1);
  EXPECT_TRUE(daemon_->Log().held_at_open.empty());
  EXPECT_EQ(client_->Stats().orphans, 2u);

  Lease fresh = AcquireOne(1);
  EXPECT_FALSE(fresh.orphaned());
  EXPECT_NE(fresh.data(), old.data());
  ExpectBytes(fresh, 1);
  old.Release();
  EXPECT_EQ(daemon_->Log().leases.size(), 1u) << "an old lease's id must not end a new lease";
}

TEST_F(ReconnectTest, AcquireWaitsThroughARestart) {
  ConnectWithModel(2);
  daemon_->HoldAcquires(true);
  std::future<AcquireResult> future = client_->AcquireAsync(ids_);
  ASSERT_TRUE(daemon_->WaitFor([](const FakeLog& log) { return log.acquires == 1; }));
  RestartDaemon();
  AcquireResult leases = future.get();
  ASSERT_TRUE(leases.ok()) << leases.status();
  ExpectBytes((*leases)[0], 0);
  ExpectBytes((*leases)[1], 1);
}

TEST_F(ReconnectTest, AcquireWithoutADaemonEndsAtItsDeadline) {
  ConnectWithModel(1);
  daemon_.reset();
  AcquireResult result = Acquire({0}, {.deadline = absl::Milliseconds(50)});
  EXPECT_TRUE(absl::IsUnavailable(result.status())) << result.status();
  EXPECT_EQ(client_->Stats().bytes_in_use, 0u);
}

TEST_F(ReconnectTest, CachedLeasesStayUsableWhileTheDaemonIsAway) {
  ConnectWithModel(1);
  AcquireOne(0).Release();
  daemon_.reset();
  ASSERT_TRUE(Eventually([&] { return !client_->connected(); }));
  std::optional<Lease> local = client_->TryAcquireLocal(ids_[0]);
  ASSERT_TRUE(local.has_value());
  ExpectBytes(*local, 0);
  client_->StepBegin(model_, 1, Phase::kDecode);
  EXPECT_TRUE(Eventually([&] { return client_->Stats().reports_dropped == 1; }));
}

TEST_F(ReconnectTest, BrokenStreamResumesTheSessionAndKeepsItsLeases) {
  ConnectWithModel(2);
  Lease used = AcquireOne(0);
  AcquireOne(1).Release();
  const auto held = daemon_->Log().leases;
  daemon_->BreakStream();
  AwaitReconnects(1);
  FakeLog log = daemon_->Log();
  EXPECT_EQ(log.attaches, 1) << "a resumed session has its models";
  EXPECT_EQ(std::set<uint64_t>(log.held_at_open.begin(), log.held_at_open.end()), held);
  EXPECT_FALSE(used.orphaned());
  EXPECT_TRUE(client_->TryAcquireLocal(ids_[1]).has_value());
  daemon_->SendRecall({held.begin(), held.end()});
  EXPECT_TRUE(DaemonHolds(1));
}

TEST_F(ReconnectTest, LeasesOfAnEndedSessionAreRevokedAndTheModelIsAttachedAnew) {
  ConnectWithModel(1);
  Lease lease = AcquireOne(0);
  daemon_->EndSession();
  AwaitReconnects(1);
  EXPECT_TRUE(lease.revoked()) << "the same daemon may reuse its memory";
  EXPECT_FALSE(client_->TryAcquireLocal(ids_[0]).has_value());
  EXPECT_EQ(daemon_->Log().attaches, 2);
  Lease fresh = AcquireOne(0);
  ExpectBytes(fresh, 0);
  lease.Release();
  EXPECT_TRUE(DaemonHolds(1));
}

TEST_F(ReconnectTest, FilesAreOfferedAgainToANewDaemonEvenIfUnlinked) {
  const std::string path = directory_ + "/model.safetensors";
  auto writer = CheckpointWriter::Create(path, {{"model.norm.weight", Dtype::kU8, {256}}});
  ASSERT_TRUE(writer.ok()) << writer.status();
  std::vector<std::byte> data(256, std::byte{0x5a});
  ASSERT_TRUE((*writer)->Append(data).ok());
  ASSERT_TRUE((*writer)->Finish().ok());
  Connect();
  auto model = client_->AttachCheckpoint(path, {});
  ASSERT_TRUE(model.ok()) << model.status();
  std::filesystem::remove(path);
  RestartDaemon();
  AwaitReconnects(1);
  auto leases = client_->Acquire(model->Dense(-1));
  ASSERT_TRUE(leases.ok()) << leases.status();
  EXPECT_EQ(leases->front().data()[255], std::byte{0x5a});
}

}  // namespace
}  // namespace residency::client_test
