// What the tests of the movers share: places, bytes, files, and waiting with a deadline.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string>
#include <system_error>
#include <vector>

#include "core/clock.h"
#include "movers/owned_fd.h"

namespace residency {

inline constexpr std::chrono::seconds kTestDeadline{60};

// A directory of its own, gone with the test.
class TestDir {
 public:
  TestDir() {
    std::string pattern = testing::TempDir() + "/movers-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) ADD_FAILURE() << "mkdtemp: " << pattern;
    path_ = pattern;
  }
  ~TestDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

using ByteVector = std::vector<std::byte>;

// Bytes that differ from one seed and one place to the next.
inline ByteVector TestBytes(uint64_t seed, size_t size) {
  ByteVector bytes(size);
  uint64_t x = seed * 0x9e3779b97f4a7c15ull + 1;
  for (std::byte& b : bytes) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    b = static_cast<std::byte>(x);
  }
  return bytes;
}

inline void WriteAt(const std::string& path, uint64_t offset, const ByteVector& bytes) {
  OwnedFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_TRUE(fd.valid()) << path;
  ASSERT_EQ(pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)),
            static_cast<ssize_t>(bytes.size()));
}

// Moves a file's modification time; file times are coarser than a test is long.
inline void Touch(const std::string& path, int64_t seconds) {
  const timespec times[2] = {{seconds, 0}, {seconds, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0) << path;
}

inline OwnedFd OpenRead(const std::string& path) {
  return OwnedFd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

class SteadyClock final : public Clock {
 public:
  TimePoint Now() const override {
    const auto since = std::chrono::steady_clock::now().time_since_epoch();
    return TimePoint(std::chrono::duration_cast<Micros>(since));
  }
};

// A mutex and what changes under it; waits have a deadline.
class Monitor {
 public:
  template <class F>
  void Change(F f) {
    std::lock_guard lock(mu_);
    f();
    changed_.notify_all();
  }
  template <class F>
  auto Read(F f) const {
    std::lock_guard lock(mu_);
    return f();
  }
  // Whether the condition became true in time.
  template <class F>
  [[nodiscard]] bool Wait(F condition) {
    std::unique_lock lock(mu_);
    return changed_.wait_until(lock, std::chrono::system_clock::now() + kTestDeadline, condition);
  }

 private:
  mutable std::mutex mu_;
  std::condition_variable changed_;
};

}  // namespace residency
