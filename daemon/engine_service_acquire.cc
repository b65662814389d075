#include "daemon/engine_service_acquire.h"

#include <utility>

#include "daemon/convert.h"
#include "daemon/rpc_status.h"
#include "daemon/rpc_unary.h"

namespace residency {

grpc::ServerUnaryReactor* EngineServiceAcquire::Start(EngineParts& parts,
                                                      grpc::CallbackServerContext* context,
                                                      AcquireBatch event,
                                                      v1::AcquireResponse* response) {
  const RpcLedger::Claim claim = parts.ledger.Begin(event.session, event.client_request);
  const std::shared_ptr<EngineServiceAcquire> call(
      new EngineServiceAcquire(parts, context, claim, response));
  call->self_ = call;
  parts.PostAcquire(std::move(event), [call](const Reply& reply) { call->Answer(reply); });
  return call.get();
}

bool EngineServiceAcquire::Claim() {
  const std::lock_guard lock(mutex_);
  return !std::exchange(ended_, true);
}

void EngineServiceAcquire::Answer(const Reply& reply) {
  if (!Claim()) return;  // cancelled, and given back
  Finish(ToGrpc(FillFrom<GrantedBody>(reply, [this](const GrantedBody& granted) {
    for (const GrantedLease& lease : granted.leases) *response_->add_leases() = ToProto(lease);
  })));
}

void EngineServiceAcquire::OnCancel() {
  if (!Claim()) return;  // answered; OnDone knows whether it arrived
  parts_.ledger.Abandon(claim_);
  Finish(grpc::Status::CANCELLED);
}

void EngineServiceAcquire::OnDone() {
  const std::shared_ptr<EngineServiceAcquire> self = std::move(self_);
  if (context_->IsCancelled()) {
    parts_.ledger.Abandon(claim_);
  } else {
    parts_.ledger.Settle(claim_);
  }
}

}  // namespace residency
