#include "policy/decision_ring.h"

#include <algorithm>

#include "core/check.h"

namespace residency {

const char* Name(Verdict verdict) {
  constexpr const char* kNames[] = {"promote", "demote", "stage",  "prefetch",
                                    "keep",    "veto",   "recall", "bypass"};
  return kNames[static_cast<int>(verdict)];
}

DecisionRing::Entry::Entry(const Decision& decision, uint64_t before)
    : previous(before),
      tick(decision.tick),
      at(decision.at),
      bytes(static_cast<uint64_t>(decision.score.bytes)),
      reason(decision.reason),
      alpha(static_cast<float>(decision.score.alpha)),
      beta(static_cast<float>(decision.score.beta)),
      delta_us(static_cast<float>(decision.score.cost_us.delta_us)),
      tau_us(static_cast<float>(decision.score.cost_us.tau_us)),
      cost_unit_us(static_cast<float>(decision.score.cost_unit_us)),
      restore_us(static_cast<float>(decision.score.restore_us)),
      threshold(static_cast<float>(decision.threshold)),
      k_victim(static_cast<float>(decision.k_victim)),
      hysteresis(static_cast<float>(decision.hysteresis)),
      pool_pressure(static_cast<float>(decision.pool_pressure)),
      block(decision.block),
      competing(decision.competing),
      from(decision.from),
      to(decision.to),
      verdict(decision.verdict),
      veto(decision.veto) {
  const Terms& t = decision.score.terms;
  const double exact[] = {t.rho, t.lambda, t.kappa, t.psi, t.activity};
  const auto narrow = [](double value) { return static_cast<float>(value); };
  std::transform(std::begin(exact), std::end(exact), terms.begin(), narrow);
  std::transform(decision.score.weights.begin(), decision.score.weights.end(), weights.begin(),
                 narrow);
}

Decision DecisionRing::Entry::Unpack() const {
  PolicyConfig config;
  config.w1 = weights[0];
  config.w2 = weights[1];
  config.w3 = weights[2];
  config.w4 = weights[3];
  config.alpha = alpha;
  config.beta = beta;
  config.cost_unit = Micros(static_cast<int64_t>(cost_unit_us));
  const Terms t{terms[0], terms[1], terms[2], terms[3], terms[4]};
  Decision decision;
  decision.tick = tick;
  decision.at = at;
  decision.block = block;
  // A decision that took no score has no bytes.
  if (bytes > 0) {
    decision.score = ComputeScore(t, {delta_us, tau_us}, restore_us, Bytes(bytes), config);
  }
  decision.threshold = threshold;
  decision.k_victim = k_victim;
  decision.hysteresis = hysteresis;
  decision.pool_pressure = pool_pressure;
  decision.from = from;
  decision.to = to;
  decision.verdict = verdict;
  decision.veto = veto;
  decision.reason = reason;
  decision.competing = competing;
  return decision;
}

DecisionRing::DecisionRing(size_t capacity) : capacity_(capacity) {
  RESIDENCY_CHECK(capacity > 0, "a decision ring without room");
}

bool DecisionRing::Holds(uint64_t sequence) const {
  return sequence != kNone && next_ - sequence <= capacity_;
}

void DecisionRing::Record(const Decision& decision) {
  const size_t place = next_ % capacity_;
  const bool full = entries_.size() == capacity_;
  if (full) {
    // The oldest entry goes; a block whose latest decision it was is known no more.
    const auto oldest = latest_.find(entries_[place].block);
    if (oldest != latest_.end() && oldest->second == next_ - capacity_) latest_.erase(oldest);
  }
  const auto [it, first] = latest_.try_emplace(decision.block, next_);
  const uint64_t previous = first ? kNone : it->second;
  it->second = next_;
  const Entry entry(decision, previous);
  if (full) {
    entries_[place] = entry;
  } else {
    entries_.push_back(entry);
  }
  ++next_;
}

std::vector<Decision> DecisionRing::Of(BlockId block, size_t max) const {
  std::vector<Decision> found;
  const auto it = latest_.find(block);
  uint64_t sequence = it == latest_.end() ? kNone : it->second;
  while (found.size() < max && Holds(sequence)) {
    const Entry& entry = entries_[sequence % capacity_];
    found.push_back(entry.Unpack());
    sequence = entry.previous;
  }
  return found;
}

}  // namespace residency
