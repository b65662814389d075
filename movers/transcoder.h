// Turns the bytes of one block from one encoding into another, a piece at a time and in order, and
// sums what goes in, what it stands for and what comes out. One task at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/bytes.h"
#include "core/clock.h"
#include "core/element.h"
#include "core/encodings.h"
#include "core/tier.h"
#include "movers/checksum.h"
#include "movers/compressed_codec.h"
#include "movers/content_meter.h"
#include "movers/transfer_route.h"

namespace residency {

class Transcoder {
 public:
  struct Options {
    Encoding from = Encoding::kFull;  // lossless
    Encoding to = Encoding::kFull;
    ElementType element = ElementType::kOther;
    LowbitFormat lowbit = LowbitFormat::kInt8;
    Bytes full;            // of the block
    Bytes room;            // of the target
    bool measure = false;  // the full bytes
    const Clock* clock = nullptr;
  };
  // Full bytes of a piece; the last may be shorter.
  static constexpr uint64_t kPieceBytes = residency::kPieceBytes;
  // Beyond a piece, the most that a piece in any encoding takes: a directory at its end, padding.
  static constexpr uint64_t kSlackBytes = 64 << 10;
  // A directory of a larger block would not fit the slack.
  static constexpr uint64_t kFullBytesMax = kCodecBytesMax.count();

  // `directory` is that of a compressed source. REQUIRES: `full` at most kFullBytesMax.
  Transcoder(const Options& options, std::optional<PieceDirectory> directory);

  uint32_t piece_count() const { return shape_.piece_count(); }
  // Where the piece lies in the source, in bytes of its encoding.
  ChunkRange SourceRange(uint32_t piece) const;
  // REQUIRES: pieces in order; `in` are the bytes of SourceRange. The bytes of the target are in
  // `out` then, and the range says where they belong; it is empty once the target's room is
  // exceeded. DataLoss if `in` is not what it should be.
  absl::StatusOr<ChunkRange> Turn(uint32_t piece, std::span<const std::byte> in,
                                  std::span<std::byte> out);

  // After the last piece.
  uint64_t source_checksum() const { return source_.value(); }
  uint64_t full_checksum() const { return from_full() ? source_.value() : full_.value(); }
  uint64_t target_checksum() const { return target_.value(); }
  Bytes target_bytes() const { return target_bytes_; }
  bool fits() const { return target_bytes_ <= options_.room; }
  ContentFacts facts() const { return meter_ ? meter_->Result() : ContentFacts(); }
  int64_t decode_us() const { return decode_us_; }
  int64_t encode_us() const { return encode_us_; }
  const Options& options() const { return options_; }

 private:
  bool from_full() const { return options_.from == Encoding::kFull; }
  absl::StatusOr<std::span<const std::byte>> Decode(uint32_t piece, std::span<const std::byte> in);
  ChunkRange Encode(uint32_t piece, std::span<const std::byte> full, std::span<std::byte> out);
  ChunkRange Compress(std::span<const std::byte> full, std::span<std::byte> out);

  const Options options_;
  const PieceDirectory shape_;  // of a block of this size, or the compressed source's own
  PieceDirectory made_;         // of a compressed target
  std::unique_ptr<ContentMeter> meter_;
  Checksum source_;
  Checksum full_;
  Checksum target_;
  Bytes target_bytes_;
  int64_t decode_us_ = 0;
  int64_t encode_us_ = 0;
};

}  // namespace residency
