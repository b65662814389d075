// Where the pieces of a compressed copy lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "core/bytes.h"
#include "core/element.h"

namespace residency {

// Full bytes of a piece; a block's last may be shorter.
inline constexpr uint64_t kPieceBytes = 1 << 20;
// Every piece begins at a multiple of this, and the copy ends at one.
inline constexpr uint64_t kPieceAlignment = 4096;

// A compressed copy is its pieces, padding, and this directory's footer, which ends it. The footer:
// magic (8 bytes), version (2), element (1), zero (1), count of pieces (4), full bytes of the block
// (8), then the encoded bytes of each piece (4 each) and the XXH3-64 of all that (8). Little
// endian.
class PieceDirectory {
 public:
  // Of a block of `full` bytes, with no piece appended yet.
  PieceDirectory(ElementType element, Bytes full);

  static uint64_t FooterBytes(Bytes full);

  // DataLoss, saying what is wrong, unless `footer` was written for such a block and the pieces
  // fill just `total` bytes; so whatever it holds, every piece returned lies before the footer.
  static absl::StatusOr<PieceDirectory> Parse(ElementType element, Bytes full, Bytes total,
                                              std::span<const std::byte> footer);

  uint32_t piece_count() const { return piece_count_; }
  Bytes FullBytesOf(uint32_t piece) const;

  // Takes the next piece and returns its offset in the copy. REQUIRES: !complete(); it has at least
  // one byte and at most its full bytes.
  uint64_t Append(uint64_t encoded_bytes);
  bool complete() const { return encoded_.size() == piece_count_; }

  // Of a piece that was appended.
  uint64_t OffsetOf(uint32_t piece) const;
  uint64_t EncodedBytesOf(uint32_t piece) const;

  // Of the whole copy. REQUIRES, here and below: complete().
  Bytes TotalBytes() const;
  // REQUIRES: footer.size() == FooterBytes(full).
  void WriteFooter(std::span<std::byte> footer) const;

 private:
  ElementType element_;
  Bytes full_;
  uint32_t piece_count_;
  std::vector<uint32_t> encoded_;  // bytes, by piece
  std::vector<uint64_t> offsets_;  // by piece
  uint64_t end_ = 0;               // of the last piece appended
};

}  // namespace residency
