// Which seeds the controller's campaigns try.
#pragma once

#include <cstdint>
#include <cstdlib>

namespace residency {

inline uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// To repeat a failure, RESIDENCY_SEED=<the one it printed>; for a longer
// campaign, RESIDENCY_SEEDS=<how many>.
inline uint64_t FirstSeed() { return FromEnvironment("RESIDENCY_SEED", 1); }
inline uint64_t EndSeed(uint64_t usual) {
  return FirstSeed() + FromEnvironment("RESIDENCY_SEEDS", FirstSeed() == 1 ? usual : 1);
}

}  // namespace residency
