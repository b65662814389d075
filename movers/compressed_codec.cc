#include "movers/compressed_codec.h"

// For the choice of Huffman coding alone, which zstd calls experimental.
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include <array>
#include <bit>
#include <cstring>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/check.h"

namespace residency {
namespace {

static_assert(std::endian::native == std::endian::little, "elements are little endian");

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

// What a thread keeps from one piece to the next.
struct Workspace {
  std::unique_ptr<ZSTD_CCtx, FreeContext> encoder;
  std::unique_ptr<ZSTD_DCtx, FreeContext> decoder;
  std::vector<uint8_t> exponents = std::vector<uint8_t>(kPieceBytes / 2);
};

Workspace& ThisThreads() {
  thread_local Workspace workspace;
  return workspace;
}

void Set(ZSTD_CCtx* context, ZSTD_cParameter parameter, int value) {
  RESIDENCY_CHECK(!ZSTD_isError(ZSTD_CCtx_setParameter(context, parameter, value)),
                  "zstd 1.5 knows the parameter");
}

// Huffman coding and next to no search for repeats: exponents have none worth the time.
ZSTD_CCtx* Encoder() {
  auto& encoder = ThisThreads().encoder;
  if (encoder == nullptr) {
    encoder.reset(ZSTD_createCCtx());
    RESIDENCY_CHECK(encoder != nullptr, "memory for an encoder");
    Set(encoder.get(), ZSTD_c_strategy, ZSTD_fast);
    Set(encoder.get(), ZSTD_c_targetLength, ZSTD_TARGETLENGTH_MAX);
    Set(encoder.get(), ZSTD_c_minMatch, ZSTD_MINMATCH_MAX);
    Set(encoder.get(), ZSTD_c_hashLog, ZSTD_HASHLOG_MIN);
    Set(encoder.get(), ZSTD_c_literalCompressionMode, ZSTD_ps_enable);
  }
  return encoder.get();
}

ZSTD_DCtx* Decoder() {
  auto& decoder = ThisThreads().decoder;
  if (decoder == nullptr) {
    decoder.reset(ZSTD_createDCtx());
    RESIDENCY_CHECK(decoder != nullptr, "memory for a decoder");
  }
  return decoder.get();
}

// How many elements go through the planes' loops at once: constant, so that they are vectorised.
constexpr size_t kBatch = 64;

// bf16 with its sign at the bottom has its exponent as the upper byte. f16's exponent is shorter:
// three bits of mantissa go with it.
void Split16(const std::byte* in, uint8_t* exponents, std::byte* rest, size_t count) {
  std::array<uint16_t, kBatch> bits;
  std::array<uint8_t, kBatch> high;
  std::array<uint8_t, kBatch> low;
  std::memcpy(bits.data(), in, count * sizeof(uint16_t));
  for (size_t i = 0; i < kBatch; ++i) {
    const auto turned = static_cast<uint16_t>(bits[i] << 1 | bits[i] >> 15);
    high[i] = static_cast<uint8_t>(turned >> 8);
    low[i] = static_cast<uint8_t>(turned & 0xff);
  }
  std::memcpy(exponents, high.data(), count);
  std::memcpy(rest, low.data(), count);
}

void Join16(const uint8_t* exponents, const std::byte* rest, std::byte* out, size_t count) {
  std::array<uint16_t, kBatch> bits;
  std::array<uint8_t, kBatch> high;
  std::array<uint8_t, kBatch> low;
  std::memcpy(high.data(), exponents, count);
  std::memcpy(low.data(), rest, count);
  for (size_t i = 0; i < kBatch; ++i) {
    const auto turned = static_cast<uint16_t>(high[i] << 8 | low[i]);
    bits[i] = static_cast<uint16_t>(turned >> 1 | turned << 15);
  }
  std::memcpy(out, bits.data(), count * sizeof(uint16_t));
}

// `low` and `middle` are the planes of the low 16 and the next 8 bits.
void Split32(const std::byte* in, uint8_t* exponents, std::byte* low, std::byte* middle,
             size_t count) {
  std::array<uint32_t, kBatch> bits;
  std::array<uint8_t, kBatch> high;
  std::array<uint8_t, kBatch> next;
  std::array<uint16_t, kBatch> last;
  std::memcpy(bits.data(), in, count * sizeof(uint32_t));
  for (size_t i = 0; i < kBatch; ++i) {
    const uint32_t turned = bits[i] << 1 | bits[i] >> 31;
    high[i] = static_cast<uint8_t>(turned >> 24);
    next[i] = static_cast<uint8_t>(turned >> 16);
    last[i] = static_cast<uint16_t>(turned);
  }
  std::memcpy(exponents, high.data(), count);
  std::memcpy(middle, next.data(), count);
  std::memcpy(low, last.data(), count * sizeof(uint16_t));
}

void Join32(const uint8_t* exponents, const std::byte* low, const std::byte* middle, std::byte* out,
            size_t count) {
  std::array<uint32_t, kBatch> bits;
  std::array<uint8_t, kBatch> high;
  std::array<uint8_t, kBatch> next;
  std::array<uint16_t, kBatch> last;
  std::memcpy(high.data(), exponents, count);
  std::memcpy(next.data(), middle, count);
  std::memcpy(last.data(), low, count * sizeof(uint16_t));
  for (size_t i = 0; i < kBatch; ++i) {
    const uint32_t turned = uint32_t{high[i]} << 24 | uint32_t{next[i]} << 16 | last[i];
    bits[i] = turned >> 1 | turned << 31;
  }
  std::memcpy(out, bits.data(), count * sizeof(uint32_t));
}

// `rest`: the raw planes, one after another.
void Split(ElementType element, std::span<const std::byte> in, uint8_t* exponents,
           std::byte* rest) {
  const size_t elements = in.size() / ElementBytes(element);
  for (size_t at = 0; at < elements; at += kBatch) {
    const size_t count = std::min(kBatch, elements - at);
    if (element == ElementType::kF32) {
      Split32(in.data() + at * 4, exponents + at, rest + at * 2, rest + elements * 2 + at, count);
    } else {
      Split16(in.data() + at * 2, exponents + at, rest + at, count);
    }
  }
}

void Join(ElementType element, const uint8_t* exponents, const std::byte* rest,
          std::span<std::byte> out) {
  const size_t elements = out.size() / ElementBytes(element);
  for (size_t at = 0; at < elements; at += kBatch) {
    const size_t count = std::min(kBatch, elements - at);
    if (element == ElementType::kF32) {
      Join32(exponents + at, rest + at * 2, rest + elements * 2 + at, out.data() + at * 4, count);
    } else {
      Join16(exponents + at, rest + at, out.data() + at * 2, count);
    }
  }
}

// How the bytes of a piece divide.
struct Shares {
  Shares(ElementType element, size_t full)
      : elements(full / ElementBytes(element)),
        tail(full % ElementBytes(element)),
        raw(full - elements) {}

  size_t elements;
  size_t tail;  // bytes that make no whole element
  size_t raw;   // of the raw planes and the tail
};

size_t StoreRaw(std::span<const std::byte> in, std::span<std::byte> out) {
  if (!in.empty()) std::memcpy(out.data(), in.data(), in.size());
  return in.size();
}

absl::Status NotAPiece(absl::string_view why) {
  return absl::DataLossError(
      absl::StrCat("compressed piece: ", why, "; the copy it belongs to is not usable"));
}

}  // namespace

size_t CompressPiece(ElementType element, std::span<const std::byte> in, std::span<std::byte> out) {
  RESIDENCY_CHECK(ElementBytes(element) > 0, "elements of bf16, f16 or f32");
  RESIDENCY_CHECK(in.size() <= kPieceBytes && out.size() >= in.size(), "one piece, and its room");
  const Shares shares(element, in.size());
  if (shares.elements == 0) return StoreRaw(in, out);
  uint8_t* const exponents = ThisThreads().exponents.data();
  Split(element, in, exponents, out.data());
  std::memcpy(out.data() + shares.raw - shares.tail, in.data() + in.size() - shares.tail,
              shares.tail);
  // One byte less than the exponents take, so that what fits is smaller than the piece.
  const size_t coded = ZSTD_compress2(Encoder(), out.data() + shares.raw, shares.elements - 1,
                                      exponents, shares.elements);
  if (ZSTD_isError(coded)) return StoreRaw(in, out);  // no room, so no gain
  return shares.raw + coded;
}

absl::Status DecompressPiece(ElementType element, std::span<const std::byte> in,
                             std::span<std::byte> out) {
  RESIDENCY_CHECK(ElementBytes(element) > 0, "elements of bf16, f16 or f32");
  RESIDENCY_CHECK(out.size() <= kPieceBytes, "one piece");
  if (in.size() == out.size()) {
    StoreRaw(in, out);
    return absl::OkStatus();
  }
  const Shares shares(element, out.size());
  if (in.size() > out.size() || in.size() <= shares.raw) {
    return NotAPiece(absl::StrCat(in.size(), " bytes cannot hold ", out.size()));
  }
  uint8_t* const exponents = ThisThreads().exponents.data();
  const size_t decoded = ZSTD_decompressDCtx(Decoder(), exponents, shares.elements,
                                             in.data() + shares.raw, in.size() - shares.raw);
  if (ZSTD_isError(decoded)) {
    return NotAPiece(absl::StrCat("exponents: ", ZSTD_getErrorName(decoded)));
  }
  if (decoded != shares.elements) {
    return NotAPiece(absl::StrCat("wanted ", shares.elements, " exponents, found ", decoded));
  }
  Join(element, exponents, in.data(), out);
  std::memcpy(out.data() + out.size() - shares.tail, in.data() + shares.raw - shares.tail,
              shares.tail);
  return absl::OkStatus();
}

}  // namespace residency
