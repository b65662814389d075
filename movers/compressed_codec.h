// Weights compressed without loss, a piece at a time. The exponents of weights take few values, so
// they are entropy-coded; signs and mantissas look random and are kept raw.
//
// An encoded piece is the raw planes, then the bytes that make no whole element, then the exponents
// as one zstd frame. f32 has two raw planes, of the low 16 and the next 8 bits of each element;
// bf16 and f16 have one, of 8 bits. All are taken from the element turned left by one bit, which
// brings the sign to the bottom. f16's exponents carry the three upper bits of its mantissas.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "core/element.h"
#include "movers/piece_directory.h"

namespace residency {

// Compresses the elements (bf16, f16, f32) of a piece and returns how many bytes of `out` that
// took. A piece that does not shrink is stored as it is: the result is then in.size(), and only
// then. REQUIRES: in.size() <= kPieceBytes; out.size() >= in.size().
size_t CompressPiece(ElementType element, std::span<const std::byte> in, std::span<std::byte> out);

// Restores a piece. REQUIRES: out.size() is that of the piece in full.
// DataLoss if `in` cannot be what CompressPiece made of such a piece; `out` then holds anything.
// Whatever the bytes, nothing is read or written out of bounds.
absl::Status DecompressPiece(ElementType element, std::span<const std::byte> in,
                             std::span<std::byte> out);

}  // namespace residency
