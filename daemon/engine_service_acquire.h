// The unary acquire: what was granted to a call that can't deliver it goes back.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <mutex>

#include "daemon/session_stream.h"
#include "residency/v1/engine.pb.h"

namespace residency {

class EngineServiceAcquire final : public grpc::ServerUnaryReactor,
                                   public std::enable_shared_from_this<EngineServiceAcquire> {
 public:
  static grpc::ServerUnaryReactor* Start(EngineParts& parts, grpc::CallbackServerContext* context,
                                         AcquireBatch event, v1::AcquireResponse* response);

 private:
  EngineServiceAcquire(EngineParts& parts, grpc::CallbackServerContext* context,
                       RpcLedger::Claim claim, v1::AcquireResponse* response)
      : parts_(parts), context_(context), claim_(claim), response_(response) {}

  void Answer(const Reply& reply);
  void OnCancel() override;
  void OnDone() override;
  // True for the first that asks: who ends the call.
  bool Claim();

  EngineParts& parts_;
  grpc::CallbackServerContext* const context_;
  const RpcLedger::Claim claim_;
  v1::AcquireResponse* const response_;         // while not ended
  std::shared_ptr<EngineServiceAcquire> self_;  // until OnDone

  std::mutex mutex_;
  bool ended_ = false;
};

}  // namespace residency
