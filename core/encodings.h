// Which encodings suit a block, and how large it is in them. S1 and S2 are no states of a block
// until its bytes have been looked at.
#pragma once

#include <cstdint>

#include "core/block.h"
#include "core/bytes.h"
#include "core/element.h"
#include "core/tier.h"

namespace residency {

enum class Suitability : uint8_t {
  kSuits,
  kElements,     // nothing that a codec understands, or 8 bits per weight or less already
  kNotMeasured,  // its bytes were not seen yet
  kNotFinite,    // a value that low-bit can't hold
  kNoGain,       // it would hardly be smaller
  kTooLarge,     // for the codecs
};

// For operators: "eligible", or why not, in a few words.
const char* Explain(Suitability suitability);

// A compressed copy has to be smaller than the full one by this factor.
inline constexpr double kCompressionRatioMin = 1.05;
// A low-bit copy may have this share of the full bytes.
inline constexpr double kLowbitShareMax = 0.9;

// Larger blocks are held full only: a directory of theirs would outgrow the codecs' buffers.
inline constexpr Bytes kCodecBytesMax = GiB(8);

Suitability Suits(const Block& block, Encoding encoding, LowbitFormat format);

// Bytes of a copy in this encoding. Compressed: exact once the block has been compressed, before
// that what its sample promises and some more. REQUIRES: the encoding suits the block.
Bytes EncodedBytes(const Block& block, Encoding encoding, LowbitFormat format);

}  // namespace residency
