// What the name of a tensor says about its place in a model. The conventions are those of
// Hugging Face checkpoints, "model.layers.3.mlp.experts.5.gate_proj.weight", and of GGUF files,
// "blk.3.attn_q.weight".
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
  // "model.layers.3.mlp.experts.5", or "blk.3.experts.5" in GGUF files; empty where it is no
  // expert's.
  std::string expert_name;
  // "blk.3.ffn_up_exps.weight" is of all experts of its layer: `expert` is -1 and `expert_name` is
  // what the experts' have in common, "blk.3.experts".
  bool holds_all_experts = false;
};

// `rules` go before the built-in ones, which look for the usual words. A number after "layers",
// "layer", "h", "blocks" or "blk" is the layer, one after "experts" the expert (or, in GGUF files,
// after "ffn_gate", "ffn_up" or "ffn_down"); an expert without a layer is none.
TensorPlace PlaceOf(std::string_view tensor_name, std::span<const RoleRule> rules);

}  // namespace residency::inline client::internal
