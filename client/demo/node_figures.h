// What the daemon says of itself after a replay, beside what the engine saw.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "client/demo/replay.h"
#include "residency/v1/operator.pb.h"

namespace residency::demo {

absl::StatusOr<v1::GetStatusResponse> FetchStatus(const std::string& operator_socket);

// The closing table. `before` is the daemon's status when the replay began.
std::string RenderFigures(const ReplayFigures& replay, const ClientStats& client,
                          const v1::GetStatusResponse& before, const v1::GetStatusResponse& after,
                          std::chrono::microseconds compute_per_layer);

}  // namespace residency::demo
