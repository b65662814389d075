// What the client knows of an attached model, and of its blocks' numbers on the wire.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "client/lease_cache.h"
#include "client/unique_fd.h"
#include "google/protobuf/repeated_field.h"
#include "residency/model.h"

namespace residency::inline client::internal {

// A file that blocks come from. Kept open, so that it can be offered again to a daemon that lost
// it.
struct SourceFile {
  std::string path;
  UniqueFd file;
};

// What registration needs of a block besides `Block`.
struct BlockSource {
  Recipe recipe;
  uint32_t file = 0;  // for a FileRange: index into ModelState::files
  float criticality = -1;
  float sensitivity = -1;
  std::string layout;
};

// Constant once attached, but for the atomics.
struct ModelState {
  static Model Handle(std::shared_ptr<ModelState> state) { return Model(std::move(state)); }
  static ModelState* Get(const Model& model) { return model.state_.get(); }
  static std::shared_ptr<ModelState> Share(const Model& model) { return model.state_; }

  // Numbers the blocks from `first` on and builds the look-ups.
  void Index(BlockId first);
  void ResolveLimits();

  std::string name;
  std::string fingerprint;
  ModelLimits limits;
  std::vector<SourceFile> files;
  std::vector<Block> blocks;
  std::vector<BlockSource> sources;  // one for each block
  std::shared_ptr<Quota> quota = std::make_shared<Quota>();

  BlockId first{};
  uint64_t bytes = 0;
  int32_t layers = 0;
  std::map<std::pair<int32_t, int32_t>, std::vector<BlockId>> by_expert;  // expert -1: the rest
  std::map<int32_t, int32_t> experts_of_layer;
  absl::flat_hash_map<std::string, BlockId> by_name;

  std::atomic<uint32_t> wire_id{0};
  std::atomic<bool> attached{false};
};

// The blocks of all attached models. Any thread.
class BlockRegistry {
 public:
  // Gives the blocks their ids. REQUIRES: one wire id for each block.
  void Add(const std::shared_ptr<ModelState>& model, const std::vector<uint32_t>& wire_ids);
  // The same model, known to a new daemon.
  void Renumber(const ModelState& model, const std::vector<uint32_t>& wire_ids);
  void Remove(const ModelState& model);
  // A new daemon knows nothing yet.
  void ForgetWireIds();

  // InvalidArgument if there are none or they are of several models, FailedPrecondition if theirs
  // is not attached (any more).
  absl::StatusOr<std::shared_ptr<ModelState>> ModelOf(std::span<const BlockId> blocks) const;
  std::optional<uint32_t> WireId(BlockId block) const;
  // Appends those that are known.
  void AppendWireIds(std::span<const BlockId> blocks,
                     google::protobuf::RepeatedField<uint32_t>* out) const;
  std::optional<BlockId> FromWire(uint32_t wire_id) const;
  std::vector<std::shared_ptr<ModelState>> Models() const;

 private:
  struct Record {
    std::shared_ptr<ModelState> model;
    std::optional<uint32_t> wire_id;
  };
  mutable absl::Mutex mu_;
  std::vector<Record> records_ ABSL_GUARDED_BY(mu_);  // by BlockId; never reused
  absl::flat_hash_map<uint32_t, BlockId> by_wire_ ABSL_GUARDED_BY(mu_);
  std::vector<std::shared_ptr<ModelState>> models_ ABSL_GUARDED_BY(mu_);  // in order of attaching
};

}  // namespace residency::inline client::internal
