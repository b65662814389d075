// The memory of one pool: a contiguous range of addresses made of segments, each one a memfd that
// belongs to one domain at a time. A block may span adjacent segments. Which segment belongs to
// whom is decided by the pool's arithmetic; the arena follows, and never lets one domain's bytes
// reach another. Thread-safe.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/bytes.h"
#include "core/ids.h"
#include "core/transfer.h"
#include "movers/owned_fd.h"
#include "movers/pretouch.h"

namespace residency {

struct ArenaOptions {
  std::string name;          // "dram", "hbm0": in errors and in the memfds' names
  Bytes capacity;            // a multiple of 4096; the last segment may be shorter than the others
  Bytes segment_bytes;       // a multiple of 4096
  int touch_threads = 0;     // fault the memory in, in the background; 0: on first use
  bool lock_memory = false;  // best effort, with the touching
};

class Arena {
 public:
  // Reserves the addresses and makes the segments; takes no memory yet.
  // InvalidArgument for sizes that do not fit together; ResourceExhausted where the kernel refuses.
  static absl::StatusOr<std::unique_ptr<Arena>> Create(ArenaOptions options);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // REQUIRES: offset < capacity. The bytes are those of whatever assignment is current.
  std::byte* Data(uint64_t offset) const { return base_ + offset; }

  // Makes `region` the current assignment of a segment. Virgin memory is only labelled. Otherwise
  // the segment gets fresh zero memory, and the old one is emptied even where a former client
  // still maps it. REQUIRES: nobody reads or writes the segment under an earlier number.
  // FailedPrecondition for a number older than the current one: numbers of a segment only rise.
  absl::Status Ensure(uint64_t segment, RegionNumber region);
  // Ensure() for every segment that `extent` touches; `regions` names them in address order.
  absl::Status EnsureExtent(const Extent& extent, std::span<const RegionNumber> regions);

  // A new read-only descriptor of the segment under this assignment; it cannot be mapped writable
  // nor reopened for writing. NotFound for unknown and retired assignments.
  absl::StatusOr<OwnedFd> Export(RegionNumber region) const;

  Bytes capacity() const { return options_.capacity; }
  Bytes segment_bytes() const { return options_.segment_bytes; }
  uint64_t segment_count() const { return segments_.size(); }
  Bytes touched() const { return pretoucher_ ? pretoucher_->touched() : Bytes(); }

 private:
  struct Segment {
    OwnedFd memory;                             // guarded by mu_
    std::atomic<uint64_t> region{kUnassigned};  // written under mu_
  };
  static constexpr uint64_t kUnassigned = std::numeric_limits<uint64_t>::max();

  explicit Arena(ArenaOptions options);
  absl::Status Reserve();
  absl::StatusOr<OwnedFd> MakeMemory(uint64_t segment) const;
  absl::Status MapMemory(uint64_t segment, int memory) const;
  size_t LengthOf(uint64_t segment) const;
  absl::StatusOr<OwnedFd> Relabel(uint64_t segment, RegionNumber region);

  // Constant after construction.
  const ArenaOptions options_;
  std::byte* base_ = nullptr;
  std::vector<Segment> segments_;

  mutable std::mutex mu_;
  absl::flat_hash_map<RegionNumber, uint64_t> segment_of_;  // current assignments; guarded by mu_

  std::unique_ptr<Pretoucher> pretoucher_;  // stops before the memory goes
};

}  // namespace residency
