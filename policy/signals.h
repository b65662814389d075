// What the past says about the next use of a block: rho (expected discounted reuse) and lambda
// (probability of use at its layer's next visit). Distance counts in visits of the layer, never in
// time. Prefill visits update nothing: a sweep touches everything once and says nothing of decode.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "core/ids.h"
#include "policy/config.h"

namespace residency {

enum class Phase : uint8_t { kPrefill, kDecode };

// One visit of one MoE layer by a batch of requests: `top_k` experts of each, best first.
struct LayerVisit {
  ModelId model;
  int32_t layer = 0;
  Phase phase = Phase::kDecode;
  std::span<const uint64_t> requests;
  int top_k = 0;
  std::span<const uint16_t> experts;  // requests.size() * top_k, request by request
  std::span<const float> gates;       // as `experts`, or empty
};

struct Signals {
  double rho = 0;     // in [0, 1]
  double lambda = 0;  // in [0, 1]
};

// The seam behind which a learned estimator can stand.
class ReuseEstimator {
 public:
  virtual ~ReuseEstimator() = default;
  virtual void OnVisit(const LayerVisit& visit) = 0;
  // The request is over (or its engine is gone): its history says nothing more.
  virtual void OnRequestEnded(ModelId model, uint64_t request) = 0;
  // Of an expert, over all requests at hand: 1 - prod(1 - V_request). All zero for what was never
  // visited.
  virtual Signals Estimate(ModelId model, int32_t layer, int32_t expert) const = 0;
};

// The yardstick: w·fast + (1-w)·slow. `fast` is an exponentially weighted mean of use within a
// request (half-life 1.5 visits), `slow` one across requests (32 visits). lambda comes from the
// same layer's history: an expert used at the last visit stays with the layer's measured overlap,
// others share what is left by their slow mean. Memory: at most kRequestsMax requests a model are
// followed; the one longest silent is forgotten first.
class EwmaMixEstimator final : public ReuseEstimator {
 public:
  static constexpr int kRequestsMax = 64;
  explicit EwmaMixEstimator(const PolicyConfig& config);
  ~EwmaMixEstimator() override;
  void OnVisit(const LayerVisit& visit) override;
  void OnRequestEnded(ModelId model, uint64_t request) override;
  Signals Estimate(ModelId model, int32_t layer, int32_t expert) const override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace residency
