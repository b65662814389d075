// a, the activity of a model: 1 while it steps, halved every `activity_half_life` when idle, so
// that an idle model's critical blocks let go.
#pragma once

#include "core/clock.h"

namespace residency {

// Idle begins this long after the last sign of life of a model that is not inside a step.
inline constexpr Micros kIdleAfter{1'000'000};

// `last_sign`: of the latest step edge, routing or access.
double Activity(bool in_step, TimePoint last_sign, TimePoint now, Micros half_life);

}  // namespace residency
