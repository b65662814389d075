#include "daemon/engine_service_hints.h"

#include <chrono>
#include <utility>

#include "daemon/convert.h"
#include "daemon/hint_hub_merge.h"

namespace residency {

grpc::ServerUnaryReactor* EngineServiceHints::Start(HintHub& hints,
                                                    grpc::CallbackServerContext* context,
                                                    const Pull& pull,
                                                    v1::PullHintsResponse* response) {
  const std::shared_ptr<EngineServiceHints> call(
      new EngineServiceHints(hints, context, pull, response));
  call->self_ = call;
  call->Wait();
  return call.get();
}

void EngineServiceHints::Wait() {
  if (pull_.wait <= Micros(0)) return Complete();
  // The alarm calls back exactly once, cancelled or not; until then it keeps the call. Captured by
  // pointer, since the alarm would otherwise keep the call, and the call the alarm, for ever.
  auto* const kept = new std::shared_ptr<EngineServiceHints>(shared_from_this());
  alarm_.Set(std::chrono::system_clock::now() + pull_.wait, [kept](bool) {
    const std::unique_ptr<std::shared_ptr<EngineServiceHints>> mine(kept);
    (*mine)->Complete();
  });
  hints_.WhenReady(pull_.session, [call = shared_from_this()] { call->Complete(); });
}

bool EngineServiceHints::Claim() {
  const std::lock_guard lock(mutex_);
  return !std::exchange(ended_, true);
}

void EngineServiceHints::Complete() {
  if (!Claim()) return;
  alarm_.Cancel();
  HintHub::Pulled pulled = hints_.Pull(pull_.session, pull_.max);
  for (Hint& hint : pulled.hints) {
    *response_->add_hints() = ToProto(hint);
    if (!MayDrop(hint)) undelivered_.push_back(std::move(hint));
  }
  response_->set_dropped(pulled.dropped);
  Finish(grpc::Status::OK);
}

void EngineServiceHints::OnCancel() {
  if (!Claim()) return;
  alarm_.Cancel();
  Finish(grpc::Status::CANCELLED);
}

void EngineServiceHints::OnDone() {
  const std::shared_ptr<EngineServiceHints> self = std::move(self_);
  if (!context_->IsCancelled()) return;
  for (const Hint& hint : undelivered_) hints_.Deliver(pull_.session, hint);
}

}  // namespace residency
