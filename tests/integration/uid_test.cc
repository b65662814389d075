// Another user on the same node: what the daemon holds for one is nothing to the other.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "tests/integration/hostile_peer.h"
#include "tests/integration/hostile_support.h"
#include "tests/integration/node_process.h"

namespace residency::testing {
namespace {

constexpr int kOtherUid = 65534;

// What the other user is told; it runs as a process of its own.
constexpr char kRuntimeDir[] = "RESIDENCY_UID_TEST_RUNTIME_DIR";
constexpr char kFingerprint[] = "RESIDENCY_UID_TEST_FINGERPRINT";
constexpr char kModel[] = "RESIDENCY_UID_TEST_MODEL";
constexpr char kBlock[] = "RESIDENCY_UID_TEST_BLOCK";
constexpr char kRegion[] = "RESIDENCY_UID_TEST_REGION";
constexpr char kLease[] = "RESIDENCY_UID_TEST_LEASE";

std::string Told(const char* name) {
  const char* const value = std::getenv(name);
  EXPECT_NE(value, nullptr) << name;
  return value == nullptr ? "" : value;
}
uint64_t ToldNumber(const char* name) { return std::strtoull(Told(name).c_str(), nullptr, 10); }

// Runs one test of this program as the other user; its exit status.
int RunAsOther(const std::string& test) {
  const std::string filter = "--gtest_filter=" + test;
  const pid_t child = fork();
  if (child == 0) {
    if (setresgid(kOtherUid, kOtherUid, kOtherUid) != 0 ||
        setresuid(kOtherUid, kOtherUid, kOtherUid) != 0) {
      _exit(100);
    }
    execl("/proc/self/exe", "uid_test", filter.c_str(), "--gtest_also_run_disabled_tests",
          static_cast<char*>(nullptr));
    _exit(101);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

NodeOptions OpenToAll() {
  NodeOptions options;
  options.socket_mode = "0666";
  return options;
}

class UidTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (getuid() != 0) GTEST_SKIP() << "only root can be two users";
  }
  static void LetEverybodyIn(const NodeProcess& node) {
    ASSERT_EQ(chmod(node.directory().c_str(), 0755), 0);
  }
};

// ---------------------------------------------------------------- as the other user

TEST(AsTheOther, DISABLED_SeesNothing) {
  RawPeer peer(Told(kRuntimeDir));
  const v1::AttachModelResponse attached = peer.Attach(Told(kFingerprint));
  EXPECT_NE(attached.model_id(), ToldNumber(kModel));
  EXPECT_EQ(attached.known_blocks(), 0u);

  v1::AcquireResponse acquired;
  const auto block = static_cast<uint32_t>(ToldNumber(kBlock));
  EXPECT_EQ(peer.Acquire(1, {block}, &acquired).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(peer.GetRegion(ToldNumber(kRegion)).response.code(), grpc::StatusCode::NOT_FOUND);

  // Nor can it register blocks in that model, as aliases of those blocks, or put their bytes.
  v1::RegisterBlocksRequest intrude;
  intrude.set_model_id(static_cast<uint32_t>(ToldNumber(kModel)));
  intrude.add_blocks()->set_name("intruder");
  intrude.mutable_blocks(0)->set_bytes(4096);
  intrude.mutable_blocks(0)->set_layer(-1);
  intrude.mutable_blocks(0)->set_expert(-1);
  intrude.mutable_blocks(0)->set_role(v1::ROLE_OTHER);
  v1::RegisterBlocksResponse registered;
  EXPECT_EQ(peer.Call(&v1::EngineService::Stub::RegisterBlocks, intrude, &registered).error_code(),
            grpc::StatusCode::NOT_FOUND);
  intrude.set_model_id(attached.model_id());
  intrude.mutable_blocks(0)->mutable_alias()->set_block_id(block);
  EXPECT_FALSE(peer.Call(&v1::EngineService::Stub::RegisterBlocks, intrude, &registered).ok());
  const Fd bytes = MakeMemfd(1 << 20, 'x');
  v1::PutBlockRequest put;
  put.set_block_id(block);
  put.set_file_handle(peer.OfferFile(bytes.get()));
  put.set_durability(v1::DURABILITY_VOLATILE);
  v1::PutBlockResponse answer;
  EXPECT_EQ(peer.Call(&v1::EngineService::Stub::PutBlock, put, &answer).error_code(),
            grpc::StatusCode::NOT_FOUND);
  // Nor release its lease.
  v1::ReleaseRequest release;
  release.add_lease_ids(ToldNumber(kLease));
  v1::ReleaseResponse released;
  EXPECT_TRUE(peer.Call(&v1::EngineService::Stub::Release, release, &released).ok());
  EXPECT_EQ(released.unknown(), 1u);
}

TEST(AsTheOther, DISABLED_CannotWriteWhatItMayRead) {
  RawPeer peer(Told(kRuntimeDir));
  const uint32_t model = peer.Attach("of-the-other").model_id();
  const std::vector<uint32_t> blocks = peer.Register(model, 1, 1 << 20);
  v1::AcquireResponse acquired;
  const grpc::Status granted = peer.Acquire(1, blocks, &acquired);
  ASSERT_TRUE(granted.ok()) << granted.error_message();
  SideAnswer region = peer.GetRegion(acquired.leases(0).regions(0));
  ASSERT_TRUE(region.fd.valid()) << region.response.message();
  const int fd = region.fd.get();
  const size_t length = region.response.region().length();

  void* const readable = mmap(nullptr, length, PROT_READ, MAP_SHARED, fd, 0);
  EXPECT_NE(readable, MAP_FAILED) << std::strerror(errno);
  EXPECT_NE(mprotect(readable, length, PROT_READ | PROT_WRITE), 0);
  EXPECT_EQ(mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
  EXPECT_LT(pwrite(fd, "x", 1, 0), 0);
  EXPECT_NE(ftruncate(fd, 0), 0);
  EXPECT_NE(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
  EXPECT_NE(fchmod(fd, 0666), 0);
  const std::string again = "/proc/self/fd/" + std::to_string(fd);
  EXPECT_LT(open(again.c_str(), O_RDWR | O_CLOEXEC), 0);
  EXPECT_EQ(errno, EACCES);
  // The same way leads into a memfd that is its own.
  const Fd own = MakeMemfd(4096, 'y');
  const Fd reopened(
      open(("/proc/self/fd/" + std::to_string(own.get())).c_str(), O_RDWR | O_CLOEXEC));
  EXPECT_TRUE(reopened.valid()) << std::strerror(errno);
}

TEST(AsTheOther, DISABLED_CannotConnect) {
  for (const auto& [name, type] :
       {std::pair{"/engine.sock", SOCK_STREAM}, std::pair{"/side.sock", SOCK_SEQPACKET},
        std::pair{"/operator.sock", SOCK_STREAM}}) {
    const Fd fd = ConnectUnix(Told(kRuntimeDir) + name, type);
    EXPECT_EQ(errno, EACCES) << name;
    EXPECT_FALSE(fd.valid()) << name;
  }
}

// ---------------------------------------------------------------- as the first user

TEST_F(UidTest, AnotherUserSeesNothingOfOurs) {
  NodeProcess node(OpenToAll());
  LetEverybodyIn(node);
  node.Start();
  RawPeer ours(node.runtime_dir());
  const uint32_t model = ours.Attach("the-same").model_id();
  const std::vector<uint32_t> blocks = ours.Register(model, 2, 1 << 20);
  v1::AcquireResponse acquired;
  const grpc::Status granted = ours.Acquire(1, {blocks[0]}, &acquired);
  ASSERT_TRUE(granted.ok()) << granted.error_message();
  const v1::Lease& lease = acquired.leases(0);
  EXPECT_TRUE(ours.GetRegion(lease.regions(0)).fd.valid());

  setenv(kRuntimeDir, node.runtime_dir().c_str(), 1);
  setenv(kFingerprint, "the-same", 1);
  setenv(kModel, std::to_string(model).c_str(), 1);
  setenv(kBlock, std::to_string(blocks[0]).c_str(), 1);
  setenv(kRegion, std::to_string(lease.regions(0)).c_str(), 1);
  setenv(kLease, std::to_string(lease.lease_id()).c_str(), 1);
  EXPECT_EQ(RunAsOther("AsTheOther.DISABLED_SeesNothing"), 0) << "see its output above";

  // Ours is as it was.
  EXPECT_EQ(node.Block(std::to_string(blocks[0])).leases(), 1u);
  EXPECT_TRUE(ours.GetRegion(lease.regions(0)).fd.valid());
}

TEST_F(UidTest, GivenDescriptorsCannotBecomeWritable) {
  NodeProcess node(OpenToAll());
  LetEverybodyIn(node);
  node.Start();
  setenv(kRuntimeDir, node.runtime_dir().c_str(), 1);
  EXPECT_EQ(RunAsOther("AsTheOther.DISABLED_CannotWriteWhatItMayRead"), 0)
      << "see its output above";
}

TEST_F(UidTest, SocketsOfMode0600StayClosedToOthers) {
  NodeOptions options;
  options.socket_mode = "0600";
  NodeProcess node(options);
  LetEverybodyIn(node);
  node.Start();
  setenv(kRuntimeDir, node.runtime_dir().c_str(), 1);
  EXPECT_EQ(RunAsOther("AsTheOther.DISABLED_CannotConnect"), 0) << "see its output above";
}

TEST_F(UidTest, AnEngineOfAnotherUserGetsAModelOfItsOwn) {
  NodeProcess node(OpenToAll());
  LetEverybodyIn(node);
  const std::string checkpoint = WriteCheckpoint(node);
  ASSERT_EQ(chmod(checkpoint.c_str(), 0644), 0);
  node.Start();
  EngineProcess ours(node.runtime_dir());
  ASSERT_EQ(Attach(ours, checkpoint, 4 << 20, 2 << 20).substr(0, 2), "ok");
  const std::string name = ExpertNames(node)[0];
  const std::string here = ours.Do("acquire " + name);
  EXPECT_TRUE(RightBytes(here)) << here;

  EngineProcess theirs(node.runtime_dir(), kOtherUid);
  const std::string attached = Attach(theirs, checkpoint, 4 << 20, 2 << 20);
  ASSERT_EQ(attached.substr(0, 2), "ok") << attached;
  const std::string there = theirs.Do("acquire " + name);
  EXPECT_TRUE(RightBytes(there)) << there;
  ASSERT_TRUE(WaitFor([&] { return node.Status().models() == 2; }));
  const auto models = CtlJson<v1::ListModelsResponse>(node, {"models"});
  ASSERT_EQ(models.models_size(), 2);
  EXPECT_EQ(models.models(0).fingerprint(), models.models(1).fingerprint());
  EXPECT_NE(models.models(0).domain(), models.models(1).domain());
}

}  // namespace
}  // namespace residency::testing
