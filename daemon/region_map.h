// Which segment of which pool a region number stands for, and whose it is: written by the control
// loop before bytes go there, read by the side socket before a descriptor goes out. Thread-safe.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "core/ids.h"
#include "core/transfer.h"

namespace residency {

class RegionMap {
 public:
  struct Entry {
    PoolId pool;
    uint64_t segment = 0;
    DomainId domain;
  };

  // Every region of the place belongs to `domain` from now on; what the segments were before is
  // forgotten.
  void Assign(const CopyPlace& place, Bytes segment_bytes, DomainId domain) {
    const std::lock_guard lock(mutex_);
    uint64_t segment = place.extent.offset / segment_bytes.count();
    for (const RegionNumber region : place.regions) {
      const auto [it, first] = current_.try_emplace({place.pool, segment}, region);
      if (!first && it->second != region) {
        by_region_.erase(it->second);
        it->second = region;
      }
      by_region_[region] = {place.pool, segment, domain};
      ++segment;
    }
  }

  std::optional<Entry> Find(RegionNumber region) const {
    const std::lock_guard lock(mutex_);
    const auto it = by_region_.find(region);
    if (it == by_region_.end()) return std::nullopt;
    return it->second;
  }

 private:
  mutable std::mutex mutex_;
  absl::flat_hash_map<RegionNumber, Entry> by_region_;
  absl::flat_hash_map<std::pair<PoolId, uint64_t>, RegionNumber> current_;
};

}  // namespace residency
