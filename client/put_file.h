// Bytes in a sealed memory file, to be handed over.
#pragma once

#include <cstddef>
#include <span>

#include "absl/status/statusor.h"
#include "client/unique_fd.h"

namespace residency::inline client::internal {

absl::StatusOr<UniqueFd> MakePutFile(std::span<const std::byte> bytes);

}  // namespace residency::inline client::internal
