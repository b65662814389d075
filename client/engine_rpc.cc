#include "client/engine_rpc.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

namespace residency::inline client::internal {
namespace {

std::shared_ptr<grpc::Channel> CreateChannel(const std::string& socket_path) {
  constexpr int kMessageBytesMax = 16 << 20;
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  // Each try to connect is its own: none waits out the back-off of an earlier one.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel("unix:" + socket_path, grpc::InsecureChannelCredentials(),
                                   arguments);
}

}  // namespace

EngineRpc::EngineRpc(const std::string& socket_path, std::atomic<uint64_t>* calls_sent)
    : calls_sent_(calls_sent),
      channel_(CreateChannel(socket_path)),
      stub_(v1::EngineService::NewStub(channel_)) {}

void EngineRpc::Cancel() {
  absl::MutexLock lock(&mu_);
  cancelled_ = true;
  for (grpc::ClientContext* context : running_) context->TryCancel();
}

EngineRpc::Running::Running(EngineRpc* rpc, grpc::ClientContext* context, absl::Time deadline)
    : rpc_(rpc), context_(context) {
  context->set_deadline(absl::ToChronoTime(deadline));
  if (!rpc->token_.empty()) context->AddMetadata("residency-token-bin", rpc->token_);
  rpc->calls_sent_->fetch_add(1, std::memory_order_relaxed);
  absl::MutexLock lock(&rpc->mu_);
  rpc->running_.insert(context);
  if (rpc->cancelled_) context->TryCancel();
}

EngineRpc::Running::~Running() {
  absl::MutexLock lock(&rpc_->mu_);
  rpc_->running_.erase(context_);
}

}  // namespace residency::inline client::internal
