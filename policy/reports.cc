#include "policy/reports.h"

#include <algorithm>

namespace residency {
namespace {

// Engines number their requests as they like: two of them may use the same number.
uint64_t RequestOf(SessionId session, uint64_t request) {
  return request ^ (session.value() * 0x9e3779b97f4a7c15ull);
}

}  // namespace

ModelState* Reports::Accept(SessionId session, ModelId model) {
  if (!registry_.MaySpeakOf(session, model)) {
    ++s_.counters.events_ignored;
    return nullptr;
  }
  ++s_.counters.events_accepted;
  ModelState& state = s_.models[model.value()];
  state.last_sign = s_.now;
  return &state;
}

void Reports::OnAccess(const AccessReported& event) {
  ModelState* const model = Accept(event.session, event.model);
  if (model == nullptr || event.phase == Phase::kPrefill) return;
  // An engine that marks no steps is taken to report once a step.
  const bool marks_steps = model->in_step > 0;
  if (!marks_steps) ++model->step;
  for (const BlockId block : event.blocks) {
    if (!s_.table.Knows(block) || s_.table.block(block).model != event.model) {
      ++s_.counters.events_ignored;
      continue;
    }
    s_.accesses.OnAccess(block, model->step);
    scoring_.Refresh(block);
  }
}

bool Reports::WellFormed(const RoutingReported& event) const {
  const Model& model = s_.table.model(event.model);
  if (event.layer < 0 || event.layer >= model.layers()) return false;
  const size_t count = event.requests.size() * static_cast<size_t>(std::max(event.top_k, 0));
  if (count == 0 || event.experts.size() != count) return false;
  if (!event.gates.empty() && event.gates.size() != count) return false;
  const int32_t experts = model.experts_of(event.layer);
  return std::all_of(event.experts.begin(), event.experts.end(),
                     [experts](uint16_t e) { return e < experts; });
}

void Reports::OnRouting(const RoutingReported& event) {
  if (Accept(event.session, event.model) == nullptr) return;
  if (!WellFormed(event)) {
    ++s_.counters.events_ignored;
    return;
  }
  std::vector<uint64_t> requests;
  for (const uint64_t request : event.requests) {
    requests.push_back(RequestOf(event.session, request));
  }
  s_.estimator->OnVisit({.model = event.model,
                         .layer = event.layer,
                         .phase = event.phase,
                         .requests = requests,
                         .top_k = event.top_k,
                         .experts = event.experts,
                         .gates = event.gates});
  if (event.phase == Phase::kPrefill) return;
  scoring_.RefreshLayer(event.model, event.layer);
  planner_.Prefetch(event.model, event.layer);
}

void Reports::OnStep(const StepMarked& event) {
  ModelState* const model = Accept(event.session, event.model);
  if (model == nullptr) return;
  SessionState& session = *s_.Session(event.session);
  if (event.begin) {
    ++model->step;
    if (session.stepping.insert(event.model).second) ++model->in_step;
  } else if (session.stepping.erase(event.model) > 0) {
    --model->in_step;
  }
  for (const uint64_t request : event.ended_requests) {
    s_.estimator->OnRequestEnded(event.model, RequestOf(event.session, request));
  }
}

}  // namespace residency
