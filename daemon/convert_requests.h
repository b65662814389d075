// What engines ask, as events of the controller. Everything that can be said wrongly is checked
// here, where nothing waits: InvalidArgument names the field, what was found and what is allowed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "core/clock.h"
#include "core/ids.h"
#include "daemon/config.h"
#include "policy/events.h"
#include "residency/v1/engine.pb.h"

namespace residency {

// Names, fingerprints and layouts, in bytes.
inline constexpr size_t kTextBytesMax = 255;
// What a session may declare; far above any pool, and far below where sums overflow.
inline constexpr uint64_t kDeclaredBytesMax = uint64_t{1} << 60;
// Block ids, experts or request ids of one report.
inline constexpr int kReportValuesMax = 65'536;
// Leases that one release or the opening of a stream may name.
inline constexpr int kLeaseIdsMax = 1 << 20;

// The file of a handle, for the session that asks.
using FindFile = std::function<absl::StatusOr<FileId>(uint32_t handle)>;

absl::StatusOr<ModelAttach> Decode(const v1::AttachModelRequest& request, SessionId session);
absl::StatusOr<ModelDetach> Decode(const v1::DetachModelRequest& request, SessionId session);
absl::StatusOr<BlocksRegister> Decode(const v1::RegisterBlocksRequest& request, SessionId session,
                                      const LimitsConfig& limits, const FindFile& find_file);
absl::StatusOr<BlockPut> Decode(const v1::PutBlockRequest& request, SessionId session,
                                const FindFile& find_file);
// The deadline counts from `now` and is cut to the daemon's bound; 0 means now or never.
absl::StatusOr<AcquireBatch> Decode(const v1::AcquireBatch& batch, SessionId session,
                                    const LimitsConfig& limits, TimePoint now);
absl::StatusOr<LeasesReleased> Decode(const v1::ReleaseRequest& request, SessionId session);
absl::StatusOr<SessionResumed> Decode(const v1::OpenStream& open, SessionId session);
absl::StatusOr<AccessReported> Decode(const v1::AccessReport& report, SessionId session);
absl::StatusOr<RoutingReported> Decode(const v1::RoutingReport& report, SessionId session);
absl::StatusOr<StepMarked> Decode(const v1::StepMarker& marker, SessionId session);

}  // namespace residency
