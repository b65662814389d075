// How to obtain a block's bytes again when no copy is held.
#pragma once

#include <cstdint>

#include "core/ids.h"

namespace residency {

enum class RecipeKind : uint8_t {
  kNone,       // the bytes were put by an engine; lost when the last copy is
  kFileRange,  // bytes [offset, offset + block bytes) of a file of known identity
  kSynthetic,  // SyntheticWord(seed, 0), SyntheticWord(seed, 1), ... little endian
};

struct Recipe {
  RecipeKind kind = RecipeKind::kNone;
  FileId file;          // kFileRange
  uint64_t offset = 0;  // kFileRange, bytes; any alignment
  uint64_t seed = 0;    // kSynthetic

  bool runnable() const { return kind != RecipeKind::kNone; }
  friend bool operator==(const Recipe&, const Recipe&) = default;
};

// The `index`-th 8-byte word of a synthetic block (splitmix64 over seed and index). A block whose
// size is no multiple of 8 ends with the low bytes of its last word.
constexpr uint64_t SyntheticWord(uint64_t seed, uint64_t index) {
  uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

}  // namespace residency
