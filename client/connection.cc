#include "client/connection.h"

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"

namespace residency::inline client::internal {
namespace {

struct Greeted {
  std::unique_ptr<SideChannel> side;
  Welcome welcome;
};

absl::StatusOr<Greeted> SayHello(const std::string& path, const std::string& resume_token,
                                 absl::Time deadline) {
  absl::StatusOr<std::unique_ptr<SideChannel>> side = SideChannel::Connect(path, deadline);
  if (!side.ok()) return side.status();
  absl::StatusOr<Welcome> welcome = (*side)->Hello(resume_token, deadline);
  if (!welcome.ok()) return welcome.status();
  return Greeted{*std::move(side), *std::move(welcome)};
}

absl::Status OpenSession(const std::string& path, const Connection* previous, absl::Time deadline,
                         Connection* connection) {
  const bool same_daemon =
      previous != nullptr && previous->instance->id() == connection->info.daemon_instance();
  absl::StatusOr<Greeted> greeted =
      SayHello(path, same_daemon ? previous->welcome.session_token : "", deadline);
  if (same_daemon && !greeted.ok() && !IsTransient(greeted.status())) {
    // The session has ended meanwhile (an operator can do that): begin another.
    greeted = SayHello(path, "", deadline);
  }
  if (!greeted.ok()) return greeted.status();
  if (greeted->welcome.daemon_instance != connection->info.daemon_instance()) {
    return absl::UnavailableError(absl::StrCat(
        "side socket ", path, " belongs to another daemon than the engine socket (a restart?)"));
  }
  connection->resumed = same_daemon && greeted->welcome.session_id == previous->welcome.session_id;
  connection->side = std::move(greeted->side);
  connection->welcome = std::move(greeted->welcome);
  connection->rpc->set_token(connection->welcome.session_token);
  return absl::OkStatus();
}

}  // namespace

Sockets SocketsOf(const ClientOptions& options) {
  std::string directory = options.runtime_dir;
  if (directory.empty()) {
    const char* set = std::getenv("RESIDENCY_RUNTIME_DIR");
    directory = set != nullptr && *set != '\0' ? set : "/run/residencyd";
  }
  Sockets sockets{options.engine_socket, options.side_socket};
  if (sockets.engine.empty()) sockets.engine = absl::StrCat(directory, "/engine.sock");
  return sockets;
}

absl::StatusOr<std::shared_ptr<Connection>> Establish(const Sockets& sockets,
                                                      const Connection* previous,
                                                      absl::Time deadline,
                                                      std::atomic<uint64_t>* calls_sent) {
  auto connection = std::make_shared<Connection>();
  connection->rpc = std::make_unique<EngineRpc>(sockets.engine, calls_sent);
  absl::StatusOr<v1::GetNodeInfoResponse> info =
      connection->rpc->Call("engine socket", &v1::EngineService::Stub::GetNodeInfo, {}, deadline);
  if (!info.ok()) {
    return absl::Status(info.status().code(),
                        absl::StrCat(sockets.engine, ": ", info.status().message()));
  }
  connection->info = *std::move(info);
  const std::string& side =
      sockets.side.empty() ? connection->info.side_socket_path() : sockets.side;
  if (absl::Status opened = OpenSession(side, previous, deadline, connection.get()); !opened.ok()) {
    return opened;
  }
  if (previous != nullptr && previous->instance->id() == connection->info.daemon_instance()) {
    connection->instance = previous->instance;
    return connection;
  }
  absl::StatusOr<std::shared_ptr<DaemonInstance>> instance =
      DaemonInstance::Create(connection->info);
  if (!instance.ok()) return instance.status();
  connection->instance = *std::move(instance);
  return connection;
}

}  // namespace residency::inline client::internal
