#include "movers/pretouch.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "spdlog/spdlog.h"

namespace residency {
namespace {

// Linux 5.14. Unlike writing to each page it never changes a byte, so it may run while movers
// already use the memory and while a segment is being replaced.
#ifndef MADV_POPULATE_WRITE
constexpr int MADV_POPULATE_WRITE = 23;
#endif

}  // namespace

Pretoucher::Pretoucher(PretouchOptions options) : options_(std::move(options)) {
  const int threads = options_.size.zero() ? 0 : std::max(0, options_.threads);
  running_ = threads;
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

Pretoucher::~Pretoucher() {
  stop_ = true;
  for (std::thread& thread : threads_) thread.join();
}

void Pretoucher::Run() {
  const uint64_t size = options_.size.count();
  while (!stop_) {
    const uint64_t at = next_.fetch_add(kPiece.count());
    if (at >= size) break;
    if (!Touch(options_.begin + at, std::min(kPiece.count(), size - at))) break;
  }
  running_.fetch_sub(1, std::memory_order_release);
}

bool Pretoucher::Touch(std::byte* at, size_t size) {
  if (madvise(at, size, MADV_POPULATE_WRITE) != 0) {
    // Memory is then faulted in by the first transfer into it, which is slower and not wrong.
    if (!stop_.exchange(true)) {
      spdlog::warn("{}: stopped touching memory ahead of use after {}: {}", options_.name,
                   FormatBytes(touched()), std::strerror(errno));
    }
    return false;
  }
  touched_.fetch_add(size, std::memory_order_relaxed);
  if (options_.lock && !lock_refused_ && mlock(at, size) != 0 && !lock_refused_.exchange(true)) {
    spdlog::info("{}: memory is not locked: mlock: {}; raise RLIMIT_MEMLOCK to lock it",
                 options_.name, std::strerror(errno));
  }
  return true;
}

}  // namespace residency
