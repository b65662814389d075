#include "tests/bench/ggml_reference.h"

#include <algorithm>
#include <cmath>

#include "movers/float_bits.h"

namespace residency::bench {
namespace {

constexpr size_t kBlock = 32;

float InHalf(float scale) { return HalfToFloat(FloatToHalf(scale)); }

}  // namespace

void RoundTripQ8_0(std::span<const float> weights, std::span<float> out) {
  for (size_t at = 0; at < weights.size(); at += kBlock) {
    const auto block = weights.subspan(at, kBlock);
    float greatest = 0;
    for (const float x : block) greatest = std::max(greatest, std::abs(x));
    const float scale = greatest / 127;
    const float inverse = scale != 0 ? 1 / scale : 0;
    for (size_t i = 0; i < kBlock; ++i)
      out[at + i] = std::round(block[i] * inverse) * InHalf(scale);
  }
}

void RoundTripQ4_0(std::span<const float> weights, std::span<float> out) {
  for (size_t at = 0; at < weights.size(); at += kBlock) {
    const auto block = weights.subspan(at, kBlock);
    float greatest = 0;  // with its sign
    for (const float x : block) greatest = std::abs(x) > std::abs(greatest) ? x : greatest;
    const float scale = greatest / -8;
    const float inverse = scale != 0 ? 1 / scale : 0;
    for (size_t i = 0; i < kBlock; ++i) {
      const int level = std::min(15, static_cast<int>(block[i] * inverse + 8.5f));
      out[at + i] = static_cast<float>(level - 8) * InHalf(scale);
    }
  }
}

}  // namespace residency::bench
