// Writes a mixture-of-experts checkpoint of seeded Gaussian bf16 weights: the shape and the entropy
// of a real one, for the demo, tests and measurements. The same options give the same bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/checkpoint_writer.h"

namespace residency {

struct SyntheticCheckpointOptions {
  uint32_t layers = 4;
  uint32_t experts = 8;       // per layer
  uint64_t hidden = 512;      // width of the model
  uint64_t intermediate = 0;  // width inside an expert; 0: derived from expert_bytes
  // Wanted size of one expert (gate_up_proj and down_proj together); used if `intermediate` is 0
  // and rounded down to a multiple of 6 * hidden, at least one.
  uint64_t expert_bytes = uint64_t{1} << 20;
  float standard_deviation = 0.02f;
  uint64_t seed = 1;
  // Called with bytes done and in total about every 8 MiB and at the end. False ends the writing
  // with Cancelled, leaving nothing behind.
  std::function<bool(uint64_t done, uint64_t total)> progress;
};

// The tensors, in file order. Per layer l: model.layers.l.input_layernorm.weight,
// .self_attn.qkv_proj.weight, .self_attn.o_proj.weight, .post_attention_layernorm.weight,
// .mlp.router.weight, then per expert e: .mlp.experts.e.gate_up_proj.weight, .down_proj.weight.
// InvalidArgument for zero layers, experts or width, and for sizes above the limits of the writer.
absl::StatusOr<std::vector<TensorSpec>> SyntheticTensors(const SyntheticCheckpointOptions& options);

// Writes them as one safetensors file; an existing file is replaced at the end.
absl::Status WriteSyntheticCheckpoint(const std::string& path,
                                      const SyntheticCheckpointOptions& options);

}  // namespace residency
