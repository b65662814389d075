// Screens of the commands that repeat: top and iostat. Pure.
#pragma once

#include <cstddef>
#include <string>

#include "absl/time/time.h"
#include "client/ctl/rates.h"
#include "client/ctl/view.h"
#include "nlohmann/json.hpp"

namespace residency::ctl {

// What comes first in the lists of top.
enum class TopSort { kStall, kMisses, kBytes, kName };
inline constexpr int kTopSortCount = 4;
const char* Name(TopSort sort);

struct TopView {
  View view;
  size_t rows = 0;  // Lines of the terminal; 0: as many as it takes.
  TopSort sort = TopSort::kStall;
  bool keys = false;  // Name the keys.
  absl::Time clock;   // Of day, for the first line.
};

// One screen: never more lines than `rows` where those are at least 16.
std::string RenderTop(const Interval& interval, const TopView& top);
nlohmann::ordered_json TopDocument(const Interval& interval);

// `idle`: also links on which nothing moved and nothing waits.
std::string RenderIostat(const Interval& interval, bool idle, const View& view);
nlohmann::ordered_json IostatDocument(const Interval& interval, bool idle);

}  // namespace residency::ctl
