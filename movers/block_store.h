// The seam to what holds a pool of NVMe extents.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "absl/status/status.h"

namespace residency {

// Runs on a thread of the store's own and must not block.
using StoreDone = std::function<void(absl::Status)>;

// Thread-safe; none of these blocks. Offsets, sizes and addresses are multiples of 4096; memory
// stays valid until `done`. Requests are independent: nothing orders two that overlap in time.
class BlockStore {
 public:
  virtual ~BlockStore() = default;
  virtual void Read(uint64_t offset, std::span<std::byte> into, StoreDone done) = 0;
  virtual void Write(uint64_t offset, std::span<const std::byte> from, StoreDone done) = 0;
  // Makes every write that was done before this call durable.
  virtual void Sync(StoreDone done) = 0;
};

}  // namespace residency
