// What a checkpoint holds, whatever its format: files, and the byte ranges in them that may become
// blocks.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/gguf.h"
#include "client/safetensors.h"
#include "client/tensor_names.h"
#include "residency/model.h"

namespace residency::inline client::internal {

// Over all files of a checkpoint; also what a node takes.
inline constexpr uint64_t kMaxCheckpointPieces = 16'000'000;
// Of one tensor that holds all experts of a layer.
inline constexpr uint64_t kMaxStackedExperts = 65'536;

struct CheckpointFile {
  std::string path;
  // The part that says where tensors lie: it goes into the fingerprint.
  uint64_t header_offset = 0;
  uint64_t header_bytes = 0;
};

// A tensor, or one expert's share of a tensor that holds several. Not empty.
struct CheckpointPiece {
  Tensor tensor;           // its name as in the file; offset 0
  std::string block_name;  // where the piece is a block of its own
  TensorPlace place;
  ElementType element = ElementType::kOther;
  size_t file = 0;
  uint64_t offset = 0;  // in the file
};

struct CheckpointContent {
  std::string format;  // "safetensors" or "gguf"
  std::vector<CheckpointFile> files;
  std::vector<CheckpointPiece> pieces;  // by file, then by offset
};

// Opens a safetensors file, its index, a GGUF file (the first, if there are several), or a
// directory that holds exactly one checkpoint. What a file is, its first bytes decide.
absl::StatusOr<CheckpointContent> OpenCheckpoint(const std::string& path,
                                                 std::span<const RoleRule> rules);

CheckpointContent ContentOf(const SafetensorsCheckpoint& checkpoint,
                            std::span<const RoleRule> rules);

// Tensors that hold all experts of a layer ("blk.3.ffn_up_exps.weight") are cut along their last
// dimension, the slowest, into a piece for each expert: "blk.3.ffn_up_exps.weight[5]". A weight of
// fewer than three dimensions is that of a single expert.
// InvalidArgument names the tensor that can't be cut, or has experts above a limit.
absl::StatusOr<CheckpointContent> ContentOf(const GgufCheckpoint& checkpoint,
                                            std::span<const RoleRule> rules);

}  // namespace residency::inline client::internal
