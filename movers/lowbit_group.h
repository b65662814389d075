// One group of 32 weights to integers and their scale: where the low-bit codec chooses.
#pragma once

#include <array>
#include <cstdint>

#include "core/element.h"

namespace residency {

struct alignas(16) Group {
  std::array<float, kLowbitGroup> weights;
};

struct Quantised {
  alignas(16) std::array<int8_t, kLowbitGroup> values{};
  uint16_t scale = 0;  // f16
};

// Sums over a group, as in LowbitError.
struct GroupError {
  float error_sq = 0;
  float signal_sq = 0;
};

// A group whose greatest magnitude is less than half of the smallest scale decodes to zeros.
inline constexpr float kSmallestKept = 0x1p-25f;
// The greatest magnitude that a finite scale reaches.
float GreatestKept(LowbitFormat format);

float GreatestMagnitude(const Group& group);  // not finite if an element is not

// REQUIRES: all finite; greatest == GreatestMagnitude(group), in [kSmallestKept, GreatestKept].
GroupError QuantiseInt8(const Group& group, float greatest, Quantised& result);
GroupError QuantiseInt4(const Group& group, float greatest, Quantised& result);

}  // namespace residency
