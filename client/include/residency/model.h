// An attached model: its blocks, and where to find them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "residency/types.h"

namespace residency::inline client {

// What a session declares of its use of a model.
struct ModelLimits {
  // The most bytes that it will have leased and in use at once. 0: twice max_batch_bytes.
  uint64_t max_leased_bytes = 0;
  // The most bytes that one Acquire will ask for. 0: the bytes of the largest layer, counting all
  // blocks without a layer as one.
  uint64_t max_batch_bytes = 0;
  // The copies that the engine can use at all.
  Accepts accepts = Accepts::kHbmFull;
};

enum class Grouping : uint8_t {
  // A block for each tensor; for each expert's share of a GGUF tensor that holds several.
  kPerTensor,
  // All tensors of one expert of a layer are one block where they lie side by side in one file.
  // Where they don't, each run that does is a block of its own, named "EXPERT#0", "EXPERT#1", ...
  // in order of file and offset. Other tensors are a block each. GGUF files hold all experts of a
  // layer in one tensor for each matrix: an expert's share of each is a run.
  kPerExpert,
};

// The role of a tensor that is no expert's, by the first rule whose text its name contains.
struct RoleRule {
  std::string contains{};
  Role role = Role::kOther;
};

struct CheckpointOptions {
  std::string model_name{};  // for people; empty: the checkpoint's path
  ModelLimits limits{};
  Grouping grouping = Grouping::kPerExpert;
  std::vector<RoleRule> role_rules{};  // before the built-in ones
};

struct ModelSpec {
  std::string name{};
  // What makes two registrations the same model; 1 to 255 bytes. Blocks of one model are known by
  // their names, over all its sessions.
  std::string fingerprint{};
  ModelLimits limits{};
};

namespace internal {
struct ModelState;
}  // namespace internal

// A cheap handle, copyable; any thread. Its blocks are constant.
class Model {
 public:
  Model() = default;  // no model

  const std::string& name() const;
  const std::string& fingerprint() const;
  const ModelLimits& limits() const;  // with defaults resolved
  uint64_t bytes() const;

  std::span<const Block> blocks() const;
  // REQUIRES: the block is of this model.
  const Block& block(BlockId id) const;
  bool Contains(BlockId id) const;

  int32_t layers() const;  // the highest layer + 1
  // The blocks of one expert, in order: one, or as many as its runs. Empty where there is none.
  std::span<const BlockId> Expert(int32_t layer, int32_t expert) const;
  // The blocks of a layer that are no expert's; layer -1 gives those that belong to no layer.
  std::span<const BlockId> Dense(int32_t layer) const;
  // One more than the highest expert of that layer.
  int32_t experts(int32_t layer) const;
  std::optional<BlockId> Find(std::string_view block_name) const;

 private:
  friend struct internal::ModelState;
  explicit Model(std::shared_ptr<internal::ModelState> state) : state_(std::move(state)) {}

  std::shared_ptr<internal::ModelState> state_;
};

}  // namespace residency::inline client
