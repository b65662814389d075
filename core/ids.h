// Strong types for every number that names something. Two ids of different kinds do not compare,
// convert or mix; kNone of each kind names nothing.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>
#include <ostream>
#include <utility>

namespace residency {

template <class Tag, class Rep>
class StrongId {
 public:
  using rep = Rep;
  constexpr StrongId() = default;
  constexpr explicit StrongId(Rep value) : value_(value) {}

  static constexpr StrongId None() { return StrongId(); }
  constexpr Rep value() const { return value_; }
  constexpr bool valid() const { return value_ != std::numeric_limits<Rep>::max(); }

  friend constexpr auto operator<=>(StrongId, StrongId) = default;
  friend std::ostream& operator<<(std::ostream& os, StrongId id) {
    return id.valid() ? os << +id.value_ : os << "none";
  }
  template <class H>
  friend H AbslHashValue(H h, StrongId id) {
    return H::combine(std::move(h), id.value_);
  }

 private:
  Rep value_ = std::numeric_limits<Rep>::max();
};

// Dense: a block's index in the residency table; kept across restarts by the catalogue.
using BlockId = StrongId<struct BlockTag, uint32_t>;
using ModelId = StrongId<struct ModelTag, uint32_t>;
// Who may see whose bytes; by default a uid.
using DomainId = StrongId<struct DomainTag, uint32_t>;
using PoolId = StrongId<struct PoolTag, uint16_t>;
// The stable number of a copy's record; reused, so always paired with a Generation.
using SlotId = StrongId<struct SlotTag, uint32_t>;
using Generation = StrongId<struct GenerationTag, uint32_t>;
// One assignment of one segment to one domain. Never reused within a daemon instance.
using RegionNumber = StrongId<struct RegionTag, uint64_t>;
using SessionId = StrongId<struct SessionTag, uint64_t>;
using LeaseId = StrongId<struct LeaseTag, uint64_t>;
// Names one live transition. Never reused within a daemon instance.
using Ticket = StrongId<struct TicketTag, uint64_t>;
// A file that recipes read from, known by identity, not by path.
using FileId = StrongId<struct FileTag, uint32_t>;
// Names one call that the controller owes a reply.
using RequestId = StrongId<struct RequestTag, uint64_t>;

}  // namespace residency
