// One gRPC server on one Unix socket, with health checking and reflection.
#pragma once

#include <grpcpp/impl/service_type.h>

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/bytes.h"
#include "core/clock.h"
#include "daemon/config.h"

namespace grpc {
class Server;
}

namespace residency {

class GrpcServer {
 public:
  struct Options {
    std::string path;
    SocketAccess access;
    Bytes message_max = MiB(8);  // received; what is sent is bounded by who makes it
    // Memory that the calls of this socket may take together before new ones wait.
    Bytes memory_max = MiB(256);
    int calls_per_connection_max = 1024;
  };

  // Binds and serves. Nobody can connect before the socket's access is set. The service must
  // outlive the server. AlreadyExists if somebody listens there.
  // REQUIRES: the lock of the socket's directory is held (see PrepareUnixPath); no other thread
  // makes files at that time, since the umask is the whole process's.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(const Options& options,
                                                           grpc::Service& service);
  // Shuts down at once if nobody has.
  ~GrpcServer();
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;

  // What the health service says: SERVING from the start until this is told otherwise.
  void SetServing(bool serving);

  // Takes no more calls, lets those under way end until `grace` has passed, then cancels them, and
  // waits for the last. What waits for the controller's decision ends when it is cancelled; only
  // a question that is being put to the controller is waited for. Removes the socket.
  void Shutdown(Micros grace);

 private:
  explicit GrpcServer(std::unique_ptr<grpc::Server> server);
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace residency
