// Decides what lives where: a pure, deterministic state machine. Events and the time go in,
// commands come out; the daemon and the simulator run this same object. No I/O, clock, lock or
// thread.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "policy/controller_state.h"
#include "policy/events.h"

namespace residency {

// A block's standing, for `explain`: the verdict as it would be given now, then the decisions still
// in the ring, newest first.
struct Explanation {
  Decision now;
  std::vector<Decision> decisions;
};

class Controller {
 public:
  Controller(const std::vector<PoolOptions>& pools, const PolicyConfig& config,
             const ControllerLimits& limits = {});
  ~Controller();
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  // What a catalogue remembers, in the order in which it was registered; before the first Step.
  ResidencyTable& table_for_restore();

  // Handles the events in order, lets waiting batches get on, and returns what is to be done, in
  // order. With a tick unfinished, also does one slice of it.
  std::vector<Command> Step(TimePoint now, std::span<const Event> events);

  // A tick has slices left: call Step again, with whatever events there are by then.
  bool tick_unfinished() const;
  // When Step is wanted at the latest, events or not: the nearest deadline.
  TimePoint NextWake() const;

  // --- Reading, between steps ---
  const ControllerState& state() const;
  Explanation Explain(BlockId block, size_t decisions_max) const;
  // Why background writes to disk are suspended; empty if they are not.
  const std::string& stage_problem() const;
  size_t waiting_batches() const;
  double ActivityOf(ModelId model) const;
  void CheckInvariants() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace residency
