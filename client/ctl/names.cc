#include "client/ctl/names.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "residency/v1/operator.pb.h"

namespace residency::ctl {
namespace {

// The value from `first` to `last` that has this name.
template <typename Enum>
std::optional<Enum> ParseName(std::string_view text, int first, int last,
                              std::string (*name)(Enum)) {
  for (int value = first; value <= last; ++value) {
    const std::string known = name(static_cast<Enum>(value));
    if (absl::EqualsIgnoreCase(absl::string_view(text.data(), text.size()), known)) {
      return static_cast<Enum>(value);
    }
  }
  return std::nullopt;
}

}  // namespace

std::string StateName(v1::ResidencyState state) {
  if (state == v1::RESIDENCY_STATE_UNSPECIFIED) return "-";
  if (!v1::ResidencyState_IsValid(state)) return absl::StrCat("state ", static_cast<int>(state));
  return absl::StrCat("S", static_cast<int>(state) - v1::RESIDENCY_STATE_S0_FULL_HBM);
}

std::string StateDescription(v1::ResidencyState state) {
  switch (state) {
    case v1::RESIDENCY_STATE_S0_FULL_HBM:
      return "full precision in HBM";
    case v1::RESIDENCY_STATE_S1_LOWBIT_HBM:
      return "low-bit in HBM";
    case v1::RESIDENCY_STATE_S2_COMPRESSED_HBM:
      return "compressed in HBM";
    case v1::RESIDENCY_STATE_S3_DRAM:
      return "staged in host DRAM";
    case v1::RESIDENCY_STATE_S4_NVME:
      return "staged on NVMe";
    case v1::RESIDENCY_STATE_S5_IN_FLIGHT:
      return "in flight";
    case v1::RESIDENCY_STATE_S6_RECOMPUTABLE:
      return "recomputable";
    default:
      return "unknown";
  }
}

std::string TierName(v1::Tier tier) {
  switch (tier) {
    case v1::TIER_UNSPECIFIED:
      return "-";
    case v1::TIER_HBM:
      return "HBM";
    case v1::TIER_DRAM:
      return "DRAM";
    case v1::TIER_NVME:
      return "NVMe";
    default:
      return absl::StrCat("tier ", static_cast<int>(tier));
  }
}

std::string EncodingName(v1::Encoding encoding) {
  switch (encoding) {
    case v1::ENCODING_UNSPECIFIED:
      return "-";
    case v1::ENCODING_FULL:
      return "full";
    case v1::ENCODING_LOWBIT:
      return "lowbit";
    case v1::ENCODING_COMPRESSED:
      return "compressed";
    default:
      return absl::StrCat("encoding ", static_cast<int>(encoding));
  }
}

std::string RoleName(v1::Role role) {
  switch (role) {
    case v1::ROLE_UNSPECIFIED:
      return "-";
    case v1::ROLE_EXPERT:
      return "expert";
    case v1::ROLE_ATTENTION:
      return "attention";
    case v1::ROLE_ROUTER:
      return "router";
    case v1::ROLE_NORM:
      return "norm";
    case v1::ROLE_EMBEDDING:
      return "embedding";
    case v1::ROLE_DENSE_MLP:
      return "dense_mlp";
    case v1::ROLE_ADAPTER:
      return "adapter";
    case v1::ROLE_OTHER:
      return "other";
    default:
      return absl::StrCat("role ", static_cast<int>(role));
  }
}

std::string ElementTypeName(v1::ElementType element) {
  switch (element) {
    case v1::ELEMENT_TYPE_UNSPECIFIED:
      return "-";
    case v1::ELEMENT_TYPE_OTHER:
      return "other";
    case v1::ELEMENT_TYPE_BF16:
      return "bf16";
    case v1::ELEMENT_TYPE_F16:
      return "f16";
    case v1::ELEMENT_TYPE_F32:
      return "f32";
    case v1::ELEMENT_TYPE_QUANTIZED8:
      return "quantized8";
    case v1::ELEMENT_TYPE_QUANTIZED_SUB8:
      return "quantized_sub8";
    default:
      return absl::StrCat("element type ", static_cast<int>(element));
  }
}

std::string PolicySourceName(int source) {
  switch (source) {
    case v1::POLICY_SOURCE_UNSPECIFIED:
      return "-";
    case v1::POLICY_SOURCE_DEFAULT:
      return "default";
    case v1::POLICY_SOURCE_FILE:
      return "file";
    case v1::POLICY_SOURCE_OPERATOR:
      return "operator";
    default:
      return absl::StrCat("source ", source);
  }
}

std::string EdgeName(v1::ResidencyState from, v1::ResidencyState to) {
  const bool has_from = from != v1::RESIDENCY_STATE_UNSPECIFIED;
  const bool has_to = to != v1::RESIDENCY_STATE_UNSPECIFIED;
  if (has_from && has_to && from != to) {
    return absl::StrCat(StateName(from), " -> ", StateName(to));
  }
  return StateName(has_to ? to : from);
}

std::optional<v1::ResidencyState> ParseState(std::string_view text) {
  if (text.size() != 2 || (text[0] != 'S' && text[0] != 's')) return std::nullopt;
  if (text[1] < '0' || text[1] > '6') return std::nullopt;
  return static_cast<v1::ResidencyState>(v1::RESIDENCY_STATE_S0_FULL_HBM + (text[1] - '0'));
}

std::optional<v1::Role> ParseRole(std::string_view text) {
  return ParseName<v1::Role>(text, v1::ROLE_EXPERT, v1::Role_MAX, RoleName);
}

std::optional<v1::Tier> ParseTier(std::string_view text) {
  return ParseName<v1::Tier>(text, v1::TIER_HBM, v1::Tier_MAX, TierName);
}

std::optional<v1::ElementType> ParseElementType(std::string_view text) {
  return ParseName<v1::ElementType>(text, v1::ELEMENT_TYPE_OTHER, v1::ElementType_MAX,
                                    ElementTypeName);
}

}  // namespace residency::ctl
