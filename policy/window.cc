#include "policy/window.h"

#include <algorithm>
#include <limits>

namespace residency {

std::vector<SlotId> CheapestWindow(std::vector<WindowCell> cells, uint64_t length) {
  std::sort(cells.begin(), cells.end(), [](const WindowCell& a, const WindowCell& b) {
    return a.extent.offset < b.extent.offset;
  });
  size_t left = 0;
  uint64_t span = 0;
  double cost = 0;
  size_t best_left = 0;
  size_t best_right = 0;  // one past; 0: none found
  double best_cost = std::numeric_limits<double>::infinity();
  for (size_t right = 0; right < cells.size(); ++right) {
    if (right > 0 && cells[right - 1].extent.end() != cells[right].extent.offset) {
      left = right;
      span = 0;
      cost = 0;
    }
    span += cells[right].extent.length;
    cost += cells[right].cost;
    while (span - cells[left].extent.length >= length) {
      span -= cells[left].extent.length;
      cost -= cells[left].cost;
      ++left;
    }
    if (span < length || cost >= best_cost) continue;
    best_left = left;
    best_right = right + 1;
    best_cost = cost;
  }
  std::vector<SlotId> slots;
  for (size_t i = best_left; i < best_right; ++i) {
    if (cells[i].slot.valid()) slots.push_back(cells[i].slot);
  }
  return slots;
}

}  // namespace residency
