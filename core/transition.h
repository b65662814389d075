// What the daemon is doing to a block: adding one copy and, once that is there, dropping others.
// Drops without an add need no transition: they are retired slot by slot.
#pragma once

#include <optional>
#include <vector>

#include "core/bytes.h"
#include "core/ids.h"
#include "core/link.h"
#include "core/pool.h"
#include "core/residency_state.h"
#include "core/tier.h"
#include "core/transfer.h"

namespace residency {

struct Transition {
  BlockId block;
  PoolId to;
  Encoding encoding = Encoding::kFull;
  Purpose purpose = Purpose::kBackground;
  LinkClass cls = LinkClass::kRebalance;
  std::vector<SlotId> drop;
  // The lossless copy to make it from; none: the table chooses.
  SlotId source{};
  // Overrides the choice of source: the one-time supply of a put block.
  std::optional<Recipe> supply;
  std::optional<uint64_t> supply_checksum;
};

struct LiveTransition {
  Ticket ticket;
  BlockId block;
  SlotId add;
  SlotId source;  // none: a recipe
  Recipe recipe;  // the source where `source` is none
  ResidencyState from;
  ResidencyState to;
  LinkClass cls = LinkClass::kRebalance;
  bool cancelling = false;
  bool supplied = false;
  std::vector<SlotId> drop;
  Pool::Reservation room;
};

// What ended with a transition or a reclaim: the block's settled state before and after.
struct StateChange {
  BlockId block;
  ResidencyState from;
  ResidencyState to;
  bool promotion() const { return to < from; }
  bool demotion() const { return to > from; }
};

}  // namespace residency
