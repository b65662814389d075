// Disks and files that lie, change, fill up or vanish: no wrong byte is ever served, and what can
// be served goes on being served.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>

#include "tests/integration/hostile_peer.h"
#include "tests/integration/hostile_support.h"
#include "tests/integration/node_process.h"

namespace residency::testing {
namespace {

// A file system of few bytes, gone at the end.
class SmallDisk {
 public:
  SmallDisk(std::string path, const std::string& size) : path_(std::move(path)) {
    std::filesystem::create_directories(path_);
    const std::string options = "size=" + size + ",mode=0755";
    mounted_ = mount("tmpfs", path_.c_str(), "tmpfs", 0, options.c_str()) == 0;
    if (!mounted_) why_ = std::strerror(errno);
  }
  ~SmallDisk() {
    if (mounted_) umount2(path_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  bool mounted() const { return mounted_; }
  const std::string& why() const { return why_; }
  const std::string& path() const { return path_; }

  // Until not a page is left.
  void Fill() {
    Fd file(open((path_ + "/filler").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    const std::string page(4096, 'x');
    while (write(file.get(), page.data(), page.size()) > 0) {
    }
  }
  void Free() { unlink((path_ + "/filler").c_str()); }

 private:
  const std::string path_;
  bool mounted_ = false;
  std::string why_;
};

std::string FreshDirectory() {
  std::string path = ::testing::TempDir() + "/disk_test.XXXXXX";
  EXPECT_NE(mkdtemp(path.data()), nullptr);
  return path;
}

std::optional<v1::CopyInfo> CopyOnDisk(NodeProcess& node, const std::string& name) {
  const v1::BlockInfo block = node.Block(name);
  for (const v1::CopyInfo& copy : block.copies()) {
    if (copy.tier() == v1::TIER_NVME && copy.status() == "live") return copy;
  }
  return std::nullopt;
}

void FlipByte(const std::string& path, uint64_t offset) {
  Fd file(open(path.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(file.valid()) << path << ": " << std::strerror(errno);
  char byte = 0;
  ASSERT_EQ(pread(file.get(), &byte, 1, static_cast<off_t>(offset)), 1);
  byte = static_cast<char>(byte ^ 0x40);
  ASSERT_EQ(pwrite(file.get(), &byte, 1, static_cast<off_t>(offset)), 1);
  ASSERT_EQ(fsync(file.get()), 0);
}

// Leaves the block with its copy on disk alone.
void DemoteToDisk(NodeProcess& node, const std::string& name) {
  std::string said;
  ASSERT_TRUE(WaitFor([&] {
    int status = -1;
    said = node.Ctl({"demote", name, "--to", "S4"}, &status);
    return node.Block(name).state() == v1::RESIDENCY_STATE_S4_NVME;
  })) << said
      << node.Block(name).ShortDebugString();
  ASSERT_TRUE(CopyOnDisk(node, name).has_value()) << node.Block(name).ShortDebugString();
}

void FlipMiddleByteOnDisk(NodeProcess& node, const std::string& name) {
  const auto copy = CopyOnDisk(node, name);
  ASSERT_TRUE(copy.has_value());
  FlipByte(node.nvme_path(), copy->offset() + copy->length() / 2);
}

// Nothing goes to disk but what an operator sends there.
NodeOptions WithoutStaging() {
  NodeOptions options;
  options.extra = "[policy]\nstage_nvme = false\nstage_dram = false\nprefetch = false\n";
  return options;
}

class FlippedByte : public ::testing::TestWithParam<bool> {};

TEST_P(FlippedByte, IsNeverServedAndTheRecipeHealsIt) {
  const bool restart = GetParam();
  NodeProcess node(WithoutStaging());
  node.ExpectWarnings({"checksum", "orphan", "restore", "lost"});
  const std::string checkpoint = WriteCheckpoint(node);
  node.Start();
  ExpectServes(node, checkpoint);
  const std::string name = ExpertNames(node)[3];
  ASSERT_NO_FATAL_FAILURE(DemoteToDisk(node, name));
  const auto offset = CopyOnDisk(node, name)->offset() + 12'345;
  if (restart) node.Kill();
  ASSERT_NO_FATAL_FAILURE(FlipByte(node.nvme_path(), offset));
  if (restart) node.Start();

  EngineProcess engine(node.runtime_dir());
  ASSERT_EQ(Attach(engine, checkpoint).substr(0, 2), "ok");
  const std::string answer = engine.Do("acquire " + name);
  EXPECT_TRUE(RightBytes(answer)) << answer;
  // What the operator port shows is as of the last tick.
  EXPECT_TRUE(WaitFor([&] { return node.Status().counters().checksum_failures() >= 1; }));
  EXPECT_EQ(node.Status().counters().lost_blocks(), 0u);
  // The bad extent is no copy any more.
  const v1::BlockInfo block = node.Block(name);
  for (const v1::CopyInfo& copy : block.copies()) {
    EXPECT_FALSE(copy.tier() == v1::TIER_NVME && copy.status() == "live" &&
                 copy.offset() == offset - 12'345)
        << copy.ShortDebugString();
  }
}

INSTANTIATE_TEST_SUITE_P(Disk, FlippedByte, ::testing::Bool(), [](const auto& param_info) {
  return param_info.param ? "AcrossAKill" : "WhileItRuns";
});

TEST(DiskTest, FlippedByteWithoutRecipeIsDataLossUntilTheBytesArePutAgain) {
  NodeProcess node(WithoutStaging());
  node.ExpectWarnings({"checksum", "lost"});
  node.Start();
  EngineProcess engine(node.runtime_dir());
  ASSERT_EQ(engine.Do("connect").substr(0, 2), "ok");
  const std::string attached = engine.Do("attachblocks put-model w0:300000");
  ASSERT_EQ(attached.substr(0, 2), "ok") << attached;
  const std::string put = engine.Do("put w0 300000 7 durable");
  ASSERT_EQ(put.substr(0, 2), "ok") << put;
  ASSERT_NO_FATAL_FAILURE(DemoteToDisk(node, "w0"));
  ASSERT_NO_FATAL_FAILURE(FlipMiddleByteOnDisk(node, "w0"));

  const std::string lost = engine.Do("acquire w0 deadline_ms=5000");
  EXPECT_TRUE(Begins(lost, "error") && Holds(lost, "DATA_LOSS")) << lost;
  EXPECT_TRUE(Holds(lost, "w0")) << lost;
  EXPECT_TRUE(WaitFor([&] { return node.Status().counters().checksum_failures() >= 1; }));
  EXPECT_TRUE(WaitFor([&] { return node.Status().counters().lost_blocks() == 1; }));
  EXPECT_FALSE(node.Status().healthy());

  const std::string again = engine.Do("put w0 300000 7 durable");
  EXPECT_EQ(again.substr(0, 2), "ok") << again;
  const std::string healed = engine.Do("acquire w0");
  EXPECT_TRUE(RightBytes(healed)) << healed;
  EXPECT_TRUE(WaitFor([&] { return node.Status().counters().lost_blocks() == 0; }));
}

enum class Change { kReplaced, kModified };

class ChangedCheckpoint : public ::testing::TestWithParam<Change> {};

TEST_P(ChangedCheckpoint, IsNamedAndWhatIsStagedIsStillRight) {
  NodeProcess node(WithoutStaging());
  node.ExpectWarnings({"changed", "lost", "model.safetensors"});
  const std::string checkpoint = WriteCheckpoint(node);
  node.Start();
  EngineProcess engine(node.runtime_dir());
  ASSERT_EQ(Attach(engine, checkpoint).substr(0, 2), "ok");
  const std::vector<std::string> names = ExpertNames(node);
  for (int i : {0, 1}) {
    const std::string answer = engine.Do("acquire " + names[i]);
    ASSERT_TRUE(RightBytes(answer)) << answer;
    engine.Do("release");
  }
  ASSERT_NO_FATAL_FAILURE(DemoteToDisk(node, names[0]));
  ASSERT_NO_FATAL_FAILURE(DemoteToDisk(node, names[1]));

  if (GetParam() == Change::kReplaced) {
    const std::string other = WriteCheckpoint(node, /*seed=*/2, "other.safetensors");
    ASSERT_EQ(std::rename(other.c_str(), checkpoint.c_str()), 0);
  } else {
    FlipByte(checkpoint, std::filesystem::file_size(checkpoint) - 1);
  }
  const std::string unstaged = engine.Do("acquire " + names[2] + " deadline_ms=5000");
  EXPECT_TRUE(Begins(unstaged, "error") && Holds(unstaged, "FAILED_PRECONDITION")) << unstaged;
  EXPECT_TRUE(Holds(unstaged, "model.safetensors")) << unstaged;
  for (int i : {0, 1}) {
    const std::string staged = engine.Do("acquire " + names[i]);
    EXPECT_TRUE(RightBytes(staged)) << staged;
    engine.Do("release");
  }
  // All blocks of the file but the two.
  const uint64_t blocks = node.Status().blocks();
  EXPECT_TRUE(WaitFor([&] { return node.Status().counters().lost_blocks() == blocks - 2; }))
      << node.Status().counters().lost_blocks() << " of " << blocks;
  EXPECT_FALSE(node.Status().healthy());
}

INSTANTIATE_TEST_SUITE_P(Disk, ChangedCheckpoint,
                         ::testing::Values(Change::kReplaced, Change::kModified),
                         [](const auto& param_info) {
                           return param_info.param == Change::kReplaced ? "Replaced"
                                                                        : "ModifiedInPlace";
                         });

TEST(DiskTest, PoolFullOfLeasesNamesItsHoldersAndRecovers) {
  NodeOptions options;
  options.hbm = "8MiB";
  options.hbm_segment = "2MiB";
  NodeProcess node(options);
  node.Start();
  RawPeer peer(node.runtime_dir());
  const uint32_t model = peer.Attach("full", 4 << 20).model_id();
  const std::vector<uint32_t> blocks = peer.Register(model, 9, 1 << 20);
  // An operator pins what fills the pool beside the leases: after that nothing more fits.
  uint64_t request = 1;
  v1::AcquireResponse held;
  for (int i = 0; i < 5; ++i) {
    v1::AcquireResponse response;
    const grpc::Status status = peer.Acquire(request++, {blocks[i]}, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    int exit_status = -1;
    node.Ctl({"pin", std::to_string(blocks[i])}, &exit_status);
    ASSERT_EQ(exit_status, 0);
    v1::ReleaseRequest release;
    release.add_lease_ids(response.leases(0).lease_id());
    v1::ReleaseResponse released;
    ASSERT_TRUE(peer.Call(&v1::EngineService::Stub::Release, release, &released).ok());
  }
  ASSERT_TRUE(peer.Acquire(request++, {blocks[5], blocks[6]}, &held).ok());
  v1::AcquireResponse none;
  const grpc::Status full = peer.Acquire(request++, {blocks[7], blocks[8]}, &none, 300'000);
  EXPECT_EQ(full.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << full.error_message();
  EXPECT_TRUE(Holds(full.error_message(), "session")) << full.error_message();

  v1::ReleaseRequest release;
  for (const v1::Lease& lease : held.leases()) release.add_lease_ids(lease.lease_id());
  v1::ReleaseResponse released;
  ASSERT_TRUE(peer.Call(&v1::EngineService::Stub::Release, release, &released).ok());
  const grpc::Status recovered = peer.Acquire(request++, {blocks[7], blocks[8]}, &none);
  EXPECT_TRUE(recovered.ok()) << recovered.error_message();
}

TEST(DiskTest, MoreLeasesThanDeclaredAreRefusedUntilSomeAreReleased) {
  NodeProcess node;
  node.Start();
  RawPeer peer(node.runtime_dir());
  const uint32_t model = peer.Attach("declared", 2 << 20).model_id();
  const std::vector<uint32_t> blocks = peer.Register(model, 4, 1 << 20);
  v1::AcquireResponse held;
  ASSERT_TRUE(peer.Acquire(1, {blocks[0], blocks[1]}, &held).ok());
  v1::AcquireResponse more;
  const grpc::Status refused = peer.Acquire(2, {blocks[2]}, &more);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(Holds(refused.error_message(), "max_leased_bytes")) << refused.error_message();

  v1::ReleaseRequest release;
  release.add_lease_ids(held.leases(0).lease_id());
  v1::ReleaseResponse released;
  ASSERT_TRUE(peer.Call(&v1::EngineService::Stub::Release, release, &released).ok());
  const grpc::Status granted = peer.Acquire(3, {blocks[2]}, &more);
  EXPECT_TRUE(granted.ok()) << granted.error_message();
}

TEST(DiskTest, DiskSmallerThanTheModelServesRightBytes) {
  NodeOptions options;
  options.hbm = "8MiB";
  options.hbm_segment = "2MiB";
  options.dram = "8MiB";
  options.dram_segment = "2MiB";
  options.nvme = "4MiB";
  NodeProcess node(options);
  const std::string checkpoint = WriteCheckpoint(node);
  node.Start();
  EngineProcess engine(node.runtime_dir());
  const std::string attached = Attach(engine, checkpoint, 3 << 20, 2 << 20);
  ASSERT_EQ(attached.substr(0, 2), "ok") << attached;
  const std::vector<std::string> names = ExpertNames(node);
  for (int round = 0; round < 4; ++round) {
    for (const std::string& name : names) {
      const std::string answer = engine.Do("acquire " + name);
      ASSERT_TRUE(RightBytes(answer)) << name << ": " << answer;
      engine.Do("release");
    }
  }
  const v1::GetStatusResponse status = node.Status();
  for (const v1::Pool& pool : status.pools()) {
    EXPECT_LE(pool.used_bytes() + pool.reserved_bytes(), pool.capacity_bytes()) << pool.name();
  }
}

TEST(DiskTest, DaemonRefusesToStartOnADiskWithoutRoomForThePool) {
  SmallDisk disk(FreshDirectory() + "/disk", "8m");
  if (!disk.mounted()) GTEST_SKIP() << "no tmpfs can be mounted here: " << disk.why();
  NodeOptions options;
  options.nvme = "64MiB";
  options.nvme_path = disk.path() + "/nvme0.pool";
  NodeProcess node(options);
  node.ExpectWarnings({disk.path(), "capacity"});
  EXPECT_NE(node.StartExpectingExit(), 0);
  const std::string log = node.Log();
  EXPECT_TRUE(Holds(log, options.nvme_path)) << log;
  EXPECT_TRUE(Holds(log, "64.0 MiB")) << log;
  EXPECT_TRUE(Holds(log, "8.00 MiB free")) << log;
}

TEST(DiskTest, CatalogueOnAFullDiskSuspendsStagingAndNothingElse) {
  NodeOptions options;
  options.hbm = "8MiB";
  options.hbm_segment = "2MiB";
  NodeProcess node(options);
  node.ExpectWarnings({"catalogue", "disk is full", "full", "transfer"});
  SmallDisk disk(node.state_dir(), "4m");
  if (!disk.mounted()) GTEST_SKIP() << "no tmpfs can be mounted here: " << disk.why();
  // The pool's file may lie in the state directory; it must not be on the small disk.
  const std::string checkpoint = WriteCheckpoint(node);
  node.Start();
  EngineProcess engine(node.runtime_dir());
  ASSERT_EQ(Attach(engine, checkpoint, 3 << 20, 2 << 20).substr(0, 2), "ok");
  const std::vector<std::string> names = ExpertNames(node);
  disk.Fill();

  const auto use_all = [&] {
    for (const std::string& name : names) {
      const std::string answer = engine.Do("acquire " + name);
      ASSERT_TRUE(RightBytes(answer)) << name << ": " << answer;
      engine.Do("release");
    }
  };
  ASSERT_NO_FATAL_FAILURE(use_all());
  std::string problems;
  EXPECT_TRUE(WaitFor([&] {
    const v1::GetStatusResponse status = node.Status();
    problems.clear();
    for (const std::string& problem : status.problems()) problems += problem + "\n";
    return !status.healthy() && Holds(problems, "suspended");
  })) << problems;
  ASSERT_NO_FATAL_FAILURE(use_all());
  EXPECT_TRUE(node.running());

  // With room again, staging goes on and the problem goes away.
  disk.Free();
  EXPECT_TRUE(WaitFor(
      [&] {
        use_all();
        return node.Status().healthy();
      },
      std::chrono::seconds(60)))
      << node.Status().ShortDebugString();
}

}  // namespace
}  // namespace residency::testing
