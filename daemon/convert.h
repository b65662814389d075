// The daemon's own types as protocol messages and back. Every enumeration has one table.
//
// Reading a message of an untrusted peer never trusts its numbers: an enumerator that this daemon
// doesn't know is an InvalidArgument, with the field's name in front.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "core/block.h"
#include "core/hint.h"
#include "core/lease.h"
#include "core/residency_state.h"
#include "core/tier.h"
#include "daemon/node_snapshot.h"
#include "policy/events.h"
#include "policy/signals.h"
#include "residency/v1/types.pb.h"

namespace residency {

v1::ResidencyState ToProto(ResidencyState state);
v1::Tier ToProto(Tier tier);
v1::Encoding ToProto(Encoding encoding);
v1::Role ToProto(Role role);
v1::ElementType ToProto(ElementType element);
v1::LowbitFormat ToProto(LowbitFormat format);
v1::LeaseMode ToProto(LeaseMode mode);
v1::Hint ToProto(const Hint& hint);
v1::Lease ToProto(const GrantedLease& lease);
v1::Pool ToProto(const PoolSnapshot& pool);

// UNSPECIFIED is an error here: the caller handles it where the protocol gives it a meaning.
absl::StatusOr<ResidencyState> StateFromProto(int state, std::string_view field);
// UNSPECIFIED: other.
absl::StatusOr<Role> RoleFromProto(int role, std::string_view field);
absl::StatusOr<ElementType> ElementFromProto(int element, std::string_view field);
// UNSPECIFIED: recallable.
absl::StatusOr<LeaseMode> LeaseModeFromProto(int mode, std::string_view field);
absl::StatusOr<Phase> PhaseFromProto(int phase, std::string_view field);
// None: HBM_FULL. InvalidArgument unless HBM_FULL or HOST_FULL is among them: low-bit alone is
// served to nobody.
absl::StatusOr<AcceptMask> AcceptsFromProto(const google::protobuf::RepeatedField<int>& accepts,
                                            std::string_view field);

}  // namespace residency
