// Private to the residency table: keeps the totals by state, and of lost blocks, right around a
// change of one block.
#pragma once

#include "core/residency_table.h"

namespace residency {

class ResidencyTable::Watch {
 public:
  Watch(ResidencyTable& table, BlockId block)
      : table_(table), block_(block), settled_(table.SettledState(block)) {
    Count(table_.State(block), -1);
  }
  ~Watch() { Count(table_.State(block_), +1); }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // The settled state when the watch began, and now.
  StateChange Change() const { return {block_, settled_, table_.SettledState(block_)}; }

 private:
  void Count(ResidencyState state, int sign) {
    StateTotal& total = table_.totals_[static_cast<int>(state)];
    total.blocks += sign;
    total.bytes += sign * static_cast<int64_t>(table_.block(block_).bytes.count());
    if (table_.IsLost(block_)) table_.lost_blocks_ += sign;
  }
  ResidencyTable& table_;
  const BlockId block_;
  const ResidencyState settled_;
};

}  // namespace residency
