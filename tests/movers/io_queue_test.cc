#include "movers/io_queue.h"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <span>
#include <thread>

#include "movers/io_alignment.h"
#include "movers/io_ring.h"
#include "movers/io_threads.h"
#include "tests/movers/movers_testing.h"

namespace residency {
namespace {

// Every promise holds for both engines; io_uring is skipped where the kernel refuses it.
class IoQueueTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    memory_ = AllocateAligned(1 << 20);
    IoQueueOptions options;
    options.name = "test";
    options.depth = 4;
    options.registered_memory = {memory_.get(), 1 << 19};
    file_ = dir_ / "file";
    WriteAt(file_, 0, content_);
    fd_ = OwnedFd(open(file_.c_str(), O_RDWR | O_CLOEXEC));
    options.registered_files = {fd_.get()};
    if (GetParam()) {
      absl::StatusOr<std::unique_ptr<IoQueue>> ring = StartIoRing(options);
      if (!ring.ok()) GTEST_SKIP() << ring.status();
      queue_ = *std::move(ring);
    } else {
      queue_ = StartIoThreads(options, "asked for");
    }
  }

  absl::StatusOr<size_t> Perform(IoRequest::Kind kind, int fd, uint64_t offset, std::byte* data,
                                 size_t size) {
    absl::StatusOr<size_t> result = absl::UnknownError("not done");
    Monitor monitor;
    bool done = false;
    queue_->Submit({kind, fd, offset, data, size, [&](absl::StatusOr<size_t> r) {
                      monitor.Change([&] {
                        result = std::move(r);
                        done = true;
                      });
                    }});
    EXPECT_TRUE(monitor.Wait([&] { return done; }));
    return result;
  }

  TestDir dir_;
  std::string file_;
  OwnedFd fd_;
  const ByteVector content_ = TestBytes(1, 300'000);
  AlignedMemory memory_;
  std::unique_ptr<IoQueue> queue_;
};

TEST_P(IoQueueTest, ReadsRegisteredAndOtherMemoryAndFiles) {
  const OwnedFd other = OpenRead(file_);
  for (const int fd : {fd_.get(), other.get()}) {
    for (std::byte* data : {memory_.get() + 3, memory_.get() + (1 << 19)}) {
      std::memset(memory_.get(), 0, 1 << 20);
      const auto moved = Perform(IoRequest::Kind::kRead, fd, 1001, data, 200'000);
      ASSERT_TRUE(moved.ok()) << moved.status();
      EXPECT_EQ(*moved, 200'000u);
      EXPECT_EQ(std::memcmp(data, content_.data() + 1001, 200'000), 0);
    }
  }
}

TEST_P(IoQueueTest, ReadPastTheEndComesShort) {
  const auto moved = Perform(IoRequest::Kind::kRead, fd_.get(), 299'000, memory_.get(), 4096);
  ASSERT_TRUE(moved.ok()) << moved.status();
  EXPECT_EQ(*moved, 1000u);
}

TEST_P(IoQueueTest, WrittenBytesAreReadBack) {
  const ByteVector bytes = TestBytes(2, 100'000);
  std::memcpy(memory_.get(), bytes.data(), bytes.size());
  ASSERT_TRUE(Perform(IoRequest::Kind::kWrite, fd_.get(), 5000, memory_.get(), 100'000).ok());
  ASSERT_TRUE(Perform(IoRequest::Kind::kSync, fd_.get(), 0, nullptr, 0).ok());
  ByteVector found(100'000);
  ASSERT_EQ(pread(fd_.get(), found.data(), found.size(), 5000), 100'000);
  EXPECT_EQ(found, bytes);
}

TEST_P(IoQueueTest, FailureNamesTheCallAndThePlace) {
  const OwnedFd read_only = OpenRead(file_);
  const auto moved = Perform(IoRequest::Kind::kWrite, read_only.get(), 4096, memory_.get(), 512);
  ASSERT_FALSE(moved.ok());
  EXPECT_NE(moved.status().message().find("512 B at 4096"), absl::string_view::npos)
      << moved.status();
}

TEST_P(IoQueueTest, ManyRequestsFromManyThreadsAllComplete) {
  constexpr int kThreads = 4;
  constexpr int kEach = 200;
  Monitor monitor;
  int done = 0;
  int wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const size_t offset = static_cast<size_t>(t * kEach + i) * 300;
        std::byte* data = memory_.get() + offset;
        queue_->Submit({IoRequest::Kind::kRead, fd_.get(), offset, data, 300,
                        [&, offset, data](absl::StatusOr<size_t> moved) {
                          const bool ok = moved.ok() && *moved == 300 &&
                                          std::memcmp(data, content_.data() + offset, 300) == 0;
                          monitor.Change([&] {
                            ++done;
                            wrong += ok ? 0 : 1;
                          });
                        }});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(monitor.Wait([&] { return done == kThreads * kEach; }));
  EXPECT_EQ(wrong, 0);
}

TEST_P(IoQueueTest, EndingWaitsForWhatWasSubmitted) {
  std::atomic<int> done = 0;
  for (int i = 0; i < 50; ++i) {
    queue_->Submit({IoRequest::Kind::kRead, fd_.get(), 0, memory_.get() + 4096 * i, 4096,
                    [&](absl::StatusOr<size_t>) { ++done; }});
  }
  queue_.reset();
  EXPECT_EQ(done, 50);
}

TEST_P(IoQueueTest, RequestsBeyondTheBoundAreRefused) {
  // The first completion does not return, so nothing drains while the bound is passed.
  Monitor monitor;
  bool open = false;
  size_t refused = 0;
  size_t done = 0;
  const auto finish = [&](absl::StatusOr<size_t> moved) {
    const bool full = absl::IsResourceExhausted(moved.status());
    if (!full) {
      EXPECT_TRUE(monitor.Wait([&] { return open; }));
    }
    monitor.Change([&] { full ? ++refused : ++done; });
  };
  const size_t total = IoQueue::kRequestsMax + 100;
  for (size_t i = 0; i < total; ++i) {
    queue_->Submit({IoRequest::Kind::kRead, fd_.get(), 0, memory_.get() + 16 * i, 16, finish});
  }
  EXPECT_GT(monitor.Read([&] { return refused; }), 0u);
  monitor.Change([&] { open = true; });
  EXPECT_TRUE(monitor.Wait([&] { return done + refused == total; }));
}

INSTANTIATE_TEST_SUITE_P(Engines, IoQueueTest, testing::Values(true, false),
                         [](const auto& engine) { return engine.param ? "Uring" : "Threads"; });

TEST(OpenIoQueueTest, SaysWhichEngineRunsAndWhy) {
  IoQueueOptions options;
  options.name = "test";
  options.allow_uring = false;
  EXPECT_EQ(OpenIoQueue(options)->status(), "8 threads (io_uring: switched off)");
}

TEST(OpenIoQueueTest, AFullDiskIsResourceExhausted) {
  EXPECT_TRUE(absl::IsResourceExhausted(IoError(ENOSPC, "write")));
  EXPECT_TRUE(absl::IsResourceExhausted(IoError(EDQUOT, "write")));
  EXPECT_FALSE(absl::IsResourceExhausted(IoError(EIO, "write")));
}

}  // namespace
}  // namespace residency
