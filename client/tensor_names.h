// What the name of a tensor says about its place in a model. The conventions are those of
// Hugging Face checkpoints: "model.layers.3.mlp.experts.5.gate_proj.weight".
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "residency/model.h"

namespace residency::inline client::internal {

struct TensorPlace {
  int32_t layer = -1;
  int32_t expert = -1;
  Role role = Role::kOther;
  std::string expert_name;  // "model.layers.3.mlp.experts.5"; empty where it is no expert's
};

// `rules` go before the built-in ones, which look for the usual words. A number after "layers",
// "layer", "h" or "blocks" is the layer, one after "experts" the expert; an expert without a layer
// is none.
TensorPlace PlaceOf(std::string_view tensor_name, std::span<const RoleRule> rules);

}  // namespace residency::inline client::internal
