// The contract between who decides that bytes move (the controller) and who moves them (movers, or
// the simulator's virtual ones): a specification out, an outcome back, one ticket for both.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "core/bytes.h"
#include "core/element.h"
#include "core/ids.h"
#include "core/link.h"
#include "core/recipe.h"
#include "core/tier.h"

namespace residency {

// A run of bytes in a pool's address space. Offsets and lengths are multiples of the pool's
// alignment; a block's own size may be smaller than the extent that holds it.
struct Extent {
  uint64_t offset = 0;
  uint64_t length = 0;

  uint64_t end() const { return offset + length; }
  friend bool operator==(const Extent&, const Extent&) = default;
};

// Where one copy is. `regions` names, in address order, the assignment of every segment that the
// extent touches, beginning with segment offset / segment_bytes; empty for NVMe.
struct CopyPlace {
  PoolId pool;
  Extent extent;
  absl::InlinedVector<RegionNumber, 2> regions;
};

// A held copy as a source; its bytes must match `checksum` (XXH3-64 of the encoded bytes).
struct CopySource {
  CopyPlace place;
  uint64_t checksum = 0;
  Encoding encoding = Encoding::kFull;  // lossless
  Bytes bytes{};                        // of that encoding
};
using TransferSource = std::variant<CopySource, Recipe>;

struct TransferSpec {
  Ticket ticket;
  BlockId block;
  // Of the target's encoding; for a compressed target the most that it may have.
  Bytes bytes;
  TransferSource source;
  CopyPlace target;
  Encoding encoding = Encoding::kFull;  // of the target
  // XXH3-64 that the full bytes must have, where it is known; checked where they pass by.
  std::optional<uint64_t> expected_checksum;
  LinkClass cls = LinkClass::kRebalance;
  Bytes full_bytes{};  // of the block
  ElementType element = ElementType::kOther;
  LowbitFormat lowbit = LowbitFormat::kInt8;  // of a low-bit target, and of what is measured
  bool measure = false;                       // look at the full bytes and report ContentFacts
};

enum class TransferFailure : uint8_t {
  kNone,
  kCancelled,
  kSourceCorrupt,  // read well, wrong checksum
  kSourceChanged,  // a recipe's file is not the one it was
  kSourceError,    // a recipe's file is gone or unreadable, or the disk failed to read
  kTargetError,    // the target could not be written (disk full, device lost)
  kTooLarge,  // the compressed bytes do not fit the target; the outcome says how many there are
};

constexpr const char* Name(TransferFailure failure) {
  constexpr const char* kNames[] = {"none",           "cancelled",    "source_corrupt",
                                    "source_changed", "source_error", "target_error",
                                    "too_large"};
  return kNames[static_cast<int>(failure)];
}

// Sent exactly once for every ticket started, after the last I/O on its target has ended: the
// target's memory may be reused from then on.
struct TransferOutcome {
  Ticket ticket;
  TransferFailure failure = TransferFailure::kNone;
  absl::Status status;    // OK exactly if failure is kNone
  uint64_t checksum = 0;  // of the bytes now in the target; meaningless on failure
  absl::InlinedVector<LinkUse, 2> uses{};
  // Of the full bytes, where they passed by.
  std::optional<uint64_t> full_checksum{};
  Bytes bytes{};         // of a compressed target: how many it has, or would have (kTooLarge)
  ContentFacts facts{};  // where asked for, and the full bytes passed by
};

// The seam. Thread-safe; none of these blocks on I/O. Outcomes arrive through a callback that the
// implementation was made with, on threads of its own.
class Mover {
 public:
  virtual ~Mover() = default;
  virtual void Start(TransferSpec spec) = 0;
  // Moves a live transfer to another class; unknown tickets are ignored.
  virtual void Reclassify(Ticket ticket, LinkClass cls) = 0;
  // Ends a live transfer at its next chunk; the outcome says kCancelled unless it was done already.
  virtual void Cancel(Ticket ticket) = 0;
};

}  // namespace residency
