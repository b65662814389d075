// The last 65,536 decisions of the node, found by block: why each was taken, with every number.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/clock.h"
#include "core/ids.h"
#include "core/residency_state.h"
#include "policy/guardrails.h"
#include "policy/scorer.h"

namespace residency {

enum class Verdict : uint8_t {
  kPromote,
  kDemote,
  kStage,
  kPrefetch,
  kKeep,    // considered and left where it is
  kVeto,    // wanted, and refused by a guardrail
  kRecall,  // its leases are asked back first
  kBypass,  // served without being admitted
};
const char* Name(Verdict verdict);

struct Decision {
  uint64_t tick = 0;
  TimePoint at;
  BlockId block;
  Score score;
  double threshold = 0;  // the lowest K kept in the pool in question
  double k_victim = 0;
  double hysteresis = 0;
  double pool_pressure = 0;
  ResidencyState from = ResidencyState::kS6Recomputable;
  ResidencyState to = ResidencyState::kS6Recomputable;
  Verdict verdict = Verdict::kKeep;
  VetoReason veto = VetoReason::kLeased;  // of kVeto only
  // Why, for people: a string with static storage ("demand", "made room", "idle link").
  const char* reason = "";
  BlockId competing;
};

class DecisionRing {
 public:
  static constexpr size_t kCapacity = 65'536;
  explicit DecisionRing(size_t capacity = kCapacity);

  void Record(const Decision& decision);
  // Newest first, at most `max`. Figures come back in single precision.
  std::vector<Decision> Of(BlockId block, size_t max) const;
  uint64_t recorded() const { return next_; }

 private:
  // What of a decision can't be computed again, in single precision: 128 bytes, where a Decision
  // takes nearly three times as many.
  struct Entry {
    explicit Entry(const Decision& decision, uint64_t before);
    Decision Unpack() const;

    uint64_t previous;  // sequence number of the same block's decision before
    uint64_t tick;
    TimePoint at;
    uint64_t bytes;
    const char* reason;
    std::array<float, 5> terms;  // rho, lambda, kappa, psi, activity
    std::array<float, 4> weights;
    float alpha, beta, delta_us, tau_us, cost_unit_us, restore_us;
    float threshold, k_victim, hysteresis, pool_pressure;
    BlockId block;
    BlockId competing;
    ResidencyState from, to;
    Verdict verdict;
    VetoReason veto;
  };
  static_assert(sizeof(Entry) <= 128);
  static constexpr uint64_t kNone = ~uint64_t{0};
  bool Holds(uint64_t sequence) const;

  std::vector<Entry> entries_;  // by sequence number modulo capacity
  absl::flat_hash_map<BlockId, uint64_t> latest_;
  size_t capacity_;
  uint64_t next_ = 0;
};

}  // namespace residency
