// The node's snapshot as operators see it.
#pragma once

#include <cstdint>
#include <vector>

#include "core/clock.h"
#include "daemon/node_snapshot.h"
#include "daemon/session_registry.h"
#include "residency/v1/operator.pb.h"

namespace residency {

v1::LinkStatus ToProto(const LinkSnapshot& link);
v1::Counters CountersOf(const NodeSnapshot& snapshot, uint64_t reports_dropped);
v1::ModelInfo ToProto(const ModelSnapshot& model);

// Adds the seven states, empty ones too.
void AddStates(const std::array<StateTotal, kStateCount>& totals,
               google::protobuf::RepeatedPtrField<v1::StateCount>& states);

// What the registry knows, with what the controller knows of the same session where it does.
std::vector<v1::SessionInfo> DescribeSessions(const std::vector<SessionInfo>& registered,
                                              const NodeSnapshot* snapshot,
                                              std::chrono::system_clock::time_point now);

// Everything but version, instance, policy and the figures of the clock. `snapshot` may be null
// before the first tick. The node is healthy if there is no problem to report.
v1::GetStatusResponse DescribeStatus(const NodeSnapshot* snapshot,
                                     const std::vector<SessionInfo>& sessions,
                                     uint64_t reports_dropped, TimePoint now);

// A controller that has not ticked for this long is taken to be stuck.
inline constexpr Micros kTickAgeMax{2'000'000};
// A pool as full as this is worth a note.
inline constexpr double kNearlyFull = 0.95;

}  // namespace residency
