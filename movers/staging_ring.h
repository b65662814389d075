// The fixed buffers through which bytes pass when neither end of a transfer can be addressed, or
// when direct I/O cannot reach it: one allocation, made once, registered with the I/O queues.
// Thread-safe; never blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "core/bytes.h"
#include "core/link.h"

namespace residency {

class StagingRing;

// One buffer, given back when it is destroyed. Must not outlive its ring.
class StagingBuffer {
 public:
  StagingBuffer(StagingBuffer&& other) noexcept;
  StagingBuffer& operator=(StagingBuffer&& other) noexcept;
  ~StagingBuffer();

  std::byte* data() const { return data_; }

 private:
  friend class StagingRing;
  StagingBuffer(StagingRing* ring, std::byte* data) : ring_(ring), data_(data) {}
  void GiveBack();

  StagingRing* ring_;
  std::byte* data_;
};

struct StagingRingOptions {
  Bytes total = MiB(64);
  Bytes buffer = MiB(1);  // a multiple of 4096
};

class StagingRing {
 public:
  // InvalidArgument for sizes that make no buffer; ResourceExhausted without the memory.
  static absl::StatusOr<std::unique_ptr<StagingRing>> Create(const StagingRingOptions& options);
  ~StagingRing();
  StagingRing(const StagingRing&) = delete;
  StagingRing& operator=(const StagingRing&) = delete;

  // Aligned for direct I/O. Nothing when all are in use; and for other than demand already when a
  // quarter is left, so that background work cannot take the last buffer from demand.
  std::optional<StagingBuffer> TryAcquire(LinkClass cls);

  Bytes buffer_bytes() const { return buffer_bytes_; }
  size_t buffer_count() const { return buffer_count_; }
  size_t free_count() const;
  // All buffers as one range, for registration.
  std::span<std::byte> memory() const { return {base_, buffer_bytes_.count() * buffer_count_}; }

 private:
  friend class StagingBuffer;
  StagingRing(std::byte* base, Bytes buffer_bytes, size_t buffer_count);
  void GiveBack(std::byte* data);

  // Constant after construction.
  std::byte* const base_;
  const Bytes buffer_bytes_;
  const size_t buffer_count_;

  mutable std::mutex mu_;
  std::vector<std::byte*> free_;  // guarded by mu_; last given back is first reused: warm caches
};

}  // namespace residency
