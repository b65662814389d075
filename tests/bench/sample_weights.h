// Random weights, the same for the same seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/element.h"

namespace residency::bench {

enum class Distribution : uint8_t { kGaussian, kLaplace, kStudentT };  // t of 3 degrees

constexpr const char* Name(Distribution distribution) {
  constexpr const char* kNames[] = {"Gaussian", "Laplace", "Student t, 3"};
  return kNames[static_cast<int>(distribution)];
}

// About 0.02 in size, as weights are.
std::vector<float> SampleWeights(Distribution distribution, size_t count, uint64_t seed);

// REQUIRES: element is bf16, f16 or f32. Rounds to nearest.
std::vector<std::byte> ToBytes(ElementType element, const std::vector<float>& weights);

}  // namespace residency::bench
