#include "tests/bench/sample_weights.h"

#include <bit>
#include <cstring>
#include <random>

#include "movers/float_bits.h"

namespace residency::bench {
namespace {

uint16_t ToBf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace

std::vector<float> SampleWeights(Distribution distribution, size_t count, uint64_t seed) {
  constexpr float kSize = 0.02f;
  std::mt19937_64 random(seed);
  std::normal_distribution<float> gaussian;
  std::exponential_distribution<float> exponential;
  std::student_t_distribution<float> student(3);
  std::vector<float> weights(count);
  for (float& weight : weights) {
    switch (distribution) {
      case Distribution::kGaussian:
        weight = kSize * gaussian(random);
        break;
      case Distribution::kLaplace:
        weight = kSize * exponential(random) * ((random() & 1) != 0 ? 1.0f : -1.0f);
        break;
      case Distribution::kStudentT:
        weight = kSize * student(random);
        break;
    }
  }
  return weights;
}

std::vector<std::byte> ToBytes(ElementType element, const std::vector<float>& weights) {
  const size_t element_bytes = ElementBytes(element);
  std::vector<std::byte> bytes(weights.size() * element_bytes);
  for (size_t i = 0; i < weights.size(); ++i) {
    if (element == ElementType::kF32) {
      std::memcpy(bytes.data() + i * element_bytes, &weights[i], element_bytes);
      continue;
    }
    const uint16_t bits =
        element == ElementType::kBf16 ? ToBf16(weights[i]) : FloatToHalf(weights[i]);
    std::memcpy(bytes.data() + i * element_bytes, &bits, element_bytes);
  }
  return bytes;
}

}  // namespace residency::bench
