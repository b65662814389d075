// Blocks that an engine describes itself, checked before anything is sent.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/model_state.h"

namespace residency::inline client::internal {

inline constexpr size_t kNameBytesMax = 255;

// InvalidArgument names the block and the field.
absl::Status CheckBlock(const std::string& name, uint64_t bytes);

absl::StatusOr<SourceFile> OpenSource(const std::string& path);

// Opens the files that the specs name, each once. Not attached yet.
absl::StatusOr<std::shared_ptr<ModelState>> LoadSpecs(ModelSpec spec,
                                                      std::vector<BlockSpec> blocks);

}  // namespace residency::inline client::internal
