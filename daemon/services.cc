#include "daemon/services.h"

#include "absl/strings/str_cat.h"
#include "daemon/version.h"

namespace residency {
namespace {

NodeFacts FactsOf(const ServicesDependencies& d) {
  return {.instance = d.instance,
          .version = kVersion,
          .side_socket_path = d.config->daemon.SideSocketPath(),
          .limits = d.config->limits};
}

std::string NameOf(const FileRegistry& files, FileId id) {
  const auto info = files.Info(id);
  return info.ok() && !info->path.empty() ? info->path : absl::StrCat("file ", id.value());
}

}  // namespace

Services::Services(const ServicesDependencies& d, const NodeFacts& facts)
    : engine_({.port = *d.control,
               .sessions = *d.sessions,
               .hints = *d.hints,
               .clock = *d.clock,
               .snapshot = d.snapshot,
               .file_lasts =
                   [files = d.files](FileId id) {
                     const auto info = files->Info(id);
                     return info.ok() && !info->path.empty();
                   },
               .file_consumed =
                   [files = d.files, sessions = d.sessions](SessionId session, FileId file) {
                     sessions->DropFile(session, file);
                     files->Forget(file);
                   }},
              facts),
      operator_({.port = *d.control,
                 .sessions = *d.sessions,
                 .policy = *d.policy,
                 .clock = *d.clock,
                 .snapshot = d.snapshot,
                 .policy_name = "residency",
                 .reports_dropped = [this] { return engine_.reports_dropped(); },
                 .file_names = [files = d.files](FileId id) { return NameOf(*files, id); },
                 .tally = &engine_.acquire_tally(),
                 .end_session = d.end_session,
                 .begin_drain = d.begin_drain},
                facts) {}

absl::StatusOr<std::unique_ptr<Services>> Services::Start(ServicesDependencies d) {
  std::unique_ptr<Services> services(new Services(d, FactsOf(d)));
  const DaemonConfig& daemon = d.config->daemon;
  const Bytes message_max = d.config->limits.rpc_message;
  auto operators = GrpcServer::Start({.path = daemon.OperatorSocketPath(),
                                      .access = daemon.operator_socket,
                                      .message_max = message_max},
                                     services->operator_);
  if (!operators.ok()) return operators.status();
  services->operator_server_ = *std::move(operators);
  auto engines = GrpcServer::Start({.path = daemon.EngineSocketPath(),
                                    .access = daemon.engine_socket,
                                    .message_max = message_max},
                                   services->engine_);
  if (!engines.ok()) return engines.status();
  services->engine_server_ = *std::move(engines);
  return services;
}

void Services::SetServing(bool serving) {
  if (engine_server_) engine_server_->SetServing(serving);
}

void Services::Stop(Micros grace) {
  engine_.EndAllStreams(absl::UnavailableError("the daemon is ending"));
  if (engine_server_) engine_server_->Shutdown(grace);
  if (operator_server_) operator_server_->Shutdown(grace);
}

}  // namespace residency
