#include "policy/activity.h"

#include <cmath>

namespace residency {

double Activity(bool in_step, TimePoint last_sign, TimePoint now, Micros half_life) {
  if (in_step) return 1;
  const Micros idle = now - last_sign - kIdleAfter;
  if (idle <= Micros(0)) return 1;
  if (half_life <= Micros(0)) return 0;
  return std::exp2(-static_cast<double>(idle.count()) / static_cast<double>(half_life.count()));
}

}  // namespace residency
