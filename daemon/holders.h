// The seam to whoever may still hold a copy's bytes after its last lease has ended: work on a
// device that outlives its process, one day. Asked before any byte of a dropped copy is reused.
#pragma once

#include <functional>

#include "core/ids.h"
#include "core/transfer.h"

namespace residency {

class Holders {
 public:
  virtual ~Holders() = default;
  // Answers once, at once or later, on any thread: true if nobody holds the bytes any more.
  virtual void Ask(SlotId slot, Generation generation, const CopyPlace& place,
                   std::function<void(bool free)> answer) = 0;
};

// Host memory: a copy without leases is held by nobody.
class CountedHolders final : public Holders {
 public:
  void Ask(SlotId, Generation, const CopyPlace&, std::function<void(bool)> answer) override {
    answer(true);
  }
};

}  // namespace residency
