// The bytes of a synthetic block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace residency {

// Writes bytes [at, at + out.size()) of the block that `seed` describes. Any alignment.
void FillSynthetic(uint64_t seed, uint64_t at, std::span<std::byte> out);

}  // namespace residency
