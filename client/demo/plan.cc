#include "client/demo/plan.h"

#include <algorithm>
#include <map>

#include "client/safetensors.h"
#include "client/tensor_names.h"

namespace residency::demo {
namespace {

// Copies occupy whole pages.
uint64_t Footprint(uint64_t bytes) { return (bytes + 4095) / 4096 * 4096; }

struct LayerBytes {
  uint64_t dense = 0;
  std::map<int32_t, uint64_t> experts;
};

uint64_t LeaseOf(const LayerBytes& layer, uint32_t top_k) {
  uint64_t largest = 0;
  for (const auto& [expert, bytes] : layer.experts) largest = std::max(largest, bytes);
  return layer.dense + top_k * largest;
}

}  // namespace

absl::StatusOr<Plan> PlanReplay(const std::string& checkpoint, uint32_t top_k) {
  const auto opened = OpenSafetensors(checkpoint);
  if (!opened.ok()) return opened.status();
  Plan plan;
  uint64_t footprint = 0;
  std::map<int32_t, LayerBytes> layers;
  for (const SafetensorsTensor& tensor : opened->tensors) {
    const auto place = internal::PlaceOf(tensor.name, {});
    plan.bytes += tensor.bytes;
    footprint += Footprint(tensor.bytes);
    if (place.layer < 0) continue;
    LayerBytes& layer = layers[place.layer];
    (place.expert >= 0 ? layer.experts[place.expert] : layer.dense) += Footprint(tensor.bytes);
  }
  for (const auto& [index, layer] : layers) {
    plan.batch_bytes = std::max(plan.batch_bytes, LeaseOf(layer, top_k));
  }
  if (plan.batch_bytes == 0) {
    return absl::InvalidArgumentError(
        "no tensor of this checkpoint names a layer (as in \"model.layers.3...\"): nothing to "
        "replay");
  }
  // One lease in use, one kept in reserve for the next, and some room to decide in.
  const uint64_t least = 3 * plan.batch_bytes;
  plan.hbm_bytes = std::max(footprint / 4, least);
  plan.hbm_raised = plan.hbm_bytes > footprint / 4;
  plan.dram_bytes = std::max(footprint / 2, least);
  plan.nvme_bytes = Footprint(footprint + footprint / 16);
  return plan;
}

}  // namespace residency::demo
