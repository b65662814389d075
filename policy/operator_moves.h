// Moves and puts that somebody asked for by name and waits for: goals that are pursued step by
// step, past the guardrails, until they are reached, refused or out of time.
#pragma once

#include <string>
#include <vector>

#include "policy/acquires.h"
#include "policy/controller_state.h"
#include "policy/lease_book.h"
#include "policy/moves.h"
#include "policy/room.h"
#include "policy/vetting.h"

namespace residency {

// Goals pursued at once; more are refused with RESOURCE_EXHAUSTED.
inline constexpr size_t kGoalsMax = 256;
// A put has this long to become a copy.
inline constexpr Micros kPutDeadline{60'000'000};

class OperatorMoves {
 public:
  OperatorMoves(ControllerState& state, Scoring& scoring, Vetting& vetting, Moves& moves,
                LeaseBook& leases, Room& room, const Acquires& acquires)
      : s_(state),
        scoring_(scoring),
        vetting_(vetting),
        moves_(moves),
        leases_(leases),
        room_(room),
        acquires_(acquires) {}

  void OnMove(const OperatorMove& event);
  void OnPut(const BlockPut& event);
  void OnPin(const OperatorPin& event);
  void OnFailed(const MoveFailure& failure);
  void Retry();
  void ExpireDeadlines();
  TimePoint NextDeadline() const;

 private:
  struct Goal {
    RequestId request;
    BlockId block;
    ResidencyState to = ResidencyState::kS6Recomputable;
    TimePoint deadline;
    std::string waiting_for;  // for the message at the deadline
    bool put = false;
    Recipe supply;
    uint64_t checksum = 0;
  };
  absl::Status CheckPut(const BlockPut& event) const;
  void Pursue(Goal goal);
  // True when the goal is over, and answered.
  bool Advance(Goal& goal);
  Encoding EncodingFor(const Goal& goal, PoolId to) const;
  bool BringCopy(Goal& goal, PoolId to);
  enum class Step : uint8_t { kDone, kWaiting, kRefused };  // refused: answered already
  Step DropHotter(Goal& goal);
  bool Abort(const Goal& goal, std::string_view why);

  ControllerState& s_;
  Scoring& scoring_;
  Vetting& vetting_;
  Moves& moves_;
  LeaseBook& leases_;
  Room& room_;
  const Acquires& acquires_;
  std::vector<Goal> goals_;
};

}  // namespace residency
