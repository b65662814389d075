// Which hints may be lost for want of room, and which can share a message. Recalls and revocations
// never get lost: the controller says each of them once.
#pragma once

#include <cstddef>
#include <variant>

#include "core/hint.h"

namespace residency {

// Leases that one recall or revocation names at most; keeps the message well under its limit.
inline constexpr size_t kHintLeasesMax = 65'536;

inline bool MayDrop(const Hint& hint) {
  return !std::holds_alternative<RecallHint>(hint) && !std::holds_alternative<RevokedHint>(hint);
}

namespace hint_hub_internal {

template <class LeaseHint>
bool Append(LeaseHint& into, const LeaseHint& next) {
  if (into.leases.size() + next.leases.size() > kHintLeasesMax) return false;
  into.leases.insert(into.leases.end(), next.leases.begin(), next.leases.end());
  return true;
}

}  // namespace hint_hub_internal

// Adds the leases of `next` to a recall, or to a revocation for the same reason, that waits right
// before it. False if they can't share: then nothing has changed.
inline bool Merge(Hint& waiting, const Hint& next) {
  if (auto* const recall = std::get_if<RecallHint>(&waiting)) {
    const auto* const more = std::get_if<RecallHint>(&next);
    return more != nullptr && hint_hub_internal::Append(*recall, *more);
  }
  if (auto* const revoked = std::get_if<RevokedHint>(&waiting)) {
    const auto* const more = std::get_if<RevokedHint>(&next);
    return more != nullptr && more->reason == revoked->reason &&
           hint_hub_internal::Append(*revoked, *more);
  }
  return false;
}

}  // namespace residency
