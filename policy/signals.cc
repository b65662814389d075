#include "policy/signals.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"

namespace residency {
namespace {

// A request that missed more visits of a layer than this (it waits, was preempted, or its end was
// never reported) is not expected at the next one and is not counted.
constexpr uint64_t kSilentVisitsMax = 8;
// How much of a request's choice at one visit is chosen again at the next, before it is measured.
constexpr double kStayPrior = 0.4;
constexpr double kStayHalfLifeVisits = 32;
// Of all followed requests of a model; beyond it fewer than kRequestsMax are followed. 16 MiB.
constexpr size_t kFastCellsMax = size_t{4} << 20;

double DecayPerVisit(double half_life) { return std::exp2(-1 / half_life); }

// One request at one layer.
struct Trail {
  uint64_t last_visit = 0;     // the layer's number of it, from 1; 0: never
  std::vector<float> fast;     // by expert, as of the last visit
  std::vector<uint16_t> last;  // what it used then, each once
};

struct Request {
  uint64_t last_seen = 0;  // the model's number of the visit
  std::vector<Trail> layers;
};

struct Layer {
  uint64_t visits = 0;
  std::vector<float> slow;  // by expert: mean share of requests that use it
  double stay = kStayPrior;
  int top_k = 0;
  // Estimates of all experts, made again when the layer was visited or a request forgotten since.
  uint64_t cached_visits = 0;
  uint64_t cached_forgotten = 0;
  std::vector<Signals> cached;
};

struct ModelHistory {
  uint64_t visits = 0;
  uint64_t forgotten = 0;
  size_t fast_cells = 0;
  std::vector<Layer> layers;
  // Ordered, so that sums come out the same in every run.
  absl::btree_map<uint64_t, Request> requests;
};

size_t CellsOf(const Request& request) {
  size_t cells = 0;
  for (const Trail& trail : request.layers) cells += trail.fast.size();
  return cells;
}

void ForgetRequest(ModelHistory& model, uint64_t id) {
  const auto it = model.requests.find(id);
  if (it == model.requests.end()) return;
  model.fast_cells -= CellsOf(it->second);
  model.requests.erase(it);
  ++model.forgotten;
}

auto LongestSilent(const ModelHistory& model) {
  return std::min_element(
      model.requests.begin(), model.requests.end(),
      [](const auto& a, const auto& b) { return a.second.last_seen < b.second.last_seen; });
}

// Whether the request is followed from now on: a full house makes room by forgetting the request
// longest silent, but none that takes part in the present visit.
bool Follow(ModelHistory& model, uint64_t id) {
  if (model.requests.contains(id)) return true;
  if (model.requests.size() >= EwmaMixEstimator::kRequestsMax) {
    const auto oldest = LongestSilent(model);
    if (oldest->second.last_seen == model.visits) return false;
    ForgetRequest(model, oldest->first);
  }
  model.requests[id].last_seen = model.visits;
  return true;
}

bool WellFormed(const LayerVisit& visit) {
  return visit.layer >= 0 && visit.top_k > 0 && !visit.requests.empty() &&
         visit.experts.size() == visit.requests.size() * static_cast<size_t>(visit.top_k);
}

}  // namespace

struct EwmaMixEstimator::Impl {
  double fast_decay;
  double slow_decay;
  double stay_decay;
  double fast_weight;
  absl::flat_hash_map<ModelId, ModelHistory> models;

  Trail& TrailOf(ModelHistory& model, uint64_t request, size_t layer, size_t experts) const;
  bool FollowRow(ModelHistory& model, Layer& layer, size_t index, uint64_t request,
                 std::span<const uint16_t> experts, std::vector<uint32_t>& uses) const;
  void EndRow(Layer& layer, const std::vector<uint16_t>& before, const Trail& trail) const;
  void Refresh(const ModelHistory& model, Layer& layer, size_t index) const;
};

// The trail of a followed request at the layer, with room for `experts`.
Trail& EwmaMixEstimator::Impl::TrailOf(ModelHistory& model, uint64_t id, size_t layer,
                                       size_t experts) const {
  Request& request = model.requests[id];
  if (request.layers.size() <= layer) request.layers.resize(layer + 1);
  Trail& trail = request.layers[layer];
  if (trail.fast.size() < experts) {
    model.fast_cells += experts - trail.fast.size();
    trail.fast.resize(experts);
  }
  return trail;
}

// Notes that one request used these experts at the layer's present visit. A request may have
// several rows in one visit (speculated tokens): it then used the experts of all of them.
// Returns whether this was the request's first row.
bool EwmaMixEstimator::Impl::FollowRow(ModelHistory& model, Layer& layer, size_t index,
                                       uint64_t request, std::span<const uint16_t> experts,
                                       std::vector<uint32_t>& uses) const {
  Trail& trail = TrailOf(model, request, index, layer.slow.size());
  const bool first_row = trail.last_visit != layer.visits;
  if (first_row) {
    for (float& f : trail.fast) f *= static_cast<float>(fast_decay);
  }
  const std::vector<uint16_t> before =
      first_row ? std::exchange(trail.last, {}) : std::vector<uint16_t>();
  for (const uint16_t expert : experts) {
    if (std::find(trail.last.begin(), trail.last.end(), expert) != trail.last.end()) continue;
    trail.last.push_back(expert);
    trail.fast[expert] += static_cast<float>(1 - fast_decay);
    ++uses[expert];
  }
  if (!before.empty()) EndRow(layer, before, trail);
  trail.last_visit = layer.visits;
  return first_row;
}

// Learns how much of a request's choice stays.
void EwmaMixEstimator::Impl::EndRow(Layer& layer, const std::vector<uint16_t>& before,
                                    const Trail& trail) const {
  size_t stayed = 0;
  for (const uint16_t expert : before) {
    stayed += std::count(trail.last.begin(), trail.last.end(), expert);
  }
  const double share = static_cast<double>(stayed) / static_cast<double>(before.size());
  layer.stay = stay_decay * layer.stay + (1 - stay_decay) * share;
}

void EwmaMixEstimator::Impl::Refresh(const ModelHistory& model, Layer& layer, size_t index) const {
  const size_t experts = layer.slow.size();
  double slow_sum = 0;
  for (const float s : layer.slow) slow_sum += s;
  // The chance that no request reuses the expert, and that none picks it at the next visit.
  std::vector<double> not_reused(experts, 1);
  std::vector<double> not_picked(experts, 1);
  const auto count = [&](const Trail* trail) {
    const size_t chosen = trail ? trail->last.size() : static_cast<size_t>(layer.top_k);
    double others_slow = slow_sum;
    std::vector<bool> used(experts);
    if (trail) {
      for (const uint16_t expert : trail->last) {
        used[expert] = true;
        others_slow -= layer.slow[expert];
      }
    }
    const double moving = static_cast<double>(chosen) * (trail ? 1 - layer.stay : 1);
    for (size_t e = 0; e < experts; ++e) {
      const double fast = trail && e < trail->fast.size() ? trail->fast[e] : 0;
      not_reused[e] *= 1 - (fast_weight * fast + (1 - fast_weight) * layer.slow[e]);
      const double share = others_slow > 0 ? moving * layer.slow[e] / others_slow : 0;
      not_picked[e] *= 1 - (used[e] ? layer.stay : std::min(1.0, share));
    }
  };
  bool any = false;
  for (const auto& [id, request] : model.requests) {
    if (index >= request.layers.size()) continue;
    const Trail& trail = request.layers[index];
    if (trail.last_visit == 0 || layer.visits - trail.last_visit > kSilentVisitsMax) continue;
    count(&trail);
    any = true;
  }
  // Between requests the next one is one that nothing is known of.
  if (!any) count(nullptr);
  layer.cached.resize(experts);
  for (size_t e = 0; e < experts; ++e) {
    layer.cached[e].rho = std::clamp(1 - not_reused[e], 0.0, 1.0);
    layer.cached[e].lambda = std::clamp(1 - not_picked[e], 0.0, 1.0);
  }
  layer.cached_visits = layer.visits;
  layer.cached_forgotten = model.forgotten;
}

EwmaMixEstimator::EwmaMixEstimator(const PolicyConfig& config)
    : impl_(
          std::make_unique<Impl>(Impl{.fast_decay = DecayPerVisit(config.rho_fast_half_life_visits),
                                      .slow_decay = DecayPerVisit(config.rho_slow_half_life_visits),
                                      .stay_decay = DecayPerVisit(kStayHalfLifeVisits),
                                      .fast_weight = config.rho_fast_weight,
                                      .models = {}})) {}

EwmaMixEstimator::~EwmaMixEstimator() = default;

void EwmaMixEstimator::OnVisit(const LayerVisit& visit) {
  if (visit.phase == Phase::kPrefill || !WellFormed(visit)) return;
  ModelHistory& model = impl_->models[visit.model];
  const size_t index = static_cast<size_t>(visit.layer);
  if (model.layers.size() <= index) model.layers.resize(index + 1);
  Layer& layer = model.layers[index];
  const size_t highest = *std::max_element(visit.experts.begin(), visit.experts.end());
  if (layer.slow.size() <= highest) layer.slow.resize(highest + 1);
  ++model.visits;
  ++layer.visits;
  layer.top_k = visit.top_k;

  for (const uint64_t id : visit.requests) {
    if (const auto it = model.requests.find(id); it != model.requests.end()) {
      it->second.last_seen = model.visits;
    }
  }

  std::vector<uint32_t> uses(layer.slow.size());
  uint64_t distinct = 0;
  for (size_t row = 0; row < visit.requests.size(); ++row) {
    const auto experts = visit.experts.subspan(row * visit.top_k, visit.top_k);
    if (Follow(model, visit.requests[row])) {
      distinct += impl_->FollowRow(model, layer, index, visit.requests[row], experts, uses) ? 1 : 0;
    } else {
      // Past the bound a request still counts among all.
      for (const uint16_t expert : experts) ++uses[expert];
      ++distinct;
    }
  }
  for (size_t e = 0; e < layer.slow.size(); ++e) {
    const double share =
        std::min(1.0, static_cast<double>(uses[e]) / static_cast<double>(distinct));
    layer.slow[e] =
        static_cast<float>(impl_->slow_decay * layer.slow[e] + (1 - impl_->slow_decay) * share);
  }
  while (model.fast_cells > kFastCellsMax && model.requests.size() > 1) {
    ForgetRequest(model, LongestSilent(model)->first);
  }
}

void EwmaMixEstimator::OnRequestEnded(ModelId model, uint64_t request) {
  const auto it = impl_->models.find(model);
  if (it != impl_->models.end()) ForgetRequest(it->second, request);
}

Signals EwmaMixEstimator::Estimate(ModelId model_id, int32_t layer_index, int32_t expert) const {
  const auto it = impl_->models.find(model_id);
  if (it == impl_->models.end() || layer_index < 0 || expert < 0) return {};
  ModelHistory& model = it->second;
  const size_t index = static_cast<size_t>(layer_index);
  if (index >= model.layers.size()) return {};
  Layer& layer = model.layers[index];
  if (static_cast<size_t>(expert) >= layer.slow.size()) return {};
  if (layer.cached_visits != layer.visits || layer.cached_forgotten != model.forgotten) {
    impl_->Refresh(model, layer, index);
  }
  return layer.cached[static_cast<size_t>(expert)];
}

}  // namespace residency
