#include "movers/synthetic.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/recipe.h"

namespace residency {

static_assert(std::endian::native == std::endian::little, "words are stored little endian");

void FillSynthetic(uint64_t seed, uint64_t at, std::span<std::byte> out) {
  size_t done = 0;
  while (done < out.size()) {
    const uint64_t word = SyntheticWord(seed, (at + done) / 8);
    const size_t skip = (at + done) % 8;
    const size_t take = std::min(8 - skip, out.size() - done);
    std::memcpy(out.data() + done, reinterpret_cast<const std::byte*>(&word) + skip, take);
    done += take;
  }
}

}  // namespace residency
