// Copies and their slots: stable 64-byte records, reused under a new generation.
#pragma once

#include <cstdint>
#include <vector>

#include "core/check.h"
#include "core/ids.h"
#include "core/tier.h"
#include "core/transfer.h"

namespace residency {

enum class CopyStatus : uint8_t {
  kFree,
  kArriving,     // bytes are on their way; no lease, no source
  kCommitting,   // written, but the catalogue does not know it yet
  kLive,         // may be leased and read
  kRetiring,     // bars new leases; its bytes are still held by somebody or by the catalogue
  kQuarantined,  // bad; never served, gone when nobody holds it
};

constexpr const char* Name(CopyStatus status) {
  constexpr const char* kNames[] = {"free", "arriving", "committing",
                                    "live", "retiring", "quarantined"};
  return kNames[static_cast<int>(status)];
}

struct alignas(64) Copy {
  uint64_t offset = 0;    // of the extent in its pool
  uint64_t length = 0;    // of the extent; at least the bytes of the encoding
  uint64_t checksum = 0;  // XXH3-64 of the encoded bytes
  int64_t since_us = 0;   // when it became live
  BlockId block;
  Generation generation = Generation(0);
  SlotId next;               // of the same block
  uint32_t leases = 0;       // of any mode
  uint32_t hard_leases = 0;  // of those, pinned or streaming: not recallable
  PoolId pool;
  CopyStatus status = CopyStatus::kFree;
  Encoding encoding = Encoding::kFull;

  Extent extent() const { return {offset, length}; }
};
static_assert(sizeof(Copy) == 64);

class CopyTable {
 public:
  // A fresh record with its generation raised. The reference is good until the next Allocate.
  SlotId Allocate() {
    SlotId slot;
    if (free_.empty()) {
      slot = SlotId(static_cast<uint32_t>(copies_.size()));
      copies_.emplace_back();
    } else {
      slot = free_.back();
      free_.pop_back();
    }
    const Generation next(copies_[slot.value()].generation.value() + 1);
    copies_[slot.value()] = Copy();
    copies_[slot.value()].generation = next;
    return slot;
  }
  void Release(SlotId slot) {
    Copy& copy = (*this)[slot];
    RESIDENCY_CHECK(copy.leases == 0, "a leased copy's slot released");
    copy.status = CopyStatus::kFree;
    copy.block = BlockId();
    free_.push_back(slot);
  }

  Copy& operator[](SlotId slot) { return copies_[slot.value()]; }
  const Copy& operator[](SlotId slot) const { return copies_[slot.value()]; }
  // Whether this slot still is that copy.
  bool Is(SlotId slot, Generation generation) const {
    return slot.value() < copies_.size() && copies_[slot.value()].generation == generation &&
           copies_[slot.value()].status != CopyStatus::kFree;
  }
  uint32_t size() const { return static_cast<uint32_t>(copies_.size()); }

 private:
  std::vector<Copy> copies_;
  std::vector<SlotId> free_;
};

}  // namespace residency
