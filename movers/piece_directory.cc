#include "movers/piece_directory.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "core/check.h"
#include "movers/checksum.h"

namespace residency {
namespace {

static_assert(std::endian::native == std::endian::little, "the footer is little endian");

constexpr uint64_t kMagic = 0x31304350'44495352;  // "RSIDPC01"
constexpr uint16_t kVersion = 1;

struct FooterHead {
  uint64_t magic = kMagic;
  uint16_t version = kVersion;
  uint8_t element = 0;
  uint8_t zero = 0;
  uint32_t pieces = 0;
  uint64_t full = 0;
};
static_assert(sizeof(FooterHead) == 24);

uint64_t PieceCount(Bytes full) { return (full.count() + kPieceBytes - 1) / kPieceBytes; }

uint64_t AlignUp(uint64_t bytes) {
  return (bytes + kPieceAlignment - 1) / kPieceAlignment * kPieceAlignment;
}

absl::Status Wrong(absl::string_view what, uint64_t wanted, uint64_t found) {
  return absl::DataLossError(absl::StrCat("compressed copy: ", what, ": wanted ", wanted,
                                          ", found ", found, "; the copy is not usable"));
}

absl::Status CheckHead(const FooterHead& head, ElementType element, Bytes full) {
  if (head.magic != kMagic) return Wrong("magic of its directory", kMagic, head.magic);
  if (head.version != kVersion) return Wrong("version", kVersion, head.version);
  if (head.element != static_cast<uint8_t>(element)) {
    return Wrong("element type", static_cast<uint8_t>(element), head.element);
  }
  if (head.zero != 0) return Wrong("reserved byte", 0, head.zero);
  if (head.full != full.count()) return Wrong("full bytes of the block", full.count(), head.full);
  if (head.pieces != PieceCount(full)) return Wrong("pieces", PieceCount(full), head.pieces);
  return absl::OkStatus();
}

}  // namespace

PieceDirectory::PieceDirectory(ElementType element, Bytes full)
    : element_(element), full_(full), piece_count_(static_cast<uint32_t>(PieceCount(full))) {
  RESIDENCY_CHECK(PieceCount(full) <= UINT32_MAX, "a block of at most 2^32 pieces");
}

uint64_t PieceDirectory::FooterBytes(Bytes full) {
  return sizeof(FooterHead) + PieceCount(full) * sizeof(uint32_t) + sizeof(uint64_t);
}

Bytes PieceDirectory::FullBytesOf(uint32_t piece) const {
  RESIDENCY_CHECK(piece < piece_count_, "a piece of the block");
  return Bytes(std::min(kPieceBytes, full_.count() - piece * kPieceBytes));
}

uint64_t PieceDirectory::Append(uint64_t encoded_bytes) {
  RESIDENCY_CHECK(!complete(), "a piece is wanting");
  const auto piece = static_cast<uint32_t>(encoded_.size());
  RESIDENCY_CHECK(encoded_bytes > 0 && encoded_bytes <= FullBytesOf(piece).count(),
                  "no piece is larger encoded than full");
  const uint64_t offset = AlignUp(end_);
  encoded_.push_back(static_cast<uint32_t>(encoded_bytes));
  offsets_.push_back(offset);
  end_ = offset + encoded_bytes;
  return offset;
}

uint64_t PieceDirectory::OffsetOf(uint32_t piece) const {
  RESIDENCY_CHECK(piece < offsets_.size(), "a piece that was appended");
  return offsets_[piece];
}

uint64_t PieceDirectory::EncodedBytesOf(uint32_t piece) const {
  RESIDENCY_CHECK(piece < encoded_.size(), "a piece that was appended");
  return encoded_[piece];
}

Bytes PieceDirectory::TotalBytes() const {
  RESIDENCY_CHECK(complete(), "all pieces appended");
  return Bytes(AlignUp(end_ + FooterBytes(full_)));
}

void PieceDirectory::WriteFooter(std::span<std::byte> footer) const {
  RESIDENCY_CHECK(complete(), "all pieces appended");
  RESIDENCY_CHECK(footer.size() == FooterBytes(full_), "room for just the footer");
  FooterHead head;
  head.element = static_cast<uint8_t>(element_);
  head.pieces = piece_count_;
  head.full = full_.count();
  std::memcpy(footer.data(), &head, sizeof(head));
  std::ranges::copy(std::as_bytes(std::span(encoded_)), footer.begin() + sizeof(head));
  const size_t checked = footer.size() - sizeof(uint64_t);
  const uint64_t checksum = ChecksumOf(footer.first(checked));
  std::memcpy(footer.data() + checked, &checksum, sizeof(checksum));
}

absl::StatusOr<PieceDirectory> PieceDirectory::Parse(ElementType element, Bytes full, Bytes total,
                                                     std::span<const std::byte> footer) {
  if (footer.size() != FooterBytes(full)) {
    return Wrong("bytes of its directory", FooterBytes(full), footer.size());
  }
  FooterHead head;
  std::memcpy(&head, footer.data(), sizeof(head));
  if (absl::Status ok = CheckHead(head, element, full); !ok.ok()) return ok;
  const size_t checked = footer.size() - sizeof(uint64_t);
  uint64_t stored = 0;
  std::memcpy(&stored, footer.data() + checked, sizeof(stored));
  const uint64_t actual = ChecksumOf(footer.first(checked));
  if (stored != actual) return Wrong("checksum of its directory", actual, stored);

  PieceDirectory directory(element, full);
  for (uint32_t piece = 0; piece < directory.piece_count(); ++piece) {
    uint32_t encoded = 0;
    std::memcpy(&encoded, footer.data() + sizeof(head) + piece * sizeof(encoded), sizeof(encoded));
    const uint64_t most = directory.FullBytesOf(piece).count();
    if (encoded == 0 || encoded > most) {
      return Wrong(absl::StrCat("bytes of piece ", piece, ", at most"), most, encoded);
    }
    directory.Append(encoded);
  }
  if (directory.TotalBytes() != total) {
    return Wrong("bytes in all", directory.TotalBytes().count(), total.count());
  }
  return directory;
}

}  // namespace residency
