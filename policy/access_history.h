// rho for blocks that no routing event speaks of (dense blocks, adapters, experts of engines that
// report only accesses): the same mix of two exponentially weighted means, counted in steps of the
// block's model. Decayed lazily; nothing runs per step and block.
#pragma once

#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "core/ids.h"
#include "policy/config.h"

namespace residency {

class AccessHistory {
 public:
  explicit AccessHistory(const PolicyConfig& config);

  // A block was used in step `step` of its model. Repeated use within a step counts once.
  void OnAccess(BlockId block, uint64_t step);
  // In [0, 1], as seen at `step`. 0 for a block never accessed.
  double Reuse(BlockId block, uint64_t step) const;
  void Forget(BlockId block);

 private:
  struct Entry {
    uint64_t step = 0;
    float fast = 0;
    float slow = 0;
  };
  double fast_decay_;
  double slow_decay_;
  double fast_weight_;
  absl::flat_hash_map<BlockId, Entry> entries_;
};

}  // namespace residency
