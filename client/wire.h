// Between the library's vocabulary and the wire's.
#pragma once

#include <grpcpp/support/status.h>

#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "residency/lowbit.h"
#include "residency/types.h"
#include "residency/v1/engine.pb.h"

namespace residency::inline client::internal {

inline absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }

v1::Role ToWire(Role role);
v1::ElementType ToWire(ElementType element);
v1::LeaseMode ToWire(LeaseMode mode);
v1::Phase ToWire(Phase phase);
v1::Durability ToWire(Durability durability);
void AppendAccepts(Accepts accepts, google::protobuf::RepeatedField<int>* out);

// Values that this library does not know become kUnspecified.
ResidencyState FromWire(v1::ResidencyState state);
Encoding FromWire(v1::Encoding encoding);
Tier FromWire(v1::Tier tier);
LeaseMode FromWire(v1::LeaseMode mode);
ElementType FromWire(v1::ElementType element);
std::optional<LowbitFormat> FromWire(v1::LowbitFormat format);

// The acceptance that a copy satisfies; kNone for a copy that no engine can use.
Accepts AcceptanceOf(Tier tier, Encoding encoding);

// OK for code 0. Messages begin with `what`.
absl::Status StatusFromCode(int code, std::string_view what, std::string_view message);
absl::Status StatusFromGrpc(const grpc::Status& status, std::string_view what);

// Whether trying to connect again may mend it.
bool IsTransient(const absl::Status& status);

}  // namespace residency::inline client::internal
