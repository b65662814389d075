// Making a model known to a daemon: files offered, model attached, blocks registered.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/connection.h"
#include "client/model_state.h"

namespace residency::inline client::internal {

// Returns the blocks' wire ids, in order, and sets the model's. Idempotent, so it also serves to
// introduce an attached model to a new daemon. `call` bounds each call.
absl::StatusOr<std::vector<uint32_t>> AttachTo(Connection& connection, ModelState& model,
                                               const BlockRegistry& registry, absl::Duration call);

}  // namespace residency::inline client::internal
