// What a block's bytes are made of, and what that allows: the low-bit formats and which encodings
// suit which content.
#pragma once

#include <cstdint>

#include "core/bytes.h"

namespace residency {

enum class ElementType : uint8_t {
  kOther,          // mixed, integers, unknown: held full only
  kBf16,           //
  kF16,            //
  kF32,            //
  kQuantized8,     // 8 bits per weight: int8, fp8, Q8_0
  kQuantizedSub8,  // fewer
};

constexpr const char* Name(ElementType element) {
  constexpr const char* kNames[] = {"other", "bf16", "f16", "f32", "quantized8", "quantized_sub8"};
  return kNames[static_cast<int>(element)];
}

// Bytes of one element of what a codec understands; 0 for everything else.
constexpr uint64_t ElementBytes(ElementType element) {
  switch (element) {
    case ElementType::kBf16:
    case ElementType::kF16:
      return 2;
    case ElementType::kF32:
      return 4;
    default:
      return 0;
  }
}

// Low-bit content is a row of frames of 4096 elements each: 128 scales (f16, little endian), one
// for each group of 32, then the 4096 quantised values. int8: q in [-127, 127]. int4: two a byte,
// the even element in the low nibble, stored as q + 8 with q in [-8, 7]. An element is q · scale.
// The last frame is whole too; elements past the block's end are zero.
enum class LowbitFormat : uint8_t { kInt8, kInt4 };

constexpr const char* Name(LowbitFormat format) {
  constexpr const char* kNames[] = {"int8_g32", "int4_g32"};
  return kNames[static_cast<int>(format)];
}

inline constexpr uint64_t kLowbitGroup = 32;
inline constexpr uint64_t kLowbitFrame = 4096;
inline constexpr uint64_t kLowbitScaleBytes = kLowbitFrame / kLowbitGroup * 2;

constexpr uint64_t LowbitFrameBytes(LowbitFormat format) {
  return kLowbitScaleBytes + (format == LowbitFormat::kInt8 ? kLowbitFrame : kLowbitFrame / 2);
}

// Of a block of `full` bytes of elements that a codec understands.
constexpr Bytes LowbitBytes(ElementType element, LowbitFormat format, Bytes full) {
  const uint64_t elements = full.count() / ElementBytes(element);
  return Bytes((elements + kLowbitFrame - 1) / kLowbitFrame * LowbitFrameBytes(format));
}

// What a block's bytes were found to be worth in the other encodings, by looking at some of them.
struct ContentFacts {
  bool measured = false;
  float lowbit_error = 0;      // relative RMS; infinity where low-bit content cannot express it
  float compressed_share = 1;  // bytes compressed for each byte full, estimated
};

}  // namespace residency
