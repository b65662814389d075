#include "client/model_state.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "client/wire.h"

namespace residency::inline client {

const std::string& Model::name() const { return state_->name; }
const std::string& Model::fingerprint() const { return state_->fingerprint; }
const ModelLimits& Model::limits() const { return state_->limits; }
uint64_t Model::bytes() const { return state_->bytes; }
std::span<const Block> Model::blocks() const { return state_->blocks; }
int32_t Model::layers() const { return state_->layers; }

const Block& Model::block(BlockId id) const {
  return state_->blocks[static_cast<uint32_t>(id) - static_cast<uint32_t>(state_->first)];
}

bool Model::Contains(BlockId id) const {
  uint32_t first = static_cast<uint32_t>(state_->first);
  return static_cast<uint32_t>(id) >= first &&
         static_cast<uint32_t>(id) - first < state_->blocks.size();
}

std::span<const BlockId> Model::Expert(int32_t layer, int32_t expert) const {
  auto found = state_->by_expert.find({layer, expert});
  if (expert < 0 || found == state_->by_expert.end()) return {};
  return found->second;
}

std::span<const BlockId> Model::Dense(int32_t layer) const {
  auto found = state_->by_expert.find({layer, -1});
  if (found == state_->by_expert.end()) return {};
  return found->second;
}

int32_t Model::experts(int32_t layer) const {
  auto found = state_->experts_of_layer.find(layer);
  return found == state_->experts_of_layer.end() ? 0 : found->second;
}

std::optional<BlockId> Model::Find(std::string_view block_name) const {
  auto found = state_->by_name.find(internal::ToAbsl(block_name));
  if (found == state_->by_name.end()) return std::nullopt;
  return found->second;
}

namespace internal {

void ModelState::Index(BlockId first_id) {
  first = first_id;
  uint32_t next = static_cast<uint32_t>(first_id);
  for (Block& block : blocks) {
    block.id = BlockId{next++};
    bytes += block.bytes;
    layers = std::max(layers, block.layer + 1);
    by_expert[{block.layer, block.expert}].push_back(block.id);
    int32_t& experts = experts_of_layer[block.layer];
    experts = std::max(experts, block.expert + 1);
    by_name[block.name] = block.id;
  }
}

void ModelState::ResolveLimits() {
  std::map<int32_t, uint64_t> layer_bytes;
  uint64_t largest = 0;
  for (const Block& block : blocks) {
    largest = std::max(largest, layer_bytes[block.layer] += block.bytes);
  }
  if (limits.max_batch_bytes == 0) {
    limits.max_batch_bytes =
        limits.max_leased_bytes == 0 ? largest : std::min(largest, limits.max_leased_bytes);
  }
  if (limits.max_leased_bytes == 0) limits.max_leased_bytes = 2 * limits.max_batch_bytes;
  if (limits.accepts == Accepts::kNone) limits.accepts = Accepts::kHbmFull;
  quota->max_bytes = limits.max_leased_bytes;
}

void BlockRegistry::Add(const std::shared_ptr<ModelState>& model,
                        const std::vector<uint32_t>& wire_ids) {
  absl::MutexLock lock(&mu_);
  model->Index(BlockId{static_cast<uint32_t>(records_.size())});
  for (uint32_t wire_id : wire_ids) {
    by_wire_[wire_id] = BlockId{static_cast<uint32_t>(records_.size())};
    records_.push_back(Record{model, wire_id});
  }
  models_.push_back(model);
  model->attached = true;
}

void BlockRegistry::Renumber(const ModelState& model, const std::vector<uint32_t>& wire_ids) {
  absl::MutexLock lock(&mu_);
  uint32_t block = static_cast<uint32_t>(model.first);
  for (uint32_t wire_id : wire_ids) {
    records_[block].wire_id = wire_id;
    by_wire_[wire_id] = BlockId{block++};
  }
}

void BlockRegistry::Remove(const ModelState& model) {
  absl::MutexLock lock(&mu_);
  for (size_t i = 0; i < model.blocks.size(); ++i) {
    Record& record = records_[static_cast<uint32_t>(model.first) + i];
    if (record.wire_id.has_value()) {
      auto known = by_wire_.find(*record.wire_id);
      if (known != by_wire_.end() && known->second == model.blocks[i].id) by_wire_.erase(known);
    }
    record = Record{};
  }
  std::erase_if(models_, [&](const auto& other) { return other.get() == &model; });
}

void BlockRegistry::ForgetWireIds() {
  absl::MutexLock lock(&mu_);
  by_wire_.clear();
  for (Record& record : records_) record.wire_id.reset();
}

absl::StatusOr<std::shared_ptr<ModelState>> BlockRegistry::ModelOf(
    std::span<const BlockId> blocks) const {
  if (blocks.empty()) return absl::InvalidArgumentError("no blocks given");
  absl::ReaderMutexLock lock(&mu_);
  std::shared_ptr<ModelState> model;
  for (BlockId block : blocks) {
    uint32_t index = static_cast<uint32_t>(block);
    if (index >= records_.size() || records_[index].model == nullptr ||
        !records_[index].model->attached) {
      return absl::FailedPreconditionError(
          absl::StrCat("block ", index, " belongs to no attached model; attach it first"));
    }
    if (model == nullptr) model = records_[index].model;
    if (model != records_[index].model) {
      return absl::InvalidArgumentError(
          absl::StrCat("block ", index, " is of model \"", records_[index].model->name,
                       "\", the first one of \"", model->name, "\"; ask for one model at a time"));
    }
  }
  return model;
}

std::optional<uint32_t> BlockRegistry::WireId(BlockId block) const {
  absl::ReaderMutexLock lock(&mu_);
  uint32_t index = static_cast<uint32_t>(block);
  return index < records_.size() ? records_[index].wire_id : std::nullopt;
}

void BlockRegistry::AppendWireIds(std::span<const BlockId> blocks,
                                  google::protobuf::RepeatedField<uint32_t>* out) const {
  absl::ReaderMutexLock lock(&mu_);
  out->Reserve(out->size() + static_cast<int>(blocks.size()));
  for (BlockId block : blocks) {
    uint32_t index = static_cast<uint32_t>(block);
    if (index < records_.size() && records_[index].wire_id.has_value()) {
      out->Add(*records_[index].wire_id);
    }
  }
}

std::optional<BlockId> BlockRegistry::FromWire(uint32_t wire_id) const {
  absl::ReaderMutexLock lock(&mu_);
  auto found = by_wire_.find(wire_id);
  if (found == by_wire_.end()) return std::nullopt;
  return found->second;
}

std::vector<std::shared_ptr<ModelState>> BlockRegistry::Models() const {
  absl::ReaderMutexLock lock(&mu_);
  return models_;
}

}  // namespace internal
}  // namespace residency::inline client
