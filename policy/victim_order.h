// The copies of one pool in the order in which they would be let go: lowest K first. Kept up to
// date copy by copy, so that making room never has to sort.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "core/ids.h"

namespace residency {

class VictimOrder {
 public:
  using Entry = std::pair<double, SlotId>;  // K, slot; equal K leave in slot order
  using Set = absl::btree_set<Entry>;

  // Adds the copy or moves it to its new place.
  void Update(SlotId slot, double k);
  void Remove(SlotId slot);
  std::optional<double> KOf(SlotId slot) const;
  // 0 for an empty order.
  double LowestK() const { return order_.empty() ? 0 : order_.begin()->first; }
  // Lowest K first.
  const Set& ascending() const { return order_; }
  size_t size() const { return order_.size(); }

 private:
  Set order_;
  absl::flat_hash_map<SlotId, double> k_;
};

}  // namespace residency
