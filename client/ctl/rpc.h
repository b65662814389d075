// Calls to the operator port of one daemon. Every call has a deadline. Not thread-safe.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "grpcpp/grpcpp.h"
#include "residency/v1/operator.grpc.pb.h"

namespace residency::ctl {

// Whether something listens at the socket. Unavailable says what was found and what to try next.
absl::Status ProbeSocket(const std::string& path);

class OperatorClient {
 public:
  using Stub = v1::OperatorService::StubInterface;
  template <typename Request, typename Response>
  using Method = grpc::Status (Stub::*)(grpc::ClientContext*, const Request&, Response*);

  // `socket` is a path, with or without "unix:" before it. `timeout` bounds each call. Connects
  // when first needed, and again after the daemon restarted.
  OperatorClient(std::string socket, absl::Duration timeout);

  // Unavailable if nothing listens or nothing answers in time; otherwise the daemon's own status.
  // `grace` is added to the timeout of a request that carries a deadline of its own.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(Method<Request, Response> method, const Request& request,
                                absl::Duration grace = absl::ZeroDuration()) {
    if (absl::Status reachable = EnsureReachable(); !reachable.ok()) return reachable;
    grpc::ClientContext context;
    const absl::Time deadline = absl::Now() + timeout_ + grace;
    context.set_deadline(absl::ToChronoTime(deadline));
    context.set_wait_for_ready(true);
    Response response;
    const grpc::Status status = (stub_.get()->*method)(&context, request, &response);
    if (!status.ok()) return Explain(status, deadline);
    return response;
  }

 private:
  absl::Status EnsureReachable();
  // Tells a daemon that did not answer from one that answered with an error.
  absl::Status Explain(const grpc::Status& status, absl::Time deadline) const;

  const std::string socket_;
  const absl::Duration timeout_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Stub> stub_;
};

}  // namespace residency::ctl
