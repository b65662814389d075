// Free runs of an address space, found by address and by size. Adjacent runs merge.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "core/transfer.h"

namespace residency {

class FreeSpace {
 public:
  // REQUIRES: the run overlaps no free run.
  void Add(Extent run);
  // Takes exactly these bytes out of a free run. REQUIRES: they are free.
  void Take(Extent run);

  bool Contains(Extent run) const;
  // The smallest run of at least `length`, if there is one.
  std::optional<Extent> BestFit(uint64_t length) const;
  // The first of the `scan_max` smallest fitting runs that `accepts`.
  template <class Accepts>
  std::optional<Extent> BestFitWhere(uint64_t length, int scan_max, Accepts accepts) const {
    for (auto it = by_size_.lower_bound({length, 0}); it != by_size_.end() && scan_max-- > 0;
         ++it) {
      const Extent run{it->second, it->first};
      if (accepts(run)) return run;
    }
    return std::nullopt;
  }
  // The run that ends at `address`, if any.
  std::optional<Extent> EndingAt(uint64_t address) const;

  uint64_t total() const { return total_; }
  uint64_t largest() const { return by_size_.empty() ? 0 : by_size_.rbegin()->first; }
  const absl::btree_map<uint64_t, uint64_t>& runs() const { return by_offset_; }

 private:
  void Insert(Extent run);
  void Erase(Extent run);

  absl::btree_map<uint64_t, uint64_t> by_offset_;           // offset -> length
  absl::btree_set<std::pair<uint64_t, uint64_t>> by_size_;  // (length, offset)
  uint64_t total_ = 0;
};

}  // namespace residency
