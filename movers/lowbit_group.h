// One group of 32 weights to integers and their scale: where the low-bit codec chooses.
#pragma once

#include <array>
#include <cstdint>

#include "core/element.h"

namespace residency {

using Group = std::array<float, kLowbitGroup>;

struct Quantised {
  uint16_t scale = 0;  // f16
  std::array<int8_t, kLowbitGroup> values{};
};

// A group whose greatest magnitude is less than half of the smallest scale decodes to zeros.
inline constexpr float kSmallestKept = 0x1p-25f;
// The greatest magnitude that a finite scale reaches.
float GreatestKept(LowbitFormat format);

float GreatestMagnitude(const Group& group);  // not finite if an element is not
float SumOfSquares(const Group& group);

// The scale in f16 nearest to `wanted`, but no less than `least`, which may differ from it by
// rounding alone. Both are positive.
uint16_t RoundScale(float wanted, float least);

// REQUIRES: all finite; greatest == GreatestMagnitude(group), in [kSmallestKept, GreatestKept].
Quantised QuantiseInt8(const Group& group, float greatest);
Quantised QuantiseInt4(const Group& group, float greatest);

}  // namespace residency
