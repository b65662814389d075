#include "policy/access_history.h"

#include <cmath>

namespace residency {
namespace {

double DecayPerStep(double half_life) { return std::exp2(-1 / half_life); }

}  // namespace

AccessHistory::AccessHistory(const PolicyConfig& config)
    : fast_decay_(DecayPerStep(config.rho_fast_half_life_visits)),
      slow_decay_(DecayPerStep(config.rho_slow_half_life_visits)),
      fast_weight_(config.rho_fast_weight) {}

void AccessHistory::OnAccess(BlockId block, uint64_t step) {
  const auto [it, first] = entries_.try_emplace(block);
  Entry& entry = it->second;
  if (!first && step == entry.step) return;
  // A model whose engine came back counts its steps anew: what is known is then one step old.
  const double steps = step > entry.step ? static_cast<double>(step - entry.step) : 1;
  entry.fast = static_cast<float>(entry.fast * std::pow(fast_decay_, steps) + (1 - fast_decay_));
  entry.slow = static_cast<float>(entry.slow * std::pow(slow_decay_, steps) + (1 - slow_decay_));
  entry.step = step;
}

double AccessHistory::Reuse(BlockId block, uint64_t step) const {
  const auto it = entries_.find(block);
  if (it == entries_.end()) return 0;
  const Entry& entry = it->second;
  const double steps = step > entry.step ? static_cast<double>(step - entry.step) : 0;
  return fast_weight_ * entry.fast * std::pow(fast_decay_, steps) +
         (1 - fast_weight_) * entry.slow * std::pow(slow_decay_, steps);
}

void AccessHistory::Forget(BlockId block) { entries_.erase(block); }

}  // namespace residency
