// The unary calls of one connection, with token, deadline and count. Any thread.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <type_traits>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/wire.h"
#include "residency/v1/engine.grpc.pb.h"

namespace residency::inline client::internal {

class EngineRpc {
 public:
  EngineRpc(const std::string& socket_path, std::atomic<uint64_t>* calls_sent);

  void set_token(std::string token) { token_ = std::move(token); }
  const std::string& token() const { return token_; }
  v1::EngineService::Stub& stub() { return *stub_; }

  // Call("GetNodeInfo", &v1::EngineService::Stub::GetNodeInfo, ...).
  // Errors begin with `what`.
  template <class Response, class Request>
  absl::StatusOr<Response> Call(const char* what,
                                grpc::Status (v1::EngineService::Stub::*method)(
                                    grpc::ClientContext*, const Request&, Response*),
                                const std::type_identity_t<Request>& request, absl::Time deadline) {
    grpc::ClientContext context;
    Response response;
    Running running(this, &context, deadline);
    absl::Status status =
        StatusFromGrpc((stub_.get()->*method)(&context, request, &response), what);
    if (!status.ok()) return status;
    return response;
  }

  // Ends the calls that run, and all later ones at once.
  void Cancel();

 private:
  class Running {
   public:
    Running(EngineRpc* rpc, grpc::ClientContext* context, absl::Time deadline);
    ~Running();

   private:
    EngineRpc* const rpc_;
    grpc::ClientContext* const context_;
  };

  std::atomic<uint64_t>* const calls_sent_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::EngineService::Stub> stub_;
  std::string token_;  // set before the connection is shared
  absl::Mutex mu_;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  std::set<grpc::ClientContext*> running_ ABSL_GUARDED_BY(mu_);
};

}  // namespace residency::inline client::internal
