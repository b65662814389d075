// ggml's formats Q8_0 and Q4_0, from their definitions: 32 weights and a scale in f16, which makes
// 8.5 and 4.5 bits per weight, as many as int8_g32 and int4_g32 take. What they make of weights is
// the reference for our own error.
#pragma once

#include <span>

namespace residency::bench {

// Writes what `weights` decode to. REQUIRES: as many as out.size(), a multiple of 32.
void RoundTripQ8_0(std::span<const float> weights, std::span<float> out);
void RoundTripQ4_0(std::span<const float> weights, std::span<float> out);

}  // namespace residency::bench
