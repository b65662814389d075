#include "daemon/grpc_server.h"

#include <grpc/grpc.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/unix_socket.h"

namespace residency {
namespace {

// A client may ask whether the connection lives this often, calls or not. The daemon itself need
// not: the other end of a Unix socket doesn't vanish unnoticed.
constexpr int kPingIntervalMinMs = 10'000;

// Both are for every server of the process, and must be set before the first is made.
void EnablePlugins() {
  static const bool once = [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    return true;
  }();
  (void)once;
}

class ScopedUmask {
 public:
  explicit ScopedUmask(mode_t mask) : before_(umask(mask)) {}
  ~ScopedUmask() { umask(before_); }
  ScopedUmask(const ScopedUmask&) = delete;
  ScopedUmask& operator=(const ScopedUmask&) = delete;

 private:
  const mode_t before_;
};

void Configure(grpc::ServerBuilder& builder, const GrpcServer::Options& options) {
  const auto message_max = static_cast<int>(options.message_max.count());
  builder.SetMaxReceiveMessageSize(message_max);
  builder.SetMaxSendMessageSize(-1);
  grpc::ResourceQuota quota(options.path);
  quota.Resize(options.memory_max.count());
  builder.SetResourceQuota(quota);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.calls_per_connection_max);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kPingIntervalMinMs);
}

}  // namespace

GrpcServer::GrpcServer(std::unique_ptr<grpc::Server> server) : server_(std::move(server)) {}

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(const Options& options,
                                                              grpc::Service& service) {
  if (absl::Status free = PrepareUnixPath(options.path, SOCK_STREAM); !free.ok()) return free;
  EnablePlugins();
  grpc::ServerBuilder builder;
  Configure(builder, options);
  int bound = 0;
  builder.AddListeningPort("unix:" + options.path, grpc::InsecureServerCredentials(), &bound);
  builder.RegisterService(&service);
  std::unique_ptr<grpc::Server> server;
  {
    // gRPC binds and listens in one go: until the access is set, only the daemon's user gets in.
    const ScopedUmask umask_now(0177);
    server = builder.BuildAndStart();
  }
  if (server == nullptr || bound == 0) {
    return absl::UnavailableError(
        absl::StrCat("could not listen on ", options.path,
                     ": is its directory writable, and the path short enough for a socket?"));
  }
  std::unique_ptr<GrpcServer> started(new GrpcServer(std::move(server)));
  if (absl::Status access =
          SetSocketAccess(options.path, options.access.mode, options.access.group);
      !access.ok()) {
    return access;
  }
  return started;
}

GrpcServer::~GrpcServer() { Shutdown(Micros(0)); }

void GrpcServer::SetServing(bool serving) {
  if (server_ == nullptr) return;
  server_->GetHealthCheckService()->SetServingStatus(serving);
}

void GrpcServer::Shutdown(Micros grace) {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now() + grace);
  server_->Wait();
  server_.reset();
}

}  // namespace residency
