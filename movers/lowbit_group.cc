#include "movers/lowbit_group.h"

#include <bit>

#include "movers/lowbit_lanes.h"

namespace residency {

float GreatestKept(LowbitFormat format) {
  return kGreatestScale * (format == LowbitFormat::kInt8 ? 127 : 8);
}

float GreatestMagnitude(const Group& group) {
  // As integers, whose order is that of the magnitudes, with NaN above all.
  IntLanes greatest{};
  for (size_t i = 0; i < kLowbitGroup; i += kLanes) {
    IntLanes magnitude;
    std::memcpy(&magnitude, group.weights.data() + i, sizeof(magnitude));
    magnitude &= 0x7fffffff;
    greatest = magnitude > greatest ? magnitude : greatest;
  }
  return std::bit_cast<float>(
      std::max(std::max(greatest[0], greatest[1]), std::max(greatest[2], greatest[3])));
}

GroupError QuantiseInt8(const Group& group, float greatest, Quantised& result) {
  // Nothing is clipped so long as the greatest rounds to 127.
  constexpr float kStepsMax = 127.49f;
  result.scale = RoundScale(greatest * (1.0f / 127), greatest * (1 / kStepsMax));
  return Quantise(
      group, HalfToFloat(result.scale), [](Lanes steps) { return steps; }, result);
}

}  // namespace residency
