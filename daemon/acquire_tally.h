// What engines wait for: which blocks were not where a batch could use them, and how much of its
// wait was theirs. Fed with every answer to an acquire; means over the recent past, so that one
// reading says what hurts now. Thread-safe.
#pragma once

#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/clock.h"
#include "core/ids.h"
#include "core/residency_state.h"
#include "policy/events.h"

namespace residency {

class AcquireTally {
 public:
  // What happened this long ago counts half.
  static constexpr Micros kHalfLife{10'000'000};
  // Blocks remembered at most; beyond it the half with the least stall is forgotten.
  static constexpr size_t kBlocksMax = 4096;

  // The state that a lease of this copy stands for; none if that is not known yet.
  using StateOfLease = std::function<std::optional<ResidencyState>(const GrantedLease&)>;
  explicit AcquireTally(StateOfLease state_of) : state_of_(std::move(state_of)) {}

  // A batch that did not wait changes nothing. What another one waited is shared out evenly among
  // the blocks that were not in the state in which they were then leased.
  void OnGranted(const GrantedBody& granted, TimePoint now);

  struct Misses {
    BlockId block;
    ResidencyState served_from = ResidencyState::kS6Recomputable;  // at the last miss
    double misses_per_second = 0;
    double stall_us_per_second = 0;
  };
  struct Report {
    std::vector<Misses> blocks;  // the most stall first
    double misses_per_second = 0;
    double stall_us_per_second = 0;
  };
  // The sums are of all blocks, the list holds the first `blocks_max`.
  Report Read(size_t blocks_max, TimePoint now) const;

 private:
  struct Entry {
    TimePoint at;
    double misses = 0;
    double stall_us = 0;
    ResidencyState served_from = ResidencyState::kS6Recomputable;
  };
  // REQUIRES: mutex_ is held.
  void ForgetTheLeast(TimePoint now);

  const StateOfLease state_of_;
  mutable std::mutex mutex_;
  absl::flat_hash_map<BlockId, Entry> entries_;
};

}  // namespace residency
