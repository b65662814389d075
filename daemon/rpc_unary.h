// Unary calls that the controller answers: the reply fills the response and ends the call, unless
// the call was cancelled before, by its client or by the shutdown of the server.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "daemon/control_port.h"
#include "daemon/rpc_status.h"
#include "policy/events.h"

namespace residency {

// Ends a call at once.
inline grpc::ServerUnaryReactor* FinishNow(grpc::CallbackServerContext* context,
                                           const absl::Status& status) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(ToGrpc(status));
  return reactor;
}

// A call that waits for somebody. Whoever comes first ends it: an answer, or its cancellation. The
// object outlives the call for as long as somebody may still answer it.
class WaitingCall final : public grpc::ServerUnaryReactor {
 public:
  static std::shared_ptr<WaitingCall> Start() {
    const std::shared_ptr<WaitingCall> call(new WaitingCall());
    call->self_ = call;
    return call;
  }

  // Runs `fill` and ends the call with what it returns. Does nothing if the call has ended: then
  // the response is gone.
  void End(const std::function<absl::Status()>& fill) {
    if (Claim()) Finish(ToGrpc(fill()));
  }

 private:
  WaitingCall() = default;
  void OnCancel() override {
    if (Claim()) Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { const std::shared_ptr<WaitingCall> self = std::move(self_); }
  bool Claim() {
    const std::lock_guard lock(mutex_);
    return !std::exchange(ended_, true);
  }

  std::shared_ptr<WaitingCall> self_;  // until OnDone
  std::mutex mutex_;
  bool ended_ = false;
};

// The body that a reply must have. Internal if it has another: our own bug, but no reason to end
// the daemon.
template <class Body>
absl::Status FillFrom(const Reply& reply, const std::function<void(const Body&)>& fill) {
  if (!reply.status.ok()) return reply.status;
  const Body* const body = std::get_if<Body>(&reply.body);
  if (body == nullptr) return absl::InternalError("the controller gave an answer of another kind");
  fill(*body);
  return absl::OkStatus();
}

// Posts `event`; its reply goes through `fill` into the response and ends the call.
template <class Body, class AnyEvent>
void CallController(ControlPort& port, AnyEvent event, std::shared_ptr<WaitingCall> call,
                    std::function<void(const Body&)> fill) {
  port.Call(
      [event = std::move(event)](RequestId request) mutable {
        event.request = request;
        return Event(std::move(event));
      },
      [call = std::move(call), fill = std::move(fill)](const Reply& reply) {
        call->End([&] { return FillFrom<Body>(reply, fill); });
      });
}

}  // namespace residency
