// What holds the bytes of each pool.
#pragma once

#include <vector>

#include "core/ids.h"
#include "core/tier.h"
#include "movers/arena.h"
#include "movers/block_store.h"
#include "movers/device.h"

namespace residency {

// Exactly one of the three is set, as the tier asks. Not owned.
struct PoolBinding {
  PoolId pool;
  Tier tier = Tier::kDram;
  Arena* memory = nullptr;      // kDram
  Device* device = nullptr;     // kHbm
  BlockStore* store = nullptr;  // kNvme
};

// Constant, so free to be read by any thread.
class MoverPools {
 public:
  explicit MoverPools(std::vector<PoolBinding> pools) : pools_(std::move(pools)) {}

  // Null if there is no such pool.
  const PoolBinding* Find(PoolId pool) const {
    for (const PoolBinding& binding : pools_) {
      if (binding.pool == pool) return &binding;
    }
    return nullptr;
  }
  const std::vector<PoolBinding>& all() const { return pools_; }

 private:
  const std::vector<PoolBinding> pools_;
};

}  // namespace residency
