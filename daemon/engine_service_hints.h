// The unary pull of hints: waits for the first one, for a bounded time.
#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "core/clock.h"
#include "core/hint.h"
#include "core/ids.h"
#include "daemon/hint_hub.h"
#include "residency/v1/engine.pb.h"

namespace residency {

class EngineServiceHints final : public grpc::ServerUnaryReactor,
                                 public std::enable_shared_from_this<EngineServiceHints> {
 public:
  struct Pull {
    SessionId session;
    size_t max = 0;
    Micros wait{0};
  };
  static grpc::ServerUnaryReactor* Start(HintHub& hints, grpc::CallbackServerContext* context,
                                         const Pull& pull, v1::PullHintsResponse* response);

 private:
  EngineServiceHints(HintHub& hints, grpc::CallbackServerContext* context, const Pull& pull,
                     v1::PullHintsResponse* response)
      : hints_(hints), context_(context), pull_(pull), response_(response) {}

  void Wait();
  // Ends the call with what there is, unless it has ended.
  void Complete();
  void OnCancel() override;
  void OnDone() override;
  bool Claim();

  HintHub& hints_;
  grpc::CallbackServerContext* const context_;
  const Pull pull_;
  v1::PullHintsResponse* const response_;     // while not ended
  std::shared_ptr<EngineServiceHints> self_;  // until OnDone
  grpc::Alarm alarm_;
  std::vector<Hint> undelivered_;  // until OnDone: those that must not be lost

  std::mutex mutex_;
  bool ended_ = false;
};

}  // namespace residency
