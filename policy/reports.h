// What engines report of their work: accesses, routing, steps. Never answered, never waited for.
#pragma once

#include "policy/controller_state.h"
#include "policy/planner.h"
#include "policy/registry.h"
#include "policy/scoring.h"

namespace residency {

class Reports {
 public:
  Reports(ControllerState& state, Scoring& scoring, const Registry& registry, Planner& planner)
      : s_(state), scoring_(scoring), registry_(registry), planner_(planner) {}

  void OnAccess(const AccessReported& event);
  void OnRouting(const RoutingReported& event);
  void OnStep(const StepMarked& event);

 private:
  // The model's state, or null (and counted) if the session may not speak of it.
  ModelState* Accept(SessionId session, ModelId model);
  bool WellFormed(const RoutingReported& event) const;

  ControllerState& s_;
  Scoring& scoring_;
  const Registry& registry_;
  Planner& planner_;
};

}  // namespace residency
