#include "residency/lowbit.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"

namespace residency::inline client {
namespace {

constexpr uint64_t kGroupsPerFrame = kLowbitFrameElements / kLowbitGroupElements;

float FromHalf(uint16_t half) {
  const int exponent = half >> 10 & 31;
  const int mantissa = half & 1023;
  float magnitude = 0;
  if (exponent == 31) {
    magnitude = mantissa == 0 ? std::numeric_limits<float>::infinity()
                              : std::numeric_limits<float>::quiet_NaN();
  } else if (exponent == 0) {
    magnitude = static_cast<float>(mantissa) * 0x1p-24f;
  } else {
    magnitude = std::bit_cast<float>((exponent + 112) << 23 | mantissa << 13);
  }
  return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

uint64_t FrameBytes(LowbitFormat format) { return LowbitContentBytes(format, 1); }

// Groups are counted from the content's beginning.
float ScaleOf(LowbitFormat format, const std::byte* content, uint64_t group) {
  const std::byte* frame = content + group / kGroupsPerFrame * FrameBytes(format);
  uint8_t bytes[2];
  std::memcpy(bytes, frame + group % kGroupsPerFrame * sizeof(bytes), sizeof(bytes));
  return FromHalf(static_cast<uint16_t>(bytes[0] | bytes[1] << 8));
}

void DecodeGroup(LowbitFormat format, const std::byte* content, uint64_t group, float* out) {
  const float scale = ScaleOf(format, content, group);
  const std::byte* values =
      content + group / kGroupsPerFrame * FrameBytes(format) + kLowbitScaleBytesPerFrame;
  const uint64_t at = group % kGroupsPerFrame;
  if (format == LowbitFormat::kInt8) {
    int8_t levels[kLowbitGroupElements];
    std::memcpy(levels, values + at * sizeof(levels), sizeof(levels));
    for (uint64_t i = 0; i < kLowbitGroupElements; ++i) out[i] = scale * levels[i];
    return;
  }
  uint8_t pairs[kLowbitGroupElements / 2];
  std::memcpy(pairs, values + at * sizeof(pairs), sizeof(pairs));
  for (uint64_t i = 0; i < kLowbitGroupElements / 2; ++i) {
    out[2 * i] = scale * static_cast<float>((pairs[i] & 15) - 8);
    out[2 * i + 1] = scale * static_cast<float>((pairs[i] >> 4) - 8);
  }
}

absl::Status CheckHolds(LowbitFormat format, std::span<const std::byte> content, uint64_t first,
                        uint64_t count) {
  // No content has more elements than it has half bytes; so nothing below overflows.
  const uint64_t most = content.size() * 2;
  if (first <= most && count <= most - first &&
      content.size() >= LowbitContentBytes(format, first + count)) {
    return absl::OkStatus();
  }
  return absl::OutOfRangeError(absl::StrCat(
      "low-bit content of ", content.size(), " bytes does not hold elements ", first, " to ", first,
      " + ", count, "; pass the whole copy and the block's count of elements"));
}

}  // namespace

absl::Status DecodeLowbit(LowbitFormat format, std::span<const std::byte> content,
                          uint64_t element_count, float* out) {
  if (absl::Status ok = CheckHolds(format, content, 0, element_count); !ok.ok()) return ok;
  const uint64_t whole = element_count / kLowbitGroupElements;
  for (uint64_t group = 0; group < whole; ++group) {
    DecodeGroup(format, content.data(), group, out + group * kLowbitGroupElements);
  }
  if (const uint64_t left = element_count % kLowbitGroupElements; left > 0) {
    float last[kLowbitGroupElements];
    DecodeGroup(format, content.data(), whole, last);
    std::copy_n(last, left, out + whole * kLowbitGroupElements);
  }
  return absl::OkStatus();
}

absl::StatusOr<float> LowbitErrorBound(LowbitFormat format, std::span<const std::byte> content,
                                       uint64_t first, uint64_t count) {
  if (absl::Status ok = CheckHolds(format, content, first, count); !ok.ok()) return ok;
  if (count == 0) return 0.0f;
  // The share added covers the encoder's rounding of its division by the scale.
  const float steps = (format == LowbitFormat::kInt8 ? 0.5f : 1.0f) + 0x1p-14f;
  float bound = 0;
  const uint64_t last = (first + count - 1) / kLowbitGroupElements;
  for (uint64_t group = first / kLowbitGroupElements; group <= last; ++group) {
    const float scale = std::abs(ScaleOf(format, content.data(), group));
    if (!std::isfinite(scale)) return std::numeric_limits<float>::infinity();
    bound = std::max(bound, scale * steps);
  }
  return bound;
}

}  // namespace residency::inline client
