#include "movers/lowbit_group.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "movers/float_bits.h"

namespace residency {
namespace {

constexpr float kGreatestScale = 65504;
// Added to a float of modest size, leaves its nearest integer in the low bits.
constexpr float kRounder = 0x1.8p23f;

void RoundAll(const Group& group, float inverse, std::array<int8_t, kLowbitGroup>& values) {
  for (size_t i = 0; i < kLowbitGroup; ++i) {
    values[i] = static_cast<int8_t>(std::bit_cast<int32_t>(group[i] * inverse + kRounder));
  }
}

// Four running sums, since the compiler may not reorder a single one.
template <class Term>
float Sum(const Term& term) {
  std::array<float, 4> sums{};
  for (size_t i = 0; i < kLowbitGroup; i += 4) {
    for (size_t lane = 0; lane < 4; ++lane) sums[lane] += term(i + lane);
  }
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

}  // namespace

uint16_t RoundScale(float wanted, float least) {
  const uint16_t half = FloatToHalf(std::min(wanted, kGreatestScale));
  return HalfToFloat(half) < least ? static_cast<uint16_t>(half + 1) : half;
}

float GreatestKept(LowbitFormat format) {
  return kGreatestScale * (format == LowbitFormat::kInt8 ? 127 : 8);
}

float GreatestMagnitude(const Group& group) {
  // As integers, whose order is that of the magnitudes, with NaN above all.
  int32_t greatest = 0;
  for (size_t i = 0; i < kLowbitGroup; ++i) {
    const int32_t magnitude = std::bit_cast<int32_t>(group[i]) & 0x7fffffff;
    greatest = magnitude > greatest ? magnitude : greatest;
  }
  return std::bit_cast<float>(greatest);
}

float SumOfSquares(const Group& group) {
  return Sum([&](size_t i) { return group[i] * group[i]; });
}

Quantised QuantiseInt8(const Group& group, float greatest) {
  // Nothing is clipped so long as the greatest rounds to 127.
  constexpr float kStepsMax = 127.49f;
  Quantised result;
  result.scale = RoundScale(greatest / 127, greatest / kStepsMax);
  RoundAll(group, 1 / HalfToFloat(result.scale), result.values);
  return result;
}

}  // namespace residency
