#include "policy/scorer.h"

#include <algorithm>

#include "core/check.h"

namespace residency {
namespace {

std::array<double, 4> Contributions(const Terms& terms, const PolicyConfig& config) {
  return {config.w1 * terms.rho, config.w2 * terms.lambda, config.w3 * terms.activity * terms.kappa,
          config.w4 * terms.activity * terms.psi};
}

}  // namespace

double Numerator(const Terms& terms, const PolicyConfig& config) {
  const auto parts = Contributions(terms, config);
  return parts[0] + parts[1] + parts[2] + parts[3];
}

Score ComputeScore(const Terms& terms, MoveCost cost, double restore_us, Bytes bytes,
                   const PolicyConfig& config) {
  RESIDENCY_CHECK(!bytes.zero(), "a score of no bytes");
  Score score;
  score.terms = terms;
  score.weights = {config.w1, config.w2, config.w3, config.w4};
  score.contributions = Contributions(terms, config);
  score.numerator = Numerator(terms, config);
  score.alpha = config.alpha;
  score.beta = config.beta;
  score.cost_us = cost;
  score.cost_unit_us = static_cast<double>(config.cost_unit.count());
  score.cost_unfloored =
      (config.alpha * cost.delta_us + config.beta * cost.tau_us) / score.cost_unit_us;
  score.floored = score.cost_unfloored < 1;
  score.cost = std::max(1.0, score.cost_unfloored);
  score.r = score.numerator / score.cost;
  score.restore_us = restore_us;
  score.bytes = static_cast<double>(bytes.count());
  score.k = score.numerator * restore_us / score.bytes;
  return score;
}

}  // namespace residency
