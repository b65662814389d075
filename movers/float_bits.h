// Conversions among the floating-point types of weights, without branches where a loop over many
// elements uses them.
#pragma once

#include <bit>
#include <cstdint>

namespace residency {

inline constexpr uint32_t kFloatInfinityBits = 0x7f800000;

constexpr float Bf16ToFloat(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

// Exact. Infinity and NaN stay what they are.
constexpr float HalfToFloat(uint16_t bits) {
  constexpr uint32_t kExponent = 0x7c00u << 13;
  constexpr float kSmallestNormal = 0x1p-14f;
  const uint32_t magnitude = (bits & 0x7fffu) << 13;
  const uint32_t exponent = magnitude & kExponent;
  // Rebias the exponent by 112; infinity's by 112 more; a subnormal's by 1 more, and then the
  // implicit bit that this gave it is taken off again.
  const uint32_t rebias = exponent == kExponent ? 224u << 23 : (exponent == 0 ? 113u : 112u) << 23;
  const float hidden = exponent == 0 ? kSmallestNormal : 0.0f;
  const float positive = std::bit_cast<float>(magnitude + rebias) - hidden;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(positive) | (bits & 0x8000u) << 16);
}

// To nearest, ties to even. Beyond the range: infinity.
constexpr uint16_t FloatToHalf(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t half = 0;
  if (magnitude > kFloatInfinityBits) {
    half = 0x7e00;
  } else if (magnitude >= 0x477ff000u) {  // 65520, halfway beyond the greatest
    half = 0x7c00;
  } else if (magnitude < 0x38800000u) {
    // A subnormal: added to 0.5, whose last place is 2^-24, it is rounded to whole such places.
    half = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
  } else {
    half = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  }
  return static_cast<uint16_t>(sign | half);
}

}  // namespace residency
