// Debian 12's Abseil has a string_view of its own; this is the one place that converts.
#pragma once

#include <string_view>

#include "absl/strings/string_view.h"

namespace residency {

inline absl::string_view ToAbsl(std::string_view s) { return {s.data(), s.size()}; }
inline std::string_view ToStd(absl::string_view s) { return {s.data(), s.size()}; }

}  // namespace residency
