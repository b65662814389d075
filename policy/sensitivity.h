// How much quality a block is worth where its engine does not say: from the error that low-bit
// encoding was measured to make of its own weights.
#pragma once

#include <algorithm>
#include <cmath>

#include "core/block.h"

namespace residency {

// In [0, 1]: the square root of the relative error, so that int8 on well-behaved weights (0.5 %)
// counts little, int4 (10 %) a third, and an error as large as the signal everything. What routes
// or scales all that follows is never worth less than its role says.
inline float MeasuredSensitivity(Role role, float relative_error) {
  const bool steers = role == Role::kRouter || role == Role::kNorm;
  if (steers || !std::isfinite(relative_error)) return DefaultSensitivity(role);
  return std::clamp(std::sqrt(std::max(relative_error, 0.0f)), 0.0f, 1.0f);
}

}  // namespace residency
