// Who is there and what they registered: sessions, models, blocks.
#pragma once

#include "policy/acquires.h"
#include "policy/controller_state.h"
#include "policy/lease_book.h"

namespace residency {

class Registry {
 public:
  Registry(ControllerState& state, LeaseBook& leases, Acquires& acquires)
      : s_(state), leases_(leases), acquires_(acquires) {}

  void OnOpened(const SessionOpened& event);
  void OnEnded(const SessionEnded& event);
  void OnResumed(const SessionResumed& event);
  void OnAttach(const ModelAttach& event);
  void OnDetach(const ModelDetach& event);
  void OnRegister(const BlocksRegister& event);
  // The demand reserve: its share of the pool, at least the largest declared batch.
  void RefreshReserves();
  // The session holds the model and may speak of it.
  bool MaySpeakOf(SessionId session, ModelId model) const;

 private:
  absl::Status Admit(const ModelAttach& event, const SessionState& session) const;
  void LeaveModel(SessionState& session, ModelId model);

  ControllerState& s_;
  LeaseBook& leases_;
  Acquires& acquires_;
};

}  // namespace residency
