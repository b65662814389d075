#include "movers/lowbit_codec.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/check.h"
#include "movers/float_bits.h"
#include "movers/lowbit_group.h"

namespace residency {
namespace {

static_assert(std::endian::native == std::endian::little, "scales and elements are little endian");

constexpr size_t kGroupsPerFrame = kLowbitFrame / kLowbitGroup;

// Elements to floats. Loops of constant length over plain arrays: the compiler vectorises them.
void LoadGroup(ElementType element, const std::byte* from, Group& group) {
  if (element == ElementType::kF32) {
    std::memcpy(group.weights.data(), from, sizeof(group.weights));
    return;
  }
  std::array<uint16_t, kLowbitGroup> bits;
  std::memcpy(bits.data(), from, sizeof(bits));
  if (element == ElementType::kBf16) {
    for (size_t i = 0; i < kLowbitGroup; ++i) group.weights[i] = Bf16ToFloat(bits[i]);
  } else {
    for (size_t i = 0; i < kLowbitGroup; ++i) group.weights[i] = HalfToFloat(bits[i]);
  }
}

void LoadPartialGroup(ElementType element, std::span<const std::byte> from, Group& group) {
  std::array<std::byte, kLowbitGroup * sizeof(float)> padded{};
  std::ranges::copy(from, padded.begin());
  LoadGroup(element, padded.data(), group);
}

// Zeroes what is not finite.
void Purge(Group& group) {
  for (float& x : group.weights) {
    if (!std::isfinite(x)) x = 0;
  }
}

constexpr uint16_t kSmallestScale = 1;  // 2^-24 in f16

// Squares of elements as small as those that no scale expresses vanish in a float.
void AddLost(const Group& group, LowbitError& sums) {
  double lost = 0;
  for (const float x : group.weights) lost += double{x} * x;
  sums.error_sq += lost;
  sums.signal_sq += lost;
}

Quantised EncodeGroup(LowbitFormat format, Group& group, LowbitError& sums) {
  float greatest = GreatestMagnitude(group);
  if (!std::isfinite(greatest)) [[unlikely]] {
    sums.finite = false;
    Purge(group);
    greatest = GreatestMagnitude(group);
  }
  if (greatest < kSmallestKept) [[unlikely]] {
    AddLost(group, sums);
    Quantised zeros;
    zeros.scale = greatest > 0 ? kSmallestScale : 0;  // so that its bound holds
    return zeros;
  }
  if (greatest > GreatestKept(format)) [[unlikely]] {
    sums.finite = false;
    return {};
  }
  const Quantised quantised =
      format == LowbitFormat::kInt8 ? QuantiseInt8(group, greatest) : QuantiseInt4(group, greatest);
  sums.error_sq += quantised.error_sq;
  sums.signal_sq += quantised.signal_sq;
  return quantised;
}

// `at` is the group's index in its frame.
void StoreGroup(LowbitFormat format, const Quantised& quantised, size_t at, std::byte* frame) {
  std::memcpy(frame + at * sizeof(quantised.scale), &quantised.scale, sizeof(quantised.scale));
  std::byte* values = frame + kLowbitScaleBytes;
  if (format == LowbitFormat::kInt8) {
    std::memcpy(values + at * kLowbitGroup, quantised.values.data(), kLowbitGroup);
    return;
  }
  std::array<uint8_t, kLowbitGroup / 2> packed;
  for (size_t i = 0; i < packed.size(); ++i) {
    packed[i] = static_cast<uint8_t>((quantised.values[2 * i] + 8) |
                                     (quantised.values[2 * i + 1] + 8) << 4);
  }
  std::memcpy(values + at * packed.size(), packed.data(), packed.size());
}

void EncodeFrame(ElementType element, LowbitFormat format, std::span<const std::byte> full,
                 std::byte* frame, LowbitError& sums) {
  const size_t group_bytes = kLowbitGroup * ElementBytes(element);
  for (size_t i = 0; i < kGroupsPerFrame; ++i) {
    const size_t begin = i * group_bytes;
    Quantised quantised;
    if (begin < full.size()) {
      Group group;
      if (full.size() - begin >= group_bytes) {
        LoadGroup(element, full.data() + begin, group);
      } else {
        LoadPartialGroup(element, full.subspan(begin), group);
      }
      quantised = EncodeGroup(format, group, sums);
    }
    StoreGroup(format, quantised, i, frame);
  }
}

}  // namespace

void LowbitError::Merge(const LowbitError& other) {
  error_sq += other.error_sq;
  signal_sq += other.signal_sq;
  finite = finite && other.finite;
}

double LowbitError::Relative() const {
  if (!finite) return std::numeric_limits<double>::infinity();
  return signal_sq > 0 ? std::sqrt(error_sq / signal_sq) : 0;
}

LowbitError EncodeLowbit(ElementType element, LowbitFormat format, std::span<const std::byte> full,
                         std::span<std::byte> out) {
  const size_t element_bytes = ElementBytes(element);
  RESIDENCY_CHECK(element_bytes > 0, "elements of bf16, f16 or f32");
  RESIDENCY_CHECK(out.size() == LowbitBytes(element, format, Bytes(full.size())).count(),
                  "room for just the frames");
  full = full.first(full.size() / element_bytes * element_bytes);
  const size_t frame_bytes = kLowbitFrame * element_bytes;
  LowbitError sums;
  for (std::byte* frame = out.data(); !full.empty(); frame += LowbitFrameBytes(format)) {
    const size_t bytes = std::min(full.size(), frame_bytes);
    EncodeFrame(element, format, full.first(bytes), frame, sums);
    full = full.subspan(bytes);
  }
  return sums;
}

float LowbitBound(LowbitFormat format, float scale) {
  // The share added covers the rounding of the division by the scale.
  constexpr float kRounding = 0x1p-14f;
  return std::abs(scale) * ((format == LowbitFormat::kInt8 ? 0.5f : 1.0f) + kRounding);
}

void DecodeLowbit(LowbitFormat format, std::span<const std::byte> lowbit, std::span<float> out) {
  const size_t frames = (out.size() + kLowbitFrame - 1) / kLowbitFrame;
  RESIDENCY_CHECK(lowbit.size() >= frames * LowbitFrameBytes(format), "all frames of the elements");
  for (size_t i = 0; i < out.size(); ++i) {
    const std::byte* frame = lowbit.data() + i / kLowbitFrame * LowbitFrameBytes(format);
    const size_t at = i % kLowbitFrame;
    uint16_t scale = 0;
    std::memcpy(&scale, frame + at / kLowbitGroup * sizeof(scale), sizeof(scale));
    const std::byte* values = frame + kLowbitScaleBytes;
    int value = 0;
    if (format == LowbitFormat::kInt8) {
      value = static_cast<int8_t>(values[at]);
    } else {
      value = (std::to_integer<int>(values[at / 2]) >> (at % 2 * 4) & 15) - 8;
    }
    out[i] = static_cast<float>(value) * HalfToFloat(scale);
  }
}

}  // namespace residency
