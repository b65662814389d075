// Puts a proposed move before the guardrails, with the facts as they stand; counts and records what
// they veto.
#pragma once

#include "policy/controller_state.h"
#include "policy/guardrails.h"
#include "policy/scoring.h"

namespace residency {

// Writes decisions with every number filled in from the state.
class Recorder {
 public:
  Recorder(ControllerState& state, const Scoring& scoring) : s_(state), scoring_(scoring) {}

  struct Note {
    BlockId block;
    PoolId pool;  // in question; none: no pool is
    ResidencyState from = ResidencyState::kS6Recomputable;
    ResidencyState to = ResidencyState::kS6Recomputable;
    Verdict verdict = Verdict::kKeep;
    VetoReason veto = VetoReason::kLeased;
    const char* reason = "";
    BlockId competing;
    Score score;
  };
  Decision Make(const Note& note) const;
  void Record(const Note& note);

 private:
  ControllerState& s_;
  const Scoring& scoring_;
};

class Vetting {
 public:
  Vetting(ControllerState& state, const Scoring& scoring, Recorder& recorder)
      : s_(state), scoring_(scoring), recorder_(recorder) {}

  MoveFacts FactsOfDrop(SlotId slot, Purpose purpose) const;
  MoveFacts FactsOfAdd(BlockId block, PoolId to, Purpose purpose,
                       Encoding encoding = Encoding::kFull) const;
  // True if no guardrail objects; else the veto is counted and, once per block and reason in a row,
  // recorded.
  bool Allows(const MoveFacts& facts, BlockId block, PoolId pool, const Score& score);
  // The reason alone, uncounted: for answering operators.
  std::optional<VetoReason> Objection(const MoveFacts& facts) const {
    return Veto(facts, s_.config);
  }

  // Demotions and promotions of a block, for the thrash guardrail.
  void OnMoved(const StateChange& change);
  // Forgets what fell out of the thrash window. Once a tick.
  void Prune();
  int background_in_flight = 0;  // kept by Moves

 private:
  struct Trips {
    TimePoint window_begin;
    int count = 0;
    bool demoted = false;
  };
  int RoundTrips(BlockId block) const;

  ControllerState& s_;
  const Scoring& scoring_;
  Recorder& recorder_;
  absl::flat_hash_map<BlockId, Trips> trips_;
  absl::flat_hash_map<BlockId, VetoReason> last_veto_;
};

}  // namespace residency
