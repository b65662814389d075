// Room for a block that no single hole holds: the cheapest row of neighbours to let go.
#pragma once

#include <cstdint>
#include <vector>

#include "core/ids.h"
#include "core/transfer.h"

namespace residency {

// A free run (no slot, no cost) or a copy that may go, and what that would cost.
struct WindowCell {
  Extent extent;
  double cost = 0;
  SlotId slot;
};

// The copies of the cheapest row of adjacent cells that spans at least `length`; empty if there is
// none, or if a free run alone does. Linear but for the sort. REQUIRES: cells do not overlap.
std::vector<SlotId> CheapestWindow(std::vector<WindowCell> cells, uint64_t length);

}  // namespace residency
