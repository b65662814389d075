#include "daemon/convert.h"

#include <type_traits>
#include <variant>

#include "absl/strings/str_cat.h"
#include "core/strings.h"

namespace residency {
namespace {

// Our enumerators count from 0, in the order of the protocol's, which count from 1.
template <class Proto, class Enum>
constexpr Proto Shifted(Enum value) {
  return static_cast<Proto>(static_cast<int>(value) + 1);
}
static_assert(Shifted<v1::ResidencyState>(ResidencyState::kS0FullHbm) ==
              v1::RESIDENCY_STATE_S0_FULL_HBM);
static_assert(Shifted<v1::ResidencyState>(ResidencyState::kS6Recomputable) ==
              v1::RESIDENCY_STATE_S6_RECOMPUTABLE);
static_assert(Shifted<v1::Tier>(Tier::kHbm) == v1::TIER_HBM);
static_assert(Shifted<v1::Tier>(Tier::kNvme) == v1::TIER_NVME);
static_assert(Shifted<v1::Encoding>(Encoding::kFull) == v1::ENCODING_FULL);
static_assert(Shifted<v1::Encoding>(Encoding::kCompressed) == v1::ENCODING_COMPRESSED);
static_assert(Shifted<v1::Role>(Role::kExpert) == v1::ROLE_EXPERT);
static_assert(Shifted<v1::Role>(Role::kOther) == v1::ROLE_OTHER);
static_assert(Shifted<v1::ElementType>(ElementType::kOther) == v1::ELEMENT_TYPE_OTHER);
static_assert(Shifted<v1::ElementType>(ElementType::kQuantizedSub8) ==
              v1::ELEMENT_TYPE_QUANTIZED_SUB8);
static_assert(Shifted<v1::LowbitFormat>(LowbitFormat::kInt8) == v1::LOWBIT_FORMAT_INT8_G32);
static_assert(Shifted<v1::LowbitFormat>(LowbitFormat::kInt4) == v1::LOWBIT_FORMAT_INT4_G32);
static_assert(Shifted<v1::LeaseMode>(LeaseMode::kRecallable) == v1::LEASE_MODE_RECALLABLE);
static_assert(Shifted<v1::LeaseMode>(LeaseMode::kStreaming) == v1::LEASE_MODE_STREAMING);
static_assert(Shifted<v1::Phase>(Phase::kPrefill) == v1::PHASE_PREFILL);
static_assert(Shifted<v1::Phase>(Phase::kDecode) == v1::PHASE_DECODE);

template <class Enum>
absl::StatusOr<Enum> FromShifted(int value, int last, std::string_view field, const char* what) {
  if (value >= 1 && value <= last) return static_cast<Enum>(value - 1);
  return absl::InvalidArgumentError(absl::StrCat(ToAbsl(field), ": must be a ", what,
                                                 " that this daemon knows (1 to ", last, "), is ",
                                                 value));
}

template <class Ids, class Field>
void AddIds(const Ids& ids, Field* field) {
  field->Reserve(static_cast<int>(ids.size()));
  for (const auto id : ids) field->Add(id.value());
}

}  // namespace

v1::ResidencyState ToProto(ResidencyState state) { return Shifted<v1::ResidencyState>(state); }
v1::Tier ToProto(Tier tier) { return Shifted<v1::Tier>(tier); }
v1::Encoding ToProto(Encoding encoding) { return Shifted<v1::Encoding>(encoding); }
v1::Role ToProto(Role role) { return Shifted<v1::Role>(role); }
v1::ElementType ToProto(ElementType element) { return Shifted<v1::ElementType>(element); }
v1::LowbitFormat ToProto(LowbitFormat format) { return Shifted<v1::LowbitFormat>(format); }
v1::LeaseMode ToProto(LeaseMode mode) { return Shifted<v1::LeaseMode>(mode); }

v1::Hint ToProto(const Hint& hint) {
  v1::Hint proto;
  std::visit(
      [&proto](const auto& h) {
        using Kind = std::decay_t<decltype(h)>;
        if constexpr (std::is_same_v<Kind, PromotedHint>) {
          proto.mutable_promoted()->set_block_id(h.block.value());
          proto.mutable_promoted()->set_state(ToProto(h.state));
        } else if constexpr (std::is_same_v<Kind, ArrivingHint>) {
          proto.mutable_arriving()->set_block_id(h.block.value());
          proto.mutable_arriving()->set_eta_us(h.eta.count() > 0 ? h.eta.count() : 0);
        } else if constexpr (std::is_same_v<Kind, RecallHint>) {
          AddIds(h.leases, proto.mutable_recall()->mutable_lease_ids());
        } else if constexpr (std::is_same_v<Kind, RevokedHint>) {
          AddIds(h.leases, proto.mutable_revoked()->mutable_lease_ids());
          proto.mutable_revoked()->set_reason(h.reason);
        } else {
          proto.mutable_serve_lowbit()->set_block_id(h.block.value());
        }
      },
      hint);
  return proto;
}

v1::Lease ToProto(const GrantedLease& lease) {
  v1::Lease proto;
  proto.set_lease_id(lease.lease.value());
  proto.set_block_id(lease.block.value());
  proto.set_pool_id(lease.place.pool.value());
  proto.set_offset(lease.place.extent.offset);
  proto.set_length(lease.bytes.count());
  AddIds(lease.place.regions, proto.mutable_regions());
  proto.set_encoding(ToProto(lease.encoding));
  proto.set_generation(lease.generation.value());
  proto.set_checksum(lease.checksum);
  proto.set_mode(ToProto(lease.mode));
  proto.set_served_from(ToProto(lease.served_from));
  proto.set_stall_us(lease.stall.count() > 0 ? lease.stall.count() : 0);
  proto.set_layout(lease.layout);
  proto.set_element_type(ToProto(lease.element));
  proto.set_full_bytes(lease.full_bytes.count());
  if (lease.encoding == Encoding::kLowbit) {
    proto.set_lowbit_format(ToProto(lease.lowbit));
    proto.set_lowbit_error(lease.lowbit_error);
  }
  return proto;
}

v1::Pool ToProto(const PoolSnapshot& pool) {
  v1::Pool proto;
  proto.set_pool_id(pool.id.value());
  proto.set_tier(ToProto(pool.tier));
  proto.set_name(pool.name);
  proto.set_capacity_bytes(pool.capacity.count());
  proto.set_segment_bytes(pool.segment_bytes.count());
  proto.set_backend(pool.backend);
  proto.set_used_bytes(pool.used.count());
  proto.set_reserved_bytes(pool.reserved.count());
  proto.set_leased_bytes(pool.leased.count());
  proto.set_pressure_ratio(pool.pressure);
  proto.set_fragmentation_ratio(pool.fragmentation);
  proto.set_demand_reserve_bytes(pool.demand_reserve.count());
  return proto;
}

absl::StatusOr<ResidencyState> StateFromProto(int state, std::string_view field) {
  return FromShifted<ResidencyState>(state, v1::ResidencyState_MAX, field, "state");
}

absl::StatusOr<Role> RoleFromProto(int role, std::string_view field) {
  if (role == v1::ROLE_UNSPECIFIED) return Role::kOther;
  return FromShifted<Role>(role, v1::Role_MAX, field, "role");
}

absl::StatusOr<ElementType> ElementFromProto(int element, std::string_view field) {
  if (element == v1::ELEMENT_TYPE_UNSPECIFIED) return ElementType::kOther;
  return FromShifted<ElementType>(element, v1::ElementType_MAX, field, "element type");
}

absl::StatusOr<LeaseMode> LeaseModeFromProto(int mode, std::string_view field) {
  if (mode == v1::LEASE_MODE_UNSPECIFIED) return LeaseMode::kRecallable;
  return FromShifted<LeaseMode>(mode, v1::LeaseMode_MAX, field, "lease mode");
}

absl::StatusOr<Phase> PhaseFromProto(int phase, std::string_view field) {
  return FromShifted<Phase>(phase, v1::Phase_MAX, field, "phase");
}

absl::StatusOr<AcceptMask> AcceptsFromProto(const google::protobuf::RepeatedField<int>& accepts,
                                            std::string_view field) {
  if (accepts.empty()) return AcceptMask{};
  AcceptMask mask{.hbm_full = false, .hbm_lowbit = false, .host_full = false};
  for (const int accept : accepts) {
    switch (accept) {
      case v1::ACCEPTANCE_HBM_FULL:
        mask.hbm_full = true;
        break;
      case v1::ACCEPTANCE_HBM_LOWBIT:
        mask.hbm_lowbit = true;
        break;
      case v1::ACCEPTANCE_HOST_FULL:
        mask.host_full = true;
        break;
      default:
        return absl::InvalidArgumentError(
            absl::StrCat(ToAbsl(field), ": must be acceptances that this daemon knows (1 to ",
                         static_cast<int>(v1::Acceptance_MAX), "), has ", accept));
    }
  }
  if (mask.hbm_full || mask.host_full) return mask;
  return absl::InvalidArgumentError(absl::StrCat(
      ToAbsl(field), ": must contain HBM_FULL or HOST_FULL; low-bit alone is served to nobody"));
}

}  // namespace residency
