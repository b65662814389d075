// From a checkpoint's files to the blocks of a model. Reads headers only.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/checkpoint_content.h"
#include "client/model_state.h"

namespace residency::inline client::internal {

// Opens the files, groups the tensors into blocks and computes the fingerprint: a hash of each
// file's identity (device, inode, size, times) and header. Not attached yet.
absl::StatusOr<std::shared_ptr<ModelState>> LoadCheckpoint(const std::string& path,
                                                           const CheckpointOptions& options);

// Only the grouping: fills `blocks` and `sources`, blocks in order of file and offset.
// InvalidArgument if a name is too long for a block, or two blocks would have the same.
absl::Status GroupTensors(const CheckpointContent& content, Grouping grouping, ModelState* model);

}  // namespace residency::inline client::internal
