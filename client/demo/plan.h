// How large a replay of a checkpoint is, before anything is attached: what it leases at once, and
// pools that fit.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace residency::demo {

struct Plan {
  uint64_t bytes = 0;        // of all tensors
  uint64_t batch_bytes = 0;  // of the largest lease: a layer's dense tensors and top_k experts
  uint64_t hbm_bytes = 0;    // a quarter of the checkpoint, or what two leases need
  uint64_t dram_bytes = 0;   // half of it, at least the same
  uint64_t nvme_bytes = 0;   // all of it and room for rounding
  bool hbm_raised = false;   // a quarter was too little for this checkpoint
};

// Reads the checkpoint's header. Errors are those of the safetensors reader.
absl::StatusOr<Plan> PlanReplay(const std::string& checkpoint, uint32_t top_k);

}  // namespace residency::demo
