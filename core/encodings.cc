#include "core/encodings.h"

#include <cmath>

namespace residency {
namespace {

constexpr uint64_t kPage = 4096;
// A sample is not the whole: room for this much more than it promises, and for the padding.
constexpr double kEstimateMargin = 1.02;
constexpr uint64_t kPieceFullBytes = 1 << 20;

}  // namespace

const char* Explain(Suitability suitability) {
  switch (suitability) {
    case Suitability::kSuits:
      return "eligible";
    case Suitability::kElements:
      return "not for these elements";
    case Suitability::kNotMeasured:
      return "not measured yet";
    case Suitability::kNotFinite:
      return "holds values that are not finite";
    case Suitability::kNoGain:
      return "would hardly be smaller";
    case Suitability::kTooLarge:
      return "larger than the codecs take";
  }
  return "unknown";
}

Suitability Suits(const Block& block, Encoding encoding, LowbitFormat format) {
  if (encoding == Encoding::kFull) return Suitability::kSuits;
  if (ElementBytes(block.element) == 0) return Suitability::kElements;
  if (block.bytes > kCodecBytesMax) return Suitability::kTooLarge;
  if (encoding == Encoding::kCompressed && block.compressed_pages > 0) {
    const double bytes = static_cast<double>(block.compressed_pages) * kPage;
    return bytes * kCompressionRatioMin <= static_cast<double>(block.bytes.count())
               ? Suitability::kSuits
               : Suitability::kNoGain;
  }
  if (!block.facts.measured) return Suitability::kNotMeasured;
  if (encoding == Encoding::kLowbit) {
    if (block.bytes.count() % ElementBytes(block.element) != 0) return Suitability::kElements;
    if (!std::isfinite(block.facts.lowbit_error)) return Suitability::kNotFinite;
  }
  const double most = encoding == Encoding::kLowbit ? kLowbitShareMax : 1 / kCompressionRatioMin;
  const Bytes bytes = EncodedBytes(block, encoding, format);
  const bool gains =
      static_cast<double>(bytes.count()) <= most * static_cast<double>(block.bytes.count());
  return gains ? Suitability::kSuits : Suitability::kNoGain;
}

Bytes EncodedBytes(const Block& block, Encoding encoding, LowbitFormat format) {
  switch (encoding) {
    case Encoding::kFull:
      return block.bytes;
    case Encoding::kLowbit:
      return LowbitBytes(block.element, format, block.bytes);
    case Encoding::kCompressed:
      break;
  }
  if (block.compressed_pages > 0) return Bytes(block.compressed_pages * kPage);
  const double full = static_cast<double>(block.bytes.count());
  const double payload = full * block.facts.compressed_share * kEstimateMargin;
  const uint64_t pieces = (block.bytes.count() + kPieceFullBytes - 1) / kPieceFullBytes;
  return RoundUp(Bytes(static_cast<uint64_t>(payload) + (pieces + 1) * kPage), Bytes(kPage));
}

}  // namespace residency
