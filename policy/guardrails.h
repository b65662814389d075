// Vetoes: transitions that the planner wanted and that would hurt. Each guardrail is a small pure
// function of the facts of one move; the first that objects gives the reason.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "core/clock.h"
#include "core/pool.h"
#include "core/residency_state.h"
#include "policy/config.h"

namespace residency {

enum class VetoReason : uint8_t {
  kLeased,            // in use, or cached by a client that was not asked yet
  kPinned,            // by an operator
  kSensitive,         // psi above the threshold while the model is active
  kLastLosslessCopy,  // and no recipe
  kInFlight,          // the block's transition, or the limit of background transitions
  kMinResidency,      // it has only just come
  kThrash,            // it went back and forth too often
  kBandwidth,         // the link has more background work than its share
  kNoRoom,            // at the target, the demand reserve left alone
  kQuota,             // of its domain in the target pool
  kQuarantined,       // a copy of it is bad and still held
};
inline constexpr int kVetoReasonCount = 11;

const char* Name(VetoReason reason);

// What is known of one proposed move. `leaving` facts speak of the copy to be dropped, `arriving`
// facts of the copy to be added; a move may have either or both.
struct MoveFacts {
  ResidencyState from = ResidencyState::kS6Recomputable;
  ResidencyState to = ResidencyState::kS6Recomputable;
  Purpose purpose = Purpose::kBackground;
  bool dropping = false;
  bool adding = false;

  bool leased = false;  // the copy to be dropped has leases
  bool pinned = false;
  bool quarantined = false;
  bool last_lossless = false;
  bool in_flight = false;  // a transition of the block is live
  int background_in_flight = 0;
  bool protection_lost = false;  // the pool's protected share is exceeded and this K is too low
  bool model_active = false;
  double psi = 0;
  Micros resident_for{0};      // how long the copy to be dropped has been live
  int recent_round_trips = 0;  // within the thrash window
  double link_backlog = 0;     // queued background work of the link, in seconds of its bandwidth
  bool room = true;            // at the target, for this purpose
  double domain_share = 0;     // of the target pool, this block included
};

// The veto that the first objecting guardrail casts; nullopt if the move may go ahead.
std::optional<VetoReason> Veto(const MoveFacts& facts, const PolicyConfig& config);

// The single guardrails, in the order in which Veto asks them.
using Guardrail = bool (*)(const MoveFacts&, const PolicyConfig&);
struct NamedGuardrail {
  VetoReason reason;
  Guardrail objects;
};
std::span<const NamedGuardrail> Guardrails();

// Queued background work beyond this many seconds, times PolicyConfig::background_share, is too
// much for a link.
inline constexpr double kBacklogSecondsMax = 0.25;

// Vetoes by reason and edge.
class VetoCounts {
 public:
  void Count(VetoReason reason, ResidencyState from, ResidencyState to) {
    ++counts_[static_cast<int>(reason)][static_cast<int>(from)][static_cast<int>(to)];
  }
  uint64_t at(VetoReason reason, ResidencyState from, ResidencyState to) const {
    return counts_[static_cast<int>(reason)][static_cast<int>(from)][static_cast<int>(to)];
  }

 private:
  std::array<std::array<std::array<uint64_t, kStateCount>, kStateCount>, kVetoReasonCount>
      counts_{};
};

}  // namespace residency
