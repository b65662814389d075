// The client's decoder behind names of its own: its header and the daemon's name the same things.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace residency::testing {

absl::StatusOr<std::vector<float>> ClientDecodes(bool int4, std::span<const std::byte> content,
                                                 uint64_t element_count);
absl::StatusOr<float> ClientBound(bool int4, std::span<const std::byte> content, uint64_t first,
                                  uint64_t count);
uint64_t ClientContentBytes(bool int4, uint64_t element_count);

}  // namespace residency::testing
