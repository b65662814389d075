#include "client/demo/lowbit_check.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace residency::demo {
namespace {

// Besides the format's bound: the rounding of the comparison itself.
constexpr float kRounding = 1e-6f;

float FromBf16(const char* at) {
  uint16_t bits = 0;
  std::memcpy(&bits, at, sizeof bits);
  const uint32_t wide = uint32_t{bits} << 16;
  float value = 0;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

float FromF16(const char* at) {
  uint16_t bits = 0;
  std::memcpy(&bits, at, sizeof bits);
  const int exponent = (bits >> 10) & 31;
  const float fraction = static_cast<float>(bits & 1023);
  const float sign = (bits & 0x8000) != 0 ? -1.0f : 1.0f;
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  if (exponent == 31) return sign * std::numeric_limits<float>::infinity();
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

float FromF32(const char* at) {
  float value = 0;
  std::memcpy(&value, at, sizeof value);
  return value;
}

}  // namespace

std::vector<float> LowbitCheck::Original(const Block& block) {
  const uint64_t size = ElementBytes(block.element);
  std::ifstream& file = files_.try_emplace(block.file, block.file, std::ios::binary).first->second;
  std::vector<char> bytes(block.bytes);
  file.clear();
  file.seekg(static_cast<std::streamoff>(block.offset));
  if (size == 0 || !file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()))) return {};
  std::vector<float> values(bytes.size() / size);
  for (size_t i = 0; i < values.size(); ++i) {
    const char* const at = bytes.data() + i * size;
    values[i] = block.element == ElementType::kBf16  ? FromBf16(at)
                : block.element == ElementType::kF16 ? FromF16(at)
                                                     : FromF32(at);
  }
  return values;
}

uint64_t LowbitCheck::WrongBytes(const Lease& lease) {
  const Block& block = model_.block(lease.block());
  const std::vector<float> original = Original(block);
  const auto decoded = lease.DecodeLowbit();
  if (original.empty() || !decoded.ok() || decoded->size() != original.size()) return block.bytes;
  uint64_t wrong = 0;
  for (uint64_t first = 0; first < original.size(); first += kLowbitGroupElements) {
    const uint64_t count = std::min(kLowbitGroupElements, original.size() - first);
    const auto bound = LowbitErrorBound(*lease.lowbit_format(), lease.bytes(), first, count);
    for (uint64_t i = first; i < first + count; ++i) {
      const float error = std::fabs(original[i] - (*decoded)[i]);
      const bool near = bound.ok() && error <= *bound * (1 + kRounding) + kRounding * 1e-30f;
      if (!near) wrong += ElementBytes(block.element);
    }
  }
  return wrong;
}

}  // namespace residency::demo
