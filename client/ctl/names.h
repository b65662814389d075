// The wire's enums under the names that operators use: "S0", "HBM", "expert".
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "residency/v1/types.pb.h"

namespace residency::ctl {

// Values this program does not know yet (a newer daemon) appear by number, as "state 9".
std::string StateName(v1::ResidencyState state);         // "S0"
std::string StateDescription(v1::ResidencyState state);  // "full precision in HBM"
std::string TierName(v1::Tier tier);
std::string EncodingName(v1::Encoding encoding);
std::string RoleName(v1::Role role);
std::string ElementTypeName(v1::ElementType element);
std::string PolicySourceName(int source);

// "S0 -> S3"; just "S3" when nothing changes; "-" when neither is set.
std::string EdgeName(v1::ResidencyState from, v1::ResidencyState to);

// Reads "S0".."S6", in either case.
std::optional<v1::ResidencyState> ParseState(std::string_view text);
// Read back what the names above are, in either case.
std::optional<v1::Role> ParseRole(std::string_view text);
std::optional<v1::Tier> ParseTier(std::string_view text);
std::optional<v1::ElementType> ParseElementType(std::string_view text);

}  // namespace residency::ctl
