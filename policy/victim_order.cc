#include "policy/victim_order.h"

#include <cmath>

#include "core/check.h"

namespace residency {

void VictimOrder::Update(SlotId slot, double k) {
  RESIDENCY_CHECK(!std::isnan(k), "a copy's K is not a number");
  const auto [it, added] = k_.try_emplace(slot, k);
  if (!added) {
    if (it->second == k) return;
    order_.erase({it->second, slot});
    it->second = k;
  }
  order_.insert({k, slot});
}

void VictimOrder::Remove(SlotId slot) {
  const auto it = k_.find(slot);
  if (it == k_.end()) return;
  order_.erase({it->second, slot});
  k_.erase(it);
}

std::optional<double> VictimOrder::KOf(SlotId slot) const {
  const auto it = k_.find(slot);
  if (it == k_.end()) return std::nullopt;
  return it->second;
}

}  // namespace residency
