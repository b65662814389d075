#include "client/attach.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace residency::inline client::internal {
namespace {

constexpr size_t kRegisterMessageBytesMax = 3'000'000;
constexpr uint32_t kRegisterBlocksDefault = 1024;

absl::StatusOr<std::vector<uint32_t>> OfferFiles(Connection& connection, const ModelState& model,
                                                 absl::Duration call) {
  std::vector<uint32_t> handles;
  for (const SourceFile& source : model.files) {
    absl::StatusOr<uint32_t> handle =
        connection.side->OfferFile(source.file.get(), source.path, absl::Now() + call);
    if (!handle.ok()) {
      return absl::Status(handle.status().code(),
                          absl::StrCat(source.path, ": ", handle.status().message()));
    }
    handles.push_back(*handle);
  }
  return handles;
}

absl::Status SetRecipe(const BlockSource& source, const std::vector<uint32_t>& handles,
                       const BlockRegistry& registry, v1::BlockSpec* spec) {
  if (const auto* range = std::get_if<FileRange>(&source.recipe)) {
    spec->mutable_file_range()->set_file_handle(handles[source.file]);
    spec->mutable_file_range()->set_offset(range->offset);
  } else if (const auto* synthetic = std::get_if<Synthetic>(&source.recipe)) {
    spec->mutable_synthetic()->set_seed(synthetic->seed);
  } else if (const auto* alias = std::get_if<Alias>(&source.recipe)) {
    std::optional<uint32_t> root = registry.WireId(alias->of);
    if (!root.has_value()) {
      return absl::FailedPreconditionError(
          absl::StrCat("block \"", spec->name(), "\": alias of block ",
                       static_cast<uint32_t>(alias->of), ", which is not attached"));
    }
    spec->mutable_alias()->set_block_id(*root);
  }
  return absl::OkStatus();
}

absl::Status FillSpec(const Block& block, const BlockSource& source,
                      const std::vector<uint32_t>& handles, const BlockRegistry& registry,
                      v1::BlockSpec* spec) {
  spec->set_name(block.name);
  spec->set_bytes(block.bytes);
  spec->set_layer(block.layer);
  spec->set_expert(block.expert);
  spec->set_role(ToWire(block.role));
  spec->set_element_type(ToWire(block.element));
  if (source.criticality >= 0) spec->set_criticality(source.criticality);
  if (source.sensitivity >= 0) spec->set_sensitivity(source.sensitivity);
  spec->set_layout(source.layout);
  return SetRecipe(source, handles, registry, spec);
}

absl::Status SendBlocks(Connection& connection, const v1::RegisterBlocksRequest& request,
                        absl::Duration call, std::vector<uint32_t>* wire_ids) {
  absl::StatusOr<v1::RegisterBlocksResponse> response = connection.rpc->Call(
      "registering blocks", &v1::EngineService::Stub::RegisterBlocks, request, absl::Now() + call);
  if (!response.ok()) return response.status();
  if (response->block_ids_size() != request.blocks_size()) {
    return absl::InternalError(absl::StrCat("registering ", request.blocks_size(),
                                            " blocks: the daemon answered for ",
                                            response->block_ids_size()));
  }
  wire_ids->insert(wire_ids->end(), response->block_ids().begin(), response->block_ids().end());
  return absl::OkStatus();
}

// In batches that keep to the daemon's limits.
absl::StatusOr<std::vector<uint32_t>> RegisterAll(Connection& connection, const ModelState& model,
                                                  uint32_t model_id,
                                                  const std::vector<uint32_t>& handles,
                                                  const BlockRegistry& registry,
                                                  absl::Duration call) {
  const size_t blocks_max = connection.info.register_blocks_max() > 0
                                ? connection.info.register_blocks_max()
                                : kRegisterBlocksDefault;
  std::vector<uint32_t> wire_ids;
  size_t next = 0;
  while (next < model.blocks.size()) {
    v1::RegisterBlocksRequest request;
    request.set_model_id(model_id);
    size_t bytes = 0;
    while (next < model.blocks.size() && static_cast<size_t>(request.blocks_size()) < blocks_max &&
           bytes < kRegisterMessageBytesMax) {
      v1::BlockSpec* spec = request.add_blocks();
      absl::Status filled =
          FillSpec(model.blocks[next], model.sources[next], handles, registry, spec);
      if (!filled.ok()) return filled;
      bytes += spec->ByteSizeLong() + 8;
      ++next;
    }
    if (absl::Status sent = SendBlocks(connection, request, call, &wire_ids); !sent.ok()) {
      return sent;
    }
  }
  return wire_ids;
}

}  // namespace

absl::StatusOr<std::vector<uint32_t>> AttachTo(Connection& connection, ModelState& model,
                                               const BlockRegistry& registry, absl::Duration call) {
  absl::StatusOr<std::vector<uint32_t>> handles = OfferFiles(connection, model, call);
  if (!handles.ok()) return handles.status();

  v1::AttachModelRequest attach;
  attach.set_name(model.name);
  attach.set_fingerprint(model.fingerprint);
  attach.set_max_leased_bytes(model.limits.max_leased_bytes);
  attach.set_max_batch_bytes(model.limits.max_batch_bytes);
  AppendAccepts(model.limits.accepts, attach.mutable_accepts());
  absl::StatusOr<v1::AttachModelResponse> attached = connection.rpc->Call(
      "attaching the model", &v1::EngineService::Stub::AttachModel, attach, absl::Now() + call);
  if (!attached.ok()) return attached.status();

  absl::StatusOr<std::vector<uint32_t>> wire_ids =
      RegisterAll(connection, model, attached->model_id(), *handles, registry, call);
  if (!wire_ids.ok()) {
    // What the model declared must not stay reserved for nothing.
    v1::DetachModelRequest detach;
    detach.set_model_id(attached->model_id());
    connection.rpc
        ->Call("detaching", &v1::EngineService::Stub::DetachModel, detach, absl::Now() + call)
        .IgnoreError();
    return wire_ids.status();
  }
  model.wire_id = attached->model_id();
  return wire_ids;
}

}  // namespace residency::inline client::internal
