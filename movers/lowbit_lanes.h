// What the two quantisers share: arithmetic on four weights at once, in the vector types that GCC
// and Clang have for every machine, and the choice of a scale's last bit.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "movers/float_bits.h"
#include "movers/lowbit_group.h"

namespace residency {

using Lanes = float __attribute__((vector_size(16)));
using IntLanes = int32_t __attribute__((vector_size(16)));
inline constexpr size_t kLanes = 4;

// Added to a float of modest size, leaves its nearest integer in the low bits.
inline constexpr float kRounder = 0x1.8p23f;
inline constexpr float kGreatestScale = 65504;

inline Lanes LanesAt(const Group& group, size_t at) {
  Lanes lanes;
  std::memcpy(&lanes, group.weights.data() + at, sizeof(lanes));
  return lanes;
}

inline float Sum(Lanes lanes) { return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]); }

inline float Greatest(Lanes lanes) {
  return std::max(std::max(lanes[0], lanes[1]), std::max(lanes[2], lanes[3]));
}

// The scale in f16 nearest to `wanted`, but no less than `least`, which may differ from it by
// rounding alone. Both are positive.
inline uint16_t RoundScale(float wanted, float least) {
  const uint16_t half = FloatToHalf(std::min(wanted, kGreatestScale));
  return HalfToFloat(half) < least ? static_cast<uint16_t>(half + 1) : half;
}

// The levels of a group at a scale, and what they miss. `level` takes weight / scale, in lanes, to
// what is then rounded.
template <class Level>
inline GroupError Quantise(const Group& group, float scale, const Level& level, Quantised& result) {
  const float inverse = 1 / scale;
  std::array<int32_t, kLowbitGroup> levels;
  Lanes error_sq{};
  Lanes signal_sq{};
  for (size_t i = 0; i < kLowbitGroup; i += kLanes) {
    const Lanes weights = LanesAt(group, i);
    const Lanes rounded = level(weights * inverse) + kRounder;
    std::memcpy(levels.data() + i, &rounded, sizeof(rounded));
    const Lanes error = weights - (rounded - kRounder) * scale;
    error_sq += error * error;
    signal_sq += weights * weights;
  }
  for (size_t i = 0; i < kLowbitGroup; ++i) result.values[i] = static_cast<int8_t>(levels[i]);
  return {Sum(error_sq), Sum(signal_sq)};
}

}  // namespace residency
