// A node of numbers around a real controller, small and always the same, for inputs that are
// requests. Whatever it or the controller finds wrong ends the program.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/policy/fake_node.h"

namespace residency::fuzz {

inline FakeNodeOptions NodeOptions() {
  GTEST_FLAG_SET(break_on_failure, true);
  FakeNodeOptions options;
  options.pools = {{.id = PoolId(0),
                    .tier = Tier::kHbm,
                    .name = "hbm",
                    .capacity = KiB(256),
                    .segment_bytes = KiB(64),
                    .domain_segments = true},
                   {.id = PoolId(1),
                    .tier = Tier::kDram,
                    .name = "dram",
                    .capacity = KiB(512),
                    .segment_bytes = KiB(64),
                    .domain_segments = true},
                   {.id = PoolId(2),
                    .tier = Tier::kNvme,
                    .name = "nvme",
                    .capacity = MiB(1),
                    .segment_bytes = KiB(256),
                    .domain_segments = false}};
  options.faults = {.corrupt = 0.02,
                    .source_error = 0.02,
                    .target_error = 0.02,
                    .still_held = 0.05,
                    .commit_failed = 0.02};
  options.jitter = true;
  options.policy.min_residency = Micros(5000);
  options.policy.recall_deadline = Micros(100'000);
  return options;
}

// Time that inputs may let pass, bounded, so that none takes the time of a thousand others.
class Patience {
 public:
  Micros Spend(Micros wanted) {
    const Micros spent = std::min(wanted, left_);
    left_ -= spent;
    return spent;
  }

 private:
  Micros left_{5'000'000};
};

}  // namespace residency::fuzz
