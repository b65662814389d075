#include "movers/transcoder.h"

#include <cstring>
#include <vector>

#include "core/check.h"
#include "movers/io_alignment.h"
#include "movers/lowbit_codec.h"

namespace residency {
namespace {

// One piece in full, of the thread that works on it.
std::span<std::byte> FullScratch() {
  static thread_local std::vector<std::byte> scratch(Transcoder::kPieceBytes);
  return scratch;
}

}  // namespace

Transcoder::Transcoder(const Options& options, std::optional<PieceDirectory> directory)
    : options_(options),
      shape_(directory ? *std::move(directory) : PieceDirectory(options.element, options.full)),
      made_(options.element, options.full) {
  RESIDENCY_CHECK(options.full.count() <= kFullBytesMax, "a block too large for codecs");
  RESIDENCY_CHECK(from_full() || shape_.complete(), "a compressed source comes with a directory");
  if (options.measure) meter_ = std::make_unique<ContentMeter>(options.element, options.lowbit);
}

ChunkRange Transcoder::SourceRange(uint32_t piece) const {
  if (from_full()) {
    return {piece * kPieceBytes, static_cast<uint32_t>(shape_.FullBytesOf(piece).count())};
  }
  const uint64_t at = shape_.OffsetOf(piece);
  const bool last = piece + 1 == shape_.piece_count();
  const uint64_t end = last ? shape_.TotalBytes().count() : shape_.OffsetOf(piece + 1);
  return {at, static_cast<uint32_t>(end - at)};
}

absl::StatusOr<std::span<const std::byte>> Transcoder::Decode(uint32_t piece,
                                                              std::span<const std::byte> in) {
  if (from_full()) return in;
  const TimePoint begin = options_.clock->Now();
  const auto full = FullScratch().first(shape_.FullBytesOf(piece).count());
  const absl::Status status =
      DecompressPiece(options_.element, in.first(shape_.EncodedBytesOf(piece)), full);
  if (!status.ok()) return status;
  decode_us_ += (options_.clock->Now() - begin).count();
  full_.Add(full);
  return full;
}

ChunkRange Transcoder::Compress(std::span<const std::byte> full, std::span<std::byte> out) {
  const size_t size = CompressPiece(options_.element, full, out);
  const uint64_t at = made_.Append(size);
  const uint64_t end = made_.complete() ? made_.TotalBytes().count() : at + AlignUp(size);
  std::memset(out.data() + size, 0, end - at - size);
  if (made_.complete()) {
    const uint64_t footer = PieceDirectory::FooterBytes(options_.full);
    made_.WriteFooter(out.subspan(end - at - footer, footer));
  }
  return {at, static_cast<uint32_t>(end - at)};
}

ChunkRange Transcoder::Encode(uint32_t piece, std::span<const std::byte> full,
                              std::span<std::byte> out) {
  switch (options_.to) {
    case Encoding::kFull:
      std::memcpy(out.data(), full.data(), full.size());
      return {piece * kPieceBytes, static_cast<uint32_t>(full.size())};
    case Encoding::kLowbit: {
      const auto bytes = [&](uint64_t n) {
        return LowbitBytes(options_.element, options_.lowbit, Bytes(n)).count();
      };
      const uint64_t size = bytes(full.size());
      EncodeLowbit(options_.element, options_.lowbit, full, out.first(size));
      return {piece * bytes(kPieceBytes), static_cast<uint32_t>(size)};
    }
    case Encoding::kCompressed:
      break;
  }
  return Compress(full, out);
}

absl::StatusOr<ChunkRange> Transcoder::Turn(uint32_t piece, std::span<const std::byte> in,
                                            std::span<std::byte> out) {
  RESIDENCY_CHECK(out.size() >= kPieceBytes + kSlackBytes, "room for a piece in any encoding");
  source_.Add(in);
  const auto full = Decode(piece, in);
  if (!full.ok()) return full.status();
  if (meter_) meter_->Add(piece * kPieceBytes, *full);
  const TimePoint begin = options_.clock->Now();
  ChunkRange range = Encode(piece, *full, out);
  if (options_.to != Encoding::kFull) encode_us_ += (options_.clock->Now() - begin).count();
  target_.Add(out.first(range.size));
  target_bytes_ = Bytes(range.at + range.size);
  if (!fits()) range.size = 0;
  return range;
}

}  // namespace residency
