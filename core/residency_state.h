// The seven-state ladder and its legal edges. A block's state is derived from its copies; nothing
// stores it. S5 is every block for which an add is live that will change its settled state.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "core/tier.h"

namespace residency {

enum class ResidencyState : uint8_t {
  kS0FullHbm = 0,
  kS1LowbitHbm = 1,
  kS2CompressedHbm = 2,
  kS3Dram = 3,
  kS4Nvme = 4,
  kS5InFlight = 5,
  kS6Recomputable = 6,
};
inline constexpr int kStateCount = 7;

constexpr const char* Name(ResidencyState state) {
  constexpr const char* kNames[] = {"S0", "S1", "S2", "S3", "S4", "S5", "S6"};
  return kNames[static_cast<int>(state)];
}

// The settled state that a copy of this encoding on this tier stands for.
constexpr ResidencyState StateOf(Tier tier, Encoding encoding) {
  if (tier == Tier::kDram) return ResidencyState::kS3Dram;
  if (tier == Tier::kNvme) return ResidencyState::kS4Nvme;
  constexpr std::array kHbm = {ResidencyState::kS0FullHbm, ResidencyState::kS1LowbitHbm,
                               ResidencyState::kS2CompressedHbm};
  return kHbm[static_cast<int>(encoding)];
}

constexpr bool IsSettled(ResidencyState s) { return s != ResidencyState::kS5InFlight; }
// To a lower S number. REQUIRES: both settled.
constexpr bool IsPromotion(ResidencyState from, ResidencyState to) { return to < from; }

// How a block gets from one settled state to another.
enum class EdgeKind : uint8_t {
  kNone,         // stays; not a transition
  kMove,         // bytes are copied, decoded or encoded into a new copy
  kMoveViaRing,  // the same, bounced through the staging ring under one ticket
  kDropOrWrite,  // hot copies are dropped; the target copy is written only if it is missing
  kDrop,         // every copy is dropped
  kRecipe,       // the recipe runs into the target
  kRecipeViaRing,
};

// The table of the six settled states (row: from, column: to); S5 rows and columns are kNone and
// answered by IsLegalEdge.
constexpr EdgeKind EdgeBetween(ResidencyState from, ResidencyState to) {
  using enum EdgeKind;
  constexpr EdgeKind kTable[kStateCount][kStateCount] = {
      //          S0              S1              S2              S3            S4            S5 S6
      /* S0 */ {kNone, kMove, kMove, kDropOrWrite, kDropOrWrite, kNone, kDrop},
      /* S1 */ {kMove, kNone, kMove, kDropOrWrite, kDropOrWrite, kNone, kDrop},
      /* S2 */ {kMove, kMove, kNone, kDropOrWrite, kDropOrWrite, kNone, kDrop},
      /* S3 */ {kMove, kMove, kMove, kNone, kDropOrWrite, kNone, kDrop},
      /* S4 */ {kMoveViaRing, kMoveViaRing, kMoveViaRing, kMove, kNone, kNone, kDrop},
      /* S5 */ {kNone, kNone, kNone, kNone, kNone, kNone, kNone},
      /* S6 */ {kRecipeViaRing, kRecipeViaRing, kRecipeViaRing, kRecipe, kRecipe, kNone, kNone},
  };
  return kTable[static_cast<int>(from)][static_cast<int>(to)];
}

// The ends of a live transition, reported while a block is in S5.
struct InFlight {
  ResidencyState from;
  ResidencyState to;
};

// Whether a block may go from `from` to `to`. Any settled state may enter S5; S5 is left only for
// the `from` (failed, cancelled) or the `to` (done) of its live transition, which `live` names.
constexpr bool IsLegalEdge(ResidencyState from, ResidencyState to,
                           std::optional<InFlight> live = std::nullopt) {
  if (from == ResidencyState::kS5InFlight) {
    return live.has_value() && (to == live->from || to == live->to);
  }
  if (to == ResidencyState::kS5InFlight) return true;
  return EdgeBetween(from, to) != EdgeKind::kNone;
}

}  // namespace residency
