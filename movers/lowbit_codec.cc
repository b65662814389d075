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

// `greatest` is the group's greatest magnitude.
void EncodeGroup(LowbitFormat format, Group& group, float greatest, Quantised& quantised,
                 LowbitError& sums) {
  if (!std::isfinite(greatest)) [[unlikely]] {
    sums.finite = false;
    Purge(group);
    greatest = GreatestMagnitude(group);
  }
  if (greatest < kSmallestKept) [[unlikely]] {
    AddLost(group, sums);
    quantised = {};
    quantised.scale = greatest > 0 ? kSmallestScale : 0;  // so that its bound holds
    return;
  }
  if (greatest > GreatestKept(format)) [[unlikely]] {
    sums.finite = false;
    quantised = {};
    return;
  }
  const GroupError error = format == LowbitFormat::kInt8 ? QuantiseInt8(group, greatest, quantised)
                                                         : QuantiseInt4(group, greatest, quantised);
  sums.error_sq += error.error_sq;
  sums.signal_sq += error.signal_sq;
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

// Step by step over the whole frame, so that groups do not wait for one another's results.
void EncodeFrame(ElementType element, LowbitFormat format, std::span<const std::byte> full,
                 std::byte* frame, LowbitError& sums) {
  const size_t group_bytes = kLowbitGroup * ElementBytes(element);
  const size_t whole = full.size() / group_bytes;
  std::array<Group, kGroupsPerFrame> groups;
  std::array<float, kGroupsPerFrame> greatest;
  for (size_t i = 0; i < whole; ++i) LoadGroup(element, full.data() + i * group_bytes, groups[i]);
  size_t filled = whole;
  if (full.size() % group_bytes > 0) {
    LoadPartialGroup(element, full.subspan(whole * group_bytes), groups[filled++]);
  }
  for (size_t i = 0; i < filled; ++i) greatest[i] = GreatestMagnitude(groups[i]);
  for (size_t i = 0; i < filled; ++i) {
    Quantised quantised;
    EncodeGroup(format, groups[i], greatest[i], quantised, sums);
    StoreGroup(format, quantised, i, frame);
  }
  for (size_t i = filled; i < kGroupsPerFrame; ++i) StoreGroup(format, {}, i, frame);
}

// `at` is the group's index in its frame.
void DecodeGroup(LowbitFormat format, const std::byte* frame, size_t at, Group& group) {
  uint16_t bits = 0;
  std::memcpy(&bits, frame + at * sizeof(bits), sizeof(bits));
  const float scale = HalfToFloat(bits);
  const std::byte* values = frame + kLowbitScaleBytes;
  std::array<int8_t, kLowbitGroup> levels;
  if (format == LowbitFormat::kInt8) {
    std::memcpy(levels.data(), values + at * kLowbitGroup, kLowbitGroup);
  } else {
    std::array<uint8_t, kLowbitGroup / 2> packed;
    std::memcpy(packed.data(), values + at * packed.size(), packed.size());
    for (size_t i = 0; i < packed.size(); ++i) {
      levels[2 * i] = static_cast<int8_t>((packed[i] & 15) - 8);
      levels[2 * i + 1] = static_cast<int8_t>((packed[i] >> 4) - 8);
    }
  }
  for (size_t i = 0; i < kLowbitGroup; ++i) {
    group.weights[i] = static_cast<float>(levels[i]) * scale;
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
  for (size_t at = 0; at < out.size(); at += kLowbitGroup) {
    const std::byte* frame = lowbit.data() + at / kLowbitFrame * LowbitFrameBytes(format);
    Group group;
    DecodeGroup(format, frame, at % kLowbitFrame / kLowbitGroup, group);
    const size_t count = std::min<size_t>(kLowbitGroup, out.size() - at);
    std::memcpy(out.data() + at, group.weights.data(), count * sizeof(float));
  }
}

}  // namespace residency
