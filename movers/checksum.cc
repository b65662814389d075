#include "movers/checksum.h"

#define XXH_INLINE_ALL  // so that the state may be a member, and for the widest vectors allowed
#include <xxhash.h>

namespace residency {

struct Checksum::State {
  XXH3_state_t xxh3;  // 64-byte aligned by its type
};

Checksum::Checksum() : state_(std::make_unique<State>()) { XXH3_64bits_reset(&state_->xxh3); }
Checksum::~Checksum() = default;

void Checksum::Add(std::span<const std::byte> bytes) {
  XXH3_64bits_update(&state_->xxh3, bytes.data(), bytes.size());
}

uint64_t Checksum::value() const { return XXH3_64bits_digest(&state_->xxh3); }

uint64_t ChecksumOf(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

}  // namespace residency
