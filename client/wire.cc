#include "client/wire.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace residency::inline client {

const char* Name(ResidencyState state) {
  constexpr const char* kNames[] = {"unknown", "S0", "S1", "S2", "S3", "S4", "S5", "S6"};
  return kNames[static_cast<size_t>(state)];
}

const char* Name(Encoding encoding) {
  constexpr const char* kNames[] = {"unknown", "full", "lowbit", "compressed"};
  return kNames[static_cast<size_t>(encoding)];
}

const char* Name(Role role) {
  constexpr const char* kNames[] = {"unspecified", "expert",    "attention", "router", "norm",
                                    "embedding",   "dense_mlp", "adapter",   "other"};
  return kNames[static_cast<size_t>(role)];
}

const char* Name(ElementType element) {
  constexpr const char* kNames[] = {"unspecified", "other",      "bf16",          "f16",
                                    "f32",         "quantized8", "quantized_sub8"};
  return kNames[static_cast<size_t>(element)];
}

namespace internal {

// The enums list the wire's values in the wire's order, so that a cast is the mapping.
static_assert(static_cast<int>(ResidencyState::kRecomputable) ==
              v1::RESIDENCY_STATE_S6_RECOMPUTABLE);
static_assert(static_cast<int>(Encoding::kCompressed) == v1::ENCODING_COMPRESSED);
static_assert(static_cast<int>(Tier::kNvme) == v1::TIER_NVME);
static_assert(static_cast<int>(Role::kOther) == v1::ROLE_OTHER);
static_assert(static_cast<int>(ElementType::kQuantizedSub8) == v1::ELEMENT_TYPE_QUANTIZED_SUB8);
static_assert(static_cast<int>(Phase::kDecode) == v1::PHASE_DECODE);

v1::Role ToWire(Role role) { return static_cast<v1::Role>(role); }
v1::ElementType ToWire(ElementType element) { return static_cast<v1::ElementType>(element); }
v1::Phase ToWire(Phase phase) { return static_cast<v1::Phase>(phase); }

v1::LeaseMode ToWire(LeaseMode mode) {
  switch (mode) {
    case LeaseMode::kPinned:
      return v1::LEASE_MODE_PINNED;
    case LeaseMode::kStreaming:
      return v1::LEASE_MODE_STREAMING;
    case LeaseMode::kRecallable:
      break;
  }
  return v1::LEASE_MODE_RECALLABLE;
}

v1::Durability ToWire(Durability durability) {
  return durability == Durability::kDurable ? v1::DURABILITY_DURABLE : v1::DURABILITY_VOLATILE;
}

void AppendAccepts(Accepts accepts, google::protobuf::RepeatedField<int>* out) {
  if (Includes(accepts, Accepts::kHbmFull)) out->Add(v1::ACCEPTANCE_HBM_FULL);
  if (Includes(accepts, Accepts::kHbmLowbit)) out->Add(v1::ACCEPTANCE_HBM_LOWBIT);
  if (Includes(accepts, Accepts::kHostFull)) out->Add(v1::ACCEPTANCE_HOST_FULL);
}

ResidencyState FromWire(v1::ResidencyState state) {
  return v1::ResidencyState_IsValid(state) ? static_cast<ResidencyState>(state)
                                           : ResidencyState::kUnspecified;
}

Encoding FromWire(v1::Encoding encoding) {
  return v1::Encoding_IsValid(encoding) ? static_cast<Encoding>(encoding) : Encoding::kUnspecified;
}

Tier FromWire(v1::Tier tier) {
  return v1::Tier_IsValid(tier) ? static_cast<Tier>(tier) : Tier::kUnspecified;
}

LeaseMode FromWire(v1::LeaseMode mode) {
  if (mode == v1::LEASE_MODE_PINNED) return LeaseMode::kPinned;
  if (mode == v1::LEASE_MODE_STREAMING) return LeaseMode::kStreaming;
  return LeaseMode::kRecallable;
}

ElementType FromWire(v1::ElementType element) {
  return v1::ElementType_IsValid(element) ? static_cast<ElementType>(element)
                                          : ElementType::kUnspecified;
}

std::optional<LowbitFormat> FromWire(v1::LowbitFormat format) {
  if (format == v1::LOWBIT_FORMAT_INT8_G32) return LowbitFormat::kInt8;
  if (format == v1::LOWBIT_FORMAT_INT4_G32) return LowbitFormat::kInt4;
  return std::nullopt;
}

Accepts AcceptanceOf(Tier tier, Encoding encoding) {
  if (tier == Tier::kHbm && encoding == Encoding::kFull) return Accepts::kHbmFull;
  if (tier == Tier::kHbm && encoding == Encoding::kLowbit) return Accepts::kHbmLowbit;
  if (tier == Tier::kDram && encoding == Encoding::kFull) return Accepts::kHostFull;
  return Accepts::kNone;
}

absl::Status StatusFromCode(int code, std::string_view what, std::string_view message) {
  if (code == 0) return absl::OkStatus();
  auto known =
      code >= 1 && code <= 16 ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown;
  return absl::Status(known, absl::StrCat(ToAbsl(what), ": ", ToAbsl(message)));
}

absl::Status StatusFromGrpc(const grpc::Status& status, std::string_view what) {
  return StatusFromCode(status.error_code(), what, status.error_message());
}

bool IsTransient(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kResourceExhausted:
      return true;
    default:
      return false;
  }
}

}  // namespace internal
}  // namespace residency::inline client
