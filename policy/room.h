// Makes room: lets the lowest K of a pool go, copy by copy, asking cached leases back first.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "policy/controller_state.h"
#include "policy/lease_book.h"
#include "policy/moves.h"
#include "policy/scoring.h"
#include "policy/vetting.h"

namespace residency {

class Room {
 public:
  Room(ControllerState& state, Scoring& scoring, Vetting& vetting, Moves& moves, LeaseBook& leases)
      : s_(state), scoring_(scoring), vetting_(vetting), moves_(moves), leases_(leases) {}

  struct Want {
    PoolId pool;
    DomainId domain;
    Bytes total;    // of all that is to come
    Bytes largest;  // one run of at least this
    Purpose purpose = Purpose::kDemand;
    BlockId competing;   // for whom
    double k_limit = 0;  // background: only victims whose key is below this
    // Background: also what has only just come, or comes and goes all the time.
    bool young_too = false;
    std::function<bool(BlockId)> untouchable;  // wanted by somebody who came first
  };
  // Drops and recalls what it takes. True if nothing more is needed than to wait for what is on its
  // way out; false if the room can't be had now.
  bool Make(const Want& want);

  // Asks leases back ahead of need, so that a demand finds copies that can be dropped at once: at
  // least the demand reserve, or twice the largest declared batch, free or unleased.
  void KeepHeadroom(PoolId pool);
  // Recomputes below which K protection is lost because protected bytes exceed their share.
  void RefreshProtection(PoolId pool);

 private:
  struct Progress {
    Bytes coming;
    std::vector<Extent> freed;
    absl::flat_hash_set<SlotId> taken;
  };
  bool Enough(const Want& want, const Progress& progress) const;
  // Which copies to look at, and whether a sensitive one is protected.
  struct Pass {
    bool unleased = false;
    bool recalled = false;  // leased, and every lease asked back already
    bool leased = false;
    bool protect = true;
    bool low_bit = false;  // also low-bit copies within their share
  };
  // True when that is enough.
  bool TakeVictims(const Want& want, Pass pass, const std::vector<SlotId>& candidates,
                   Progress& progress);
  // Takes the copies between free runs whose going costs least for one run of `largest`: without
  // it, holes of small blocks add up to bytes and never to room for a large one. True if there is a
  // run now or will be.
  bool TakeWindow(const Want& want, Pass pass, const std::vector<SlotId>& candidates,
                  Progress& progress);
  bool Suits(const Want& want, const Pass& pass, SlotId slot) const;
  // Low-bit copies stay put while they take no more than their share of HBM: they serve what the
  // full copies around them have no room for, and would be the first to go.
  bool LowbitKeepsItsShare(PoolId pool) const;
  MoveFacts FactsOf(const Want& want, SlotId slot) const;
  // Adds to `progress` if the copy goes or its leases were asked back.
  void TakeVictim(const Want& want, SlotId slot, bool protect, Progress& progress);

  ControllerState& s_;
  Scoring& scoring_;
  Vetting& vetting_;
  Moves& moves_;
  LeaseBook& leases_;
};

}  // namespace residency
