#include "movers/nvme_store.h"

#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <thread>

#include "movers/io_alignment.h"
#include "tests/movers/movers_testing.h"

namespace residency {
namespace {

struct Backend {
  const char* name;
  bool direct;
  bool uring;
};

class NvmeStoreTest : public testing::TestWithParam<Backend> {
 protected:
  NvmeStoreOptions Options() const {
    NvmeStoreOptions options;
    options.name = "nvme0";
    options.path = dir_ / "blocks";
    options.capacity = MiB(4);
    options.allow_direct = GetParam().direct;
    options.allow_uring = GetParam().uring;
    options.lock_wait = Micros(0);
    return options;
  }
  std::unique_ptr<NvmeStore> Open() {
    absl::StatusOr<std::unique_ptr<NvmeStore>> store = NvmeStore::Open(Options());
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }
  static absl::Status Await(const std::function<void(StoreDone)>& call) {
    Monitor monitor;
    std::optional<absl::Status> result;
    call([&](absl::Status status) { monitor.Change([&] { result = std::move(status); }); });
    EXPECT_TRUE(monitor.Wait([&] { return result.has_value(); }));
    return *result;
  }

  TestDir dir_;
  AlignedMemory memory_ = AllocateAligned(1 << 20);
};

TEST_P(NvmeStoreTest, ExtentsAreReadBackAlsoAfterReopening) {
  const ByteVector bytes = TestBytes(3, 1 << 20);
  auto store = Open();
  std::memcpy(memory_.get(), bytes.data(), bytes.size());
  const std::span<std::byte> all{memory_.get(), bytes.size()};
  ASSERT_TRUE(Await([&](StoreDone done) { store->Write(8192, all, done); }).ok());
  ASSERT_TRUE(Await([&](StoreDone done) { store->Sync(done); }).ok());
  for (int round = 0; round < 2; ++round) {
    std::memset(memory_.get(), 0, bytes.size());
    ASSERT_TRUE(Await([&](StoreDone done) { store->Read(8192, all, done); }).ok());
    EXPECT_EQ(std::memcmp(memory_.get(), bytes.data(), bytes.size()), 0);
    store.reset();
    store = Open();
  }
}

TEST_P(NvmeStoreTest, FileIsAllocatedWholeAndPrivate) {
  auto store = Open();
  struct stat info;
  ASSERT_EQ(stat(Options().path.c_str(), &info), 0);
  EXPECT_EQ(info.st_size, 4 << 20);
  EXPECT_GE(info.st_blocks * 512, 4 << 20);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_P(NvmeStoreTest, SecondOpenerIsRefusedAndTheFirstUnharmed) {
  auto store = Open();
  const absl::Status second = NvmeStore::Open(Options()).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(second.message().find("in use"), absl::string_view::npos) << second;
  EXPECT_TRUE(Await([&](StoreDone done) { store->Read(0, {memory_.get(), 4096}, done); }).ok());
}

TEST_P(NvmeStoreTest, OpenerWaitsForALockThatIsAboutToGo) {
  auto first = Open();
  NvmeStoreOptions patient = Options();
  patient.lock_wait = Micros(60'000'000);
  std::thread waiter([&] { EXPECT_TRUE(NvmeStore::Open(patient).ok()); });
  first.reset();
  waiter.join();
}

TEST_P(NvmeStoreTest, FullDiskIsNamedWithSizesAndLeavesNothingBehind) {
  NvmeStoreOptions options = Options();
  options.capacity = GiB(uint64_t{1} << 23);  // 8 PiB
  const absl::Status status = NvmeStore::Open(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_NE(status.message().find(options.path), absl::string_view::npos) << status;
  EXPECT_NE(status.message().find("8192 TiB"), absl::string_view::npos) << status;
  EXPECT_FALSE(std::filesystem::exists(options.path));
}

TEST_P(NvmeStoreTest, FullDiskKeepsAFileThatWasThere) {
  Open().reset();
  NvmeStoreOptions options = Options();
  options.capacity = GiB(uint64_t{1} << 23);
  EXPECT_FALSE(NvmeStore::Open(options).ok());
  EXPECT_EQ(std::filesystem::file_size(options.path), 4u << 20);
}

TEST_P(NvmeStoreTest, RangesOutsideOrUnalignedAreRefused) {
  auto store = Open();
  std::byte* data = memory_.get();
  const auto read = [&](uint64_t offset, std::byte* into, size_t size) {
    return Await([&](StoreDone done) { store->Read(offset, {into, size}, done); }).code();
  };
  EXPECT_EQ(read(4 << 20, data, 4096), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(read((4 << 20) - 4096, data, 8192), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(read(100, data, 4096), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(read(0, data, 100), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(read(0, data + 8, 4096), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(read(~uint64_t{0} - 4095, data, 4096), absl::StatusCode::kInvalidArgument);
}

TEST_P(NvmeStoreTest, TruncationUnderneathIsAnErrorThatNamesTheFile) {
  auto store = Open();
  ASSERT_EQ(truncate(Options().path.c_str(), 4096), 0);
  const absl::Status status = Await([&](StoreDone done) {
    store->Read(8192, {memory_.get(), 4096}, done);
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(status.message().find(Options().path), absl::string_view::npos);
}

TEST_P(NvmeStoreTest, ConcurrentSyncsAllReturn) {
  auto store = Open();
  Monitor monitor;
  int done = 0;
  for (int i = 0; i < 100; ++i) {
    store->Sync([&](absl::Status status) {
      EXPECT_TRUE(status.ok()) << status;
      monitor.Change([&] { ++done; });
    });
  }
  EXPECT_TRUE(monitor.Wait([&] { return done == 100; }));
}

TEST_P(NvmeStoreTest, SaysHowItReads) {
  auto store = Open();
  const std::string& status = store->status();
  if (!GetParam().uring) {
    EXPECT_NE(status.find("threads (io_uring: switched off)"), std::string::npos) << status;
  }
  if (!GetParam().direct) {
    EXPECT_EQ(status.find("buffered (O_DIRECT: switched off)"), 0u) << status;
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, NvmeStoreTest,
                         testing::Values(Backend{"DirectUring", true, true},
                                         Backend{"DirectThreads", true, false},
                                         Backend{"BufferedUring", false, true},
                                         Backend{"BufferedThreads", false, false}),
                         [](const auto& backend) { return std::string(backend.param.name); });

TEST(NvmeStoreFileTest, WhatIsNoRegularFileIsRefused) {
  TestDir dir;
  NvmeStoreOptions options;
  options.capacity = MiB(1);
  options.path = dir / "fifo";
  ASSERT_EQ(mkfifo(options.path.c_str(), 0600), 0);
  EXPECT_EQ(NvmeStore::Open(options).status().code(), absl::StatusCode::kInvalidArgument);
  options.path = dir / "no/such/directory";
  EXPECT_EQ(NvmeStore::Open(options).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace residency
