#include "residency/client.h"

#include <utility>

#include "client/block_spec.h"
#include "client/checkpoint.h"
#include "client/client_impl.h"
#include "client/wire.h"

namespace residency::inline client {

using internal::ModelState;

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(ClientOptions options) {
  auto impl = std::make_shared<Impl>(options);
  std::unique_ptr<Client> client(new Client(impl));  // its end also ends a failed start
  if (absl::Status started = impl->Start(); !started.ok()) return started;
  return client;
}

Client::Client(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() { impl_->Shutdown(); }

absl::StatusOr<Model> Client::AttachCheckpoint(const std::string& path, CheckpointOptions options) {
  absl::StatusOr<std::shared_ptr<ModelState>> model = internal::LoadCheckpoint(path, options);
  if (!model.ok()) return model.status();
  return impl_->Attach(*std::move(model));
}

absl::StatusOr<Model> Client::AttachBlocks(ModelSpec spec, std::vector<BlockSpec> blocks) {
  absl::StatusOr<std::shared_ptr<ModelState>> model =
      internal::LoadSpecs(std::move(spec), std::move(blocks));
  if (!model.ok()) return model.status();
  return impl_->Attach(*std::move(model));
}

absl::Status Client::Detach(const Model& model) { return impl_->Detach(model); }

absl::Status Client::PutBlock(BlockId block, std::span<const std::byte> bytes,
                              Durability durability) {
  return impl_->PutBlock(block, bytes, durability);
}

AcquireResult Client::Acquire(std::span<const BlockId> blocks, const AcquireOptions& options) {
  return impl_->Acquire(blocks, options);
}

void Client::AcquireAsync(std::span<const BlockId> blocks, const AcquireOptions& options,
                          std::function<void(AcquireResult)> done) {
  impl_->AcquireAsync(blocks, options, std::move(done));
}

std::future<AcquireResult> Client::AcquireAsync(std::span<const BlockId> blocks,
                                                const AcquireOptions& options) {
  auto promise = std::make_shared<std::promise<AcquireResult>>();
  std::future<AcquireResult> future = promise->get_future();
  impl_->AcquireAsync(blocks, options,
                      [promise](AcquireResult result) { promise->set_value(std::move(result)); });
  return future;
}

std::optional<Lease> Client::TryAcquireLocal(BlockId block) {
  Lease lease;
  if (impl_->cache().Find(block, Accepts::kNone, &lease) != internal::Lookup::kHit) {
    return std::nullopt;
  }
  return lease;
}

void Client::ReportAccess(const Model& model, Phase phase, std::span<const BlockId> blocks) {
  v1::SessionRequest request;
  v1::AccessReport& report = *request.mutable_access();
  report.set_model_id(ModelState::Get(model)->wire_id);
  report.set_phase(internal::ToWire(phase));
  impl_->registry().AppendWireIds(blocks, report.mutable_block_ids());
  impl_->Report(std::move(request));
}

void Client::ReportRouting(const Model& model, uint32_t layer, Phase phase,
                           std::span<const uint64_t> request_ids, uint32_t top_k,
                           std::span<const uint32_t> experts, std::span<const float> gates) {
  if (experts.size() != request_ids.size() * top_k ||
      (!gates.empty() && gates.size() != experts.size())) {
    impl_->CountDroppedReport();
    return;
  }
  v1::SessionRequest request;
  v1::RoutingReport& report = *request.mutable_routing();
  report.set_model_id(ModelState::Get(model)->wire_id);
  report.set_layer(layer);
  report.set_phase(internal::ToWire(phase));
  report.set_top_k(top_k);
  report.mutable_request_ids()->Add(request_ids.begin(), request_ids.end());
  report.mutable_experts()->Add(experts.begin(), experts.end());
  report.mutable_gates()->Add(gates.begin(), gates.end());
  impl_->Report(std::move(request));
}

namespace {

v1::SessionRequest Marker(const Model& model, uint64_t step, Phase phase, v1::StepEdge edge) {
  v1::SessionRequest request;
  v1::StepMarker& marker = *request.mutable_step();
  marker.set_model_id(ModelState::Get(model)->wire_id);
  marker.set_step(step);
  marker.set_phase(internal::ToWire(phase));
  marker.set_edge(edge);
  return request;
}

}  // namespace

void Client::StepBegin(const Model& model, uint64_t step, Phase phase) {
  impl_->Report(Marker(model, step, phase, v1::STEP_EDGE_BEGIN));
}

void Client::StepEnd(const Model& model, uint64_t step, Phase phase,
                     std::span<const uint64_t> ended_request_ids) {
  v1::SessionRequest request = Marker(model, step, phase, v1::STEP_EDGE_END);
  request.mutable_step()->mutable_ended_request_ids()->Add(ended_request_ids.begin(),
                                                           ended_request_ids.end());
  impl_->Report(std::move(request));
}

Hints Client::PollHints(size_t max) { return impl_->PollHints(max); }
bool Client::connected() const { return impl_->connected(); }
ClientStats Client::Stats() const { return impl_->Stats(); }

}  // namespace residency::inline client
