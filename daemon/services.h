// The two gRPC ports of a node, engine and operator, as one thing to start and stop.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "daemon/config.h"
#include "daemon/control_port.h"
#include "daemon/engine_service.h"
#include "daemon/grpc_server.h"
#include "daemon/hint_hub.h"
#include "daemon/operator_service.h"
#include "daemon/policy_admin.h"
#include "daemon/session_registry.h"
#include "movers/file_registry.h"

namespace residency {

// Not owned; all outlive the services.
struct ServicesDependencies {
  const Config* config = nullptr;
  std::string instance;
  const Clock* clock = nullptr;
  ControlPort* control = nullptr;
  SessionRegistry* sessions = nullptr;
  HintHub* hints = nullptr;
  PolicyAdmin* policy = nullptr;
  FileRegistry* files = nullptr;
  SnapshotSource snapshot;
  std::function<void(SessionId)> end_session;
  std::function<void(Micros)> begin_drain;
};

class Services {
 public:
  static absl::StatusOr<std::unique_ptr<Services>> Start(ServicesDependencies dependencies);

  // The session is over: its stream ends.
  void EndSession(SessionId session) { engine_.EndSession(session); }
  void SetServing(bool serving);
  uint64_t reports_dropped() const { return engine_.reports_dropped(); }
  // Ends every stream and call, within `grace`.
  void Stop(Micros grace);

 private:
  Services(const ServicesDependencies& dependencies, const NodeFacts& facts);

  EngineService engine_;
  OperatorService operator_;
  std::unique_ptr<GrpcServer> engine_server_;
  std::unique_ptr<GrpcServer> operator_server_;
};

}  // namespace residency
