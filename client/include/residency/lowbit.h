// Low-bit content: weights in 8 or 4 bits with a scale for each group of 32. An engine may compute
// with it as it is, or decode it first; this says how, and how far off a weight can be.
//
// The layout. Content is a row of frames of 4096 elements each. A frame is 128 scales (IEEE half,
// little endian), one for each 32 elements in turn, and then the 4096 quantised values:
//   int8_g32  one byte an element, q in [-127, 127];                 4352 bytes a frame
//   int4_g32  two a byte, the even element in the low four bits, as
//             q + 8 with q in [-8, 7];                               2304 bytes a frame
// An element is q · scale; a scale may be negative. The last frame is whole too, and its elements
// past the block's end are zero.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace residency::inline client {

enum class LowbitFormat : uint8_t { kInt8, kInt4 };

inline constexpr uint64_t kLowbitGroupElements = 32;  // that share a scale
inline constexpr uint64_t kLowbitFrameElements = 4096;
inline constexpr uint64_t kLowbitScaleBytesPerFrame = 256;

// Of the frames of that many elements.
constexpr uint64_t LowbitContentBytes(LowbitFormat format, uint64_t element_count) {
  const uint64_t frame =
      kLowbitScaleBytesPerFrame +
      (format == LowbitFormat::kInt8 ? kLowbitFrameElements : kLowbitFrameElements / 2);
  return (element_count + kLowbitFrameElements - 1) / kLowbitFrameElements * frame;
}

// Decodes the first element_count elements of `content` to out[0, element_count): exactly q ·
// scale, which a float holds without rounding. Any thread. OutOfRange if `content` is shorter than
// their frames; nothing is written then.
absl::Status DecodeLowbit(LowbitFormat format, std::span<const std::byte> content,
                          uint64_t element_count, float* out);

// The greatest |original - decoded| that any of the elements [first, first + count) can have, from
// their groups' scales alone. int8 is within half a scale. int4 is within half a scale too, except
// at the ends of its range (q of -8 or 7), where it is within a whole one; that one is what this
// says. Where `content` was damaged so that a scale is no number, infinity.
// OutOfRange if `content` is shorter than the elements' frames.
absl::StatusOr<float> LowbitErrorBound(LowbitFormat format, std::span<const std::byte> content,
                                       uint64_t first, uint64_t count);

}  // namespace residency::inline client
