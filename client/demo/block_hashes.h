// What the bytes of every block must be, as the engine itself reads them from the checkpoint file.
#pragma once

#include <cstdint>
#include <functional>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "residency/client.h"

namespace residency::demo {

using BlockHashes = std::unordered_map<uint32_t, uint64_t>;  // block id -> XXH3-64

// Reads each block's range of its file. `progress` gets the bytes read so far.
absl::StatusOr<BlockHashes> HashBlocks(const Model& model,
                                       const std::function<void(uint64_t)>& progress);

}  // namespace residency::demo
