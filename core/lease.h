// A holder's claim on a resident copy. A leased copy is never moved, changed or reused.
#pragma once

#include <cstdint>

#include "core/clock.h"
#include "core/ids.h"
#include "core/residency_state.h"

namespace residency {

enum class LeaseMode : uint8_t {
  kRecallable,  // stays cached by the client until recalled
  kPinned,      // until released
  kStreaming,   // dropped on release, never admitted
};

// Which copies a lease may name.
struct AcceptMask {
  bool hbm_full = true;
  bool hbm_lowbit = false;
  bool host_full = false;

  bool Accepts(ResidencyState state, Encoding encoding) const {
    switch (state) {
      case ResidencyState::kS0FullHbm:
        return hbm_full;
      case ResidencyState::kS1LowbitHbm:
        return hbm_lowbit;
      case ResidencyState::kS3Dram:
        return host_full && encoding == Encoding::kFull;
      default:
        return false;
    }
  }
};

struct Lease {
  LeaseId id;
  SessionId session;
  BlockId block;
  SlotId slot;
  Generation generation;
  LeaseMode mode = LeaseMode::kRecallable;
  bool recalled = false;
  bool revoked = false;
  TimePoint granted;
  TimePoint recalled_at;
};

}  // namespace residency
