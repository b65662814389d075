// Grants, ends and recalls leases, and keeps what each session holds.
#pragma once

#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "policy/controller_state.h"
#include "policy/moves.h"

namespace residency {

class LeaseBook {
 public:
  LeaseBook(ControllerState& state, Moves& moves) : s_(state), moves_(moves) {}

  // REQUIRES: the session is known and the copy is live.
  GrantedLease Grant(SessionState& session, SlotId slot, LeaseMode mode, ResidencyState served_from,
                     Micros stall);
  // False if the session does not hold it.
  bool End(SessionState& session, LeaseId lease);
  void EndAll(SessionState& session);
  // What the session does not list goes back.
  void EndAllBut(SessionState& session, const std::vector<LeaseId>& held);
  // The same grant once more, for a retried call. REQUIRES: the lease is held.
  GrantedLease Describe(LeaseId lease) const;

  // Asks every recallable lease on the copy back, once. True if something was or is asked and may
  // still be answered: false once the patience with an unanswered recall has run out.
  bool Recall(SlotId slot);
  // Whether every lease on the copy was asked back already.
  bool Recalled(SlotId slot) const;
  // Asks once more for what was asked back: the hint may have been lost with the client's stream.
  void RepeatRecalls(const SessionState& session);
  // Lets copies go that were brought for streams alone, now that these are done with them; but for
  // those that `wanted` names, which are admitted. Before waiting batches get on.
  void DropStreamed(const std::function<bool(BlockId)>& wanted);
  // Lets copies go whose block has a better one now, asking their leases back first.
  void DropSuperseded(const std::vector<std::pair<SlotId, Generation>>& copies);
  // Sends the recalls gathered since, one hint a session. At the end of every step.
  void SendRecalls();
  // Sessions that leave a recall unanswered past the deadline are shown unhealthy. Once a tick.
  void CheckDeadlines();

 private:
  void Forget(const Lease& lease);

  ControllerState& s_;
  Moves& moves_;
  absl::flat_hash_map<SlotId, absl::InlinedVector<LeaseId, 2>> by_slot_;
  std::map<SessionId, std::vector<LeaseId>> recalls_;  // sent in the same order in every run
  absl::flat_hash_set<SlotId> streamed_;  // leased, brought for streams, and leased by nobody else
  std::vector<std::pair<SlotId, Generation>> streamed_out_;
  absl::flat_hash_map<SlotId, Generation> superseded_;  // leased still
};

}  // namespace residency
