// Weights in 8 or 4 bits with a scale for each group of 32: lossy, and usable as they are. The
// layout is that of LowbitFormat.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/element.h"

namespace residency {

// What was lost: sums over the elements encoded, to be merged over the pieces of a block.
struct LowbitError {
  double error_sq = 0;   // of (original - decoded)²
  double signal_sq = 0;  // of original²
  bool finite = true;    // every element could be expressed

  void Merge(const LowbitError& other);
  // Root of error_sq / signal_sq: 0.01 is 40 dB. Infinity where not finite.
  double Relative() const;
};

// Encodes `full`, elements of bf16, f16 or f32. It begins at a frame's boundary in its block and is
// a whole number of frames unless it is the block's end; the last frame is padded with zeros, and
// bytes that make no whole element are left out. What is not finite is encoded as 0 and clears
// `finite`; so is every element of a group that would need a scale beyond f16.
// REQUIRES: out.size() == LowbitBytes(element, format, full.size()).
//
// If `finite`, no element is further from its original than LowbitBound of its group's scale. For
// int8 that is half a step: nothing is clipped. For int4, whose range [-8, 7] is lopsided, it is a
// whole step, reached only by clipped elements (q of -8 or 7); all others are within half a step.
LowbitError EncodeLowbit(ElementType element, LowbitFormat format, std::span<const std::byte> full,
                         std::span<std::byte> out);

// The greatest |original - decoded| in a group with this scale, by the scale alone.
float LowbitBound(LowbitFormat format, float scale);

// Decodes the first out.size() elements to f32, exactly q · scale. For tests and tools.
// REQUIRES: `lowbit` holds all of their frames.
void DecodeLowbit(LowbitFormat format, std::span<const std::byte> lowbit, std::span<float> out);

}  // namespace residency
