// What the daemon tells an engine.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "core/clock.h"
#include "core/ids.h"
#include "core/residency_state.h"

namespace residency {

struct PromotedHint {
  BlockId block;
  ResidencyState state;
};
struct ArrivingHint {
  BlockId block;
  Micros eta;
};
struct RecallHint {
  std::vector<LeaseId> leases;
};
struct RevokedHint {
  std::vector<LeaseId> leases;
  std::string reason;
};
struct ServeLowbitHint {
  BlockId block;
};
using Hint = std::variant<PromotedHint, ArrivingHint, RecallHint, RevokedHint, ServeLowbitHint>;

}  // namespace residency
