// Batches that ask for leases. All or nothing; a waiting batch holds nothing, but what it wants is
// no victim for a batch that came later: first come, first served, so that everybody gets on.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "policy/controller_state.h"
#include "policy/lease_book.h"
#include "policy/moves.h"
#include "policy/room.h"

namespace residency {

class Acquires {
 public:
  Acquires(ControllerState& state, Scoring& scoring, Moves& moves, LeaseBook& leases, Room& room)
      : s_(state), scoring_(scoring), moves_(moves), leases_(leases), room_(room) {}

  void OnAcquire(const AcquireBatch& event);
  void OnAbandoned(const AcquireAbandoned& event);
  void OnSessionEnded(SessionId session);
  void OnFailed(const MoveFailure& failure);
  // Goes through the waiting batches, oldest first, and lets each get on as far as it can.
  void Retry();
  // Ends the batches whose time is up, naming who holds what they wait for.
  void ExpireDeadlines();

  // Whether a waiting batch wants the block.
  bool Wanted(BlockId block) const { return wanted_.contains(block); }
  size_t waiting() const { return waiting_.size(); }
  // The nearest deadline; TimePoint::max() if nothing waits.
  TimePoint NextDeadline() const;

 private:
  struct Waiting {
    AcquireBatch batch;
    TimePoint arrived;
    std::vector<ResidencyState> served_from;            // by block, when it was asked for
    absl::flat_hash_map<BlockId, absl::Status> failed;  // the last failure of a way to get it
  };
  using Queue = std::map<uint64_t, Waiting>;  // by order of arrival

  // A call that was made before: answered, or takes the place of the first one.
  bool AnswerRetry(const AcquireBatch& event);
  absl::Status Admit(const AcquireBatch& event, const SessionState& session) const;
  // Grants, fails or leaves it waiting. True if it is over.
  bool Advance(uint64_t order, Waiting& waiting);
  void Grant(Waiting& waiting, const std::vector<SlotId>& slots);
  // Sees to it that the block is on its way; an error if it never can be.
  absl::Status Fetch(const Waiting& waiting, BlockId block);
  absl::Status WhyGone(const Waiting& waiting, BlockId block) const;
  void MakeRoom(uint64_t order, const Waiting& waiting, const std::vector<BlockId>& stuck);
  bool WantedBefore(BlockId block, uint64_t order) const;
  void Want(uint64_t order, const Waiting& waiting);
  void Unwant(uint64_t order, const Waiting& waiting);
  Queue::iterator Drop(Queue::iterator it);
  void Fail(Waiting& waiting, absl::Status status);
  std::string NameHolders() const;

  // What a cold block is brought as: low-bit where that is accepted, allowed and there sooner. The
  // full copy follows when the planner finds it worth while.
  Encoding EncodingFor(const Waiting& waiting, BlockId block, PoolId target) const;

  ControllerState& s_;
  Scoring& scoring_;
  Moves& moves_;
  LeaseBook& leases_;
  Room& room_;
  Queue waiting_;
  uint64_t next_order_ = 1;
  absl::flat_hash_map<BlockId, absl::InlinedVector<uint64_t, 2>> wanted_;
  // What each call was granted, for retries: dropped with its last lease.
  absl::flat_hash_map<std::pair<SessionId, uint64_t>, std::vector<LeaseId>> granted_;
};

}  // namespace residency
