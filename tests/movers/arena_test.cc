#include "movers/arena.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/movers/movers_testing.h"

namespace residency {
namespace {

constexpr uint64_t kSegment = 1 << 20;

std::unique_ptr<Arena> MakeArena(uint64_t capacity = 4 * kSegment, int touch_threads = 0) {
  ArenaOptions options;
  options.name = "dram";
  options.capacity = Bytes(capacity);
  options.segment_bytes = Bytes(kSegment);
  options.touch_threads = touch_threads;
  absl::StatusOr<std::unique_ptr<Arena>> arena = Arena::Create(options);
  EXPECT_TRUE(arena.ok()) << arena.status();
  return *std::move(arena);
}

// A client's view of a segment.
struct Mapping {
  explicit Mapping(int fd) : data(mmap(nullptr, kSegment, PROT_READ, MAP_SHARED, fd, 0)) {}
  ~Mapping() { munmap(data, kSegment); }
  bool AllZero() const {
    const auto* bytes = static_cast<const std::byte*>(data);
    return std::all_of(bytes, bytes + kSegment, [](std::byte b) { return b == std::byte{0}; });
  }
  void* data;
};

TEST(ArenaTest, ChangeOfDomainScrubsTheSegment) {
  auto arena = MakeArena();
  ASSERT_TRUE(arena->Ensure(1, RegionNumber(1)).ok());
  std::memset(arena->Data(kSegment), 0x5a, kSegment);
  ASSERT_TRUE(arena->Ensure(1, RegionNumber(2)).ok());
  const std::byte* data = arena->Data(kSegment);
  EXPECT_TRUE(std::all_of(data, data + kSegment, [](std::byte b) { return b == std::byte{0}; }));
}

TEST(ArenaTest, SameRegionKeepsItsBytes) {
  auto arena = MakeArena();
  ASSERT_TRUE(arena->Ensure(0, RegionNumber(7)).ok());
  std::memset(arena->Data(0), 0x5a, 16);
  ASSERT_TRUE(arena->Ensure(0, RegionNumber(7)).ok());
  EXPECT_EQ(arena->Data(0)[15], std::byte{0x5a});
}

TEST(ArenaTest, ClientSeesWhatIsWritten) {
  auto arena = MakeArena();
  ASSERT_TRUE(arena->Ensure(2, RegionNumber(1)).ok());
  absl::StatusOr<OwnedFd> fd = arena->Export(RegionNumber(1));
  ASSERT_TRUE(fd.ok()) << fd.status();
  Mapping client(fd->get());
  ASSERT_NE(client.data, MAP_FAILED);
  std::memcpy(arena->Data(2 * kSegment + 100), "hello", 5);
  EXPECT_EQ(std::memcmp(static_cast<char*>(client.data) + 100, "hello", 5), 0);
}

TEST(ArenaTest, OldMappingReadsZeroOnceTheSegmentChangesHands) {
  auto arena = MakeArena();
  ASSERT_TRUE(arena->Ensure(0, RegionNumber(1)).ok());
  std::memset(arena->Data(0), 0x5a, kSegment);
  absl::StatusOr<OwnedFd> fd = arena->Export(RegionNumber(1));
  ASSERT_TRUE(fd.ok());
  Mapping old(fd->get());
  ASSERT_FALSE(old.AllZero());
  ASSERT_TRUE(arena->Ensure(0, RegionNumber(2)).ok());
  std::memset(arena->Data(0), 0xa5, kSegment);  // the new domain's bytes
  EXPECT_TRUE(old.AllZero());
  struct stat info;
  ASSERT_EQ(fstat(fd->get(), &info), 0);
  EXPECT_EQ(info.st_size, static_cast<off_t>(kSegment)) << "shorter would end a reader by SIGBUS";
}

TEST(ArenaTest, ExportCannotBeMappedWritable) {
  auto arena = MakeArena();
  ASSERT_TRUE(arena->Ensure(0, RegionNumber(1)).ok());
  absl::StatusOr<OwnedFd> fd = arena->Export(RegionNumber(1));
  ASSERT_TRUE(fd.ok());
  EXPECT_EQ(mmap(nullptr, kSegment, PROT_READ | PROT_WRITE, MAP_SHARED, fd->get(), 0), MAP_FAILED);
  EXPECT_EQ(errno, EACCES);
  EXPECT_EQ(pwrite(fd->get(), "x", 1, 0), -1);
}

// Root may open anything, so the attempt is made by a process that is nobody.
TEST(ArenaTest, ExportCannotBeReopenedForWriting) {
  auto arena = MakeArena();
  ASSERT_TRUE(arena->Ensure(0, RegionNumber(1)).ok());
  absl::StatusOr<OwnedFd> fd = arena->Export(RegionNumber(1));
  ASSERT_TRUE(fd.ok());
  char path[64];
  snprintf(path, sizeof(path), "/proc/self/fd/%d", fd->get());
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (getuid() == 0 && setuid(65534) != 0) _exit(2);
    _exit(open(path, O_RDWR) >= 0 ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(ArenaTest, RetiredAndUnknownRegionsAreNotExported) {
  auto arena = MakeArena();
  EXPECT_EQ(arena->Export(RegionNumber(1)).status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(arena->Ensure(0, RegionNumber(1)).ok());
  ASSERT_TRUE(arena->Ensure(0, RegionNumber(2)).ok());
  EXPECT_EQ(arena->Export(RegionNumber(1)).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(arena->Export(RegionNumber(2)).ok());
}

TEST(ArenaTest, OlderRegionDoesNotReplaceANewerOne) {
  auto arena = MakeArena();
  ASSERT_TRUE(arena->Ensure(0, RegionNumber(5)).ok());
  EXPECT_EQ(arena->Ensure(0, RegionNumber(4)).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(arena->Export(RegionNumber(5)).ok());
}

TEST(ArenaTest, BlockMaySpanSegments) {
  auto arena = MakeArena();
  const Extent extent{kSegment - 4096, 8192};
  const std::vector<RegionNumber> regions = {RegionNumber(1), RegionNumber(2)};
  ASSERT_TRUE(arena->EnsureExtent(extent, regions).ok());
  std::memset(arena->Data(extent.offset), 0x11, extent.length);
  absl::StatusOr<OwnedFd> second = arena->Export(RegionNumber(2));
  ASSERT_TRUE(second.ok());
  char byte = 0;
  ASSERT_EQ(pread(second->get(), &byte, 1, 4095), 1);
  EXPECT_EQ(byte, 0x11);
}

TEST(ArenaTest, ExtentsThatDoNotMatchTheirRegionsAreRefused) {
  auto arena = MakeArena();
  const std::vector<RegionNumber> one = {RegionNumber(1)};
  EXPECT_EQ(arena->EnsureExtent({kSegment - 4096, 8192}, one).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(arena->EnsureExtent({4 * kSegment - 4096, 8192}, one).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(arena->EnsureExtent({0, 0}, {}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(arena->Ensure(4, RegionNumber(1)).code(), absl::StatusCode::kInvalidArgument);
}

TEST(ArenaTest, LastSegmentMayBeShorter) {
  auto arena = MakeArena(kSegment + 8192);
  EXPECT_EQ(arena->segment_count(), 2u);
  ASSERT_TRUE(arena->Ensure(1, RegionNumber(1)).ok());
  std::memset(arena->Data(kSegment), 1, 8192);
  ASSERT_TRUE(arena->Ensure(1, RegionNumber(2)).ok());
  EXPECT_EQ(arena->Data(kSegment + 8191)[0], std::byte{0});
}

TEST(ArenaTest, SizesThatMakeNoSegmentAreRefused) {
  ArenaOptions options;
  options.name = "dram";
  options.capacity = Bytes(kSegment + 1);
  options.segment_bytes = Bytes(kSegment);
  EXPECT_EQ(Arena::Create(options).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ArenaTest, TouchingChangesNoByteAndGoesOnBesideUse) {
  auto arena = MakeArena(64 * kSegment, 2);
  for (uint64_t segment = 0; segment < 64; ++segment) {
    ASSERT_TRUE(arena->Ensure(segment, RegionNumber(segment)).ok());
    std::memset(arena->Data(segment * kSegment), 0x77, 4096);
    ASSERT_TRUE(arena->Ensure(segment, RegionNumber(segment + 100)).ok());
    std::memset(arena->Data(segment * kSegment), 0x78, 4096);
  }
  const auto deadline = std::chrono::steady_clock::now() + kTestDeadline;
  while (arena->touched() < arena->capacity()) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    std::this_thread::yield();
  }
  for (uint64_t segment = 0; segment < 64; ++segment) {
    EXPECT_EQ(arena->Data(segment * kSegment)[4095], std::byte{0x78});
    EXPECT_EQ(arena->Data(segment * kSegment)[4096], std::byte{0});
  }
}

TEST(ArenaTest, EndsWhileItIsStillBeingTouched) { MakeArena(256 * kSegment, 1).reset(); }

TEST(ArenaTest, ConcurrentEnsuresAgree) {
  auto arena = MakeArena();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&arena] {
      for (uint64_t segment = 0; segment < 4; ++segment) {
        EXPECT_TRUE(arena->Ensure(segment, RegionNumber(10 + segment)).ok());
        EXPECT_TRUE(arena->Export(RegionNumber(10 + segment)).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace residency
