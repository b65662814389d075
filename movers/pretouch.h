// Faults in a range of memory ahead of use, in the background, so that start-up does not wait for
// the kernel to zero hundreds of GiB and the first transfers do not either.
#pragma once

#include <atomic>
#include <cstddef>
#include <string>
#include <thread>
#include <vector>

#include "core/bytes.h"

namespace residency {

struct PretouchOptions {
  std::string name;  // for the log
  std::byte* begin = nullptr;
  Bytes size;         // a multiple of the page size
  int threads = 0;    // 0: nothing is touched
  bool lock = false;  // also mlock, as far as RLIMIT_MEMLOCK allows
};

class Pretoucher {
 public:
  explicit Pretoucher(PretouchOptions options);
  // Stops at the next piece (kPiece) and waits for it.
  ~Pretoucher();
  Pretoucher(const Pretoucher&) = delete;
  Pretoucher& operator=(const Pretoucher&) = delete;

  // Memory faulted in so far. Thread-safe.
  Bytes touched() const { return Bytes(touched_.load(std::memory_order_relaxed)); }
  // No thread is at work any more: everything is touched, or the kernel refused. Thread-safe.
  bool idle() const { return running_.load(std::memory_order_acquire) == 0; }

  // What one step faults in, and so how long the destructor may wait: a few milliseconds.
  static constexpr Bytes kPiece = MiB(8);

 private:
  void Run();
  bool Touch(std::byte* at, size_t size);

  const PretouchOptions options_;
  std::atomic<uint64_t> next_{0};
  std::atomic<uint64_t> touched_{0};
  std::atomic<bool> stop_{false};
  std::atomic<bool> lock_refused_{false};
  std::atomic<int> running_{0};
  std::vector<std::thread> threads_;
};

}  // namespace residency
