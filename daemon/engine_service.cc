#include "daemon/engine_service.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "daemon/convert.h"
#include "daemon/convert_requests.h"
#include "daemon/engine_service_acquire.h"
#include "daemon/engine_service_hints.h"
#include "daemon/rpc_unary.h"

namespace residency {
namespace {

constexpr char kTokenKey[] = "residency-token-bin";

// Ends at once.
class RefusedStream final
    : public grpc::ServerBidiReactor<v1::SessionRequest, v1::SessionResponse> {
 public:
  explicit RefusedStream(const absl::Status& why) { Finish(ToGrpc(why)); }
  void OnDone() override { delete this; }
};

// None before the first snapshot, which knows the pools.
std::optional<ResidencyState> StateOfLease(const NodeSnapshot* snapshot,
                                           const GrantedLease& lease) {
  if (snapshot == nullptr) return std::nullopt;
  const auto pool = std::ranges::find(snapshot->pools, lease.place.pool, &PoolSnapshot::id);
  if (pool == snapshot->pools.end()) return std::nullopt;
  return StateOf(pool->tier, lease.encoding);
}

}  // namespace

EngineService::EngineService(EngineDependencies dependencies, NodeFacts facts)
    : facts_(std::move(facts)),
      snapshot_(std::move(dependencies.snapshot)),
      file_lasts_(std::move(dependencies.file_lasts)),
      file_consumed_(std::move(dependencies.file_consumed)),
      ledger_(dependencies.port),
      tally_([this](const GrantedLease& lease) { return StateOfLease(snapshot_().get(), lease); }),
      parts_{.port = dependencies.port,
             .sessions = dependencies.sessions,
             .hints = dependencies.hints,
             .clock = dependencies.clock,
             .limits = facts_.limits,
             .ledger = ledger_,
             .streams = streams_,
             .reports_dropped = reports_dropped_,
             .tally = tally_} {}

void EngineService::EndSession(SessionId session) {
  ledger_.Forget(session);
  streams_.End(session, absl::UnauthenticatedError(
                            "the session has ended: say hello on the side socket again"));
}

absl::StatusOr<SessionIdentity> EngineService::Authenticate(
    const grpc::CallbackServerContext& context) {
  ledger_.Flush();
  const auto& metadata = context.client_metadata();
  const auto token = metadata.find(kTokenKey);
  if (token == metadata.end()) {
    return absl::UnauthenticatedError(
        "the call carries no residency-token-bin: say hello on the side socket, which gives a "
        "token out, and send it as metadata");
  }
  return parts_.sessions.Authenticate(std::string_view(token->second.data(), token->second.size()));
}

grpc::ServerUnaryReactor* EngineService::GetNodeInfo(grpc::CallbackServerContext* context,
                                                     const v1::GetNodeInfoRequest*,
                                                     v1::GetNodeInfoResponse* response) {
  const std::shared_ptr<const NodeSnapshot> snapshot = snapshot_();
  if (snapshot == nullptr) {
    return FinishNow(context, absl::UnavailableError("the daemon is starting: try again"));
  }
  response->set_daemon_instance(facts_.instance);
  response->set_version(facts_.version);
  response->set_side_socket_path(facts_.side_socket_path);
  response->set_register_blocks_max(static_cast<uint32_t>(facts_.limits.register_blocks));
  response->set_acquire_blocks_max(static_cast<uint32_t>(facts_.limits.acquire_blocks));
  for (const PoolSnapshot& pool : snapshot->pools) *response->add_pools() = ToProto(pool);
  return FinishNow(context, absl::OkStatus());
}

grpc::ServerUnaryReactor* EngineService::AttachModel(grpc::CallbackServerContext* context,
                                                     const v1::AttachModelRequest* request,
                                                     v1::AttachModelResponse* response) {
  const auto session = Authenticate(*context);
  if (!session.ok()) return FinishNow(context, session.status());
  auto event = Decode(*request, session->id);
  if (!event.ok()) return FinishNow(context, event.status());
  const std::shared_ptr<WaitingCall> call = WaitingCall::Start();
  CallController<AttachedBody>(parts_.port, *std::move(event), call,
                               [response](const AttachedBody& attached) {
                                 response->set_model_id(attached.model.value());
                                 response->set_known_blocks(attached.known_blocks);
                               });
  return call.get();
}

absl::StatusOr<FileId> EngineService::FindRecipeFile(SessionId session, uint32_t handle) const {
  absl::StatusOr<FileId> file = parts_.sessions.FindFile(session, handle);
  if (!file.ok() || !file_lasts_ || file_lasts_(*file)) return file;
  return absl::InvalidArgumentError(
      "file_range.file_handle: the file was offered without a path and serves PutBlock only: "
      "offer it with the path where it can be found again");
}

grpc::ServerUnaryReactor* EngineService::RegisterBlocks(grpc::CallbackServerContext* context,
                                                        const v1::RegisterBlocksRequest* request,
                                                        v1::RegisterBlocksResponse* response) {
  const auto session = Authenticate(*context);
  if (!session.ok()) return FinishNow(context, session.status());
  auto event = Decode(*request, session->id, parts_.limits,
                      [&](uint32_t handle) { return FindRecipeFile(session->id, handle); });
  if (!event.ok()) return FinishNow(context, event.status());
  const std::shared_ptr<WaitingCall> call = WaitingCall::Start();
  CallController<RegisteredBody>(parts_.port, *std::move(event), call,
                                 [response](const RegisteredBody& registered) {
                                   for (const BlockId block : registered.blocks) {
                                     response->add_block_ids(block.value());
                                   }
                                   response->set_recipes_renewed(registered.recipes_renewed);
                                 });
  return call.get();
}

grpc::ServerUnaryReactor* EngineService::PutBlock(grpc::CallbackServerContext* context,
                                                  const v1::PutBlockRequest* request,
                                                  v1::PutBlockResponse* response) {
  const auto session = Authenticate(*context);
  if (!session.ok()) return FinishNow(context, session.status());
  auto event = Decode(*request, session->id, [&](uint32_t handle) {
    return parts_.sessions.FindFile(session->id, handle);
  });
  if (!event.ok()) return FinishNow(context, event.status());
  const FileId file = event->supply.file;
  const std::shared_ptr<WaitingCall> call = WaitingCall::Start();
  CallController<MovedBody>(parts_.port, *std::move(event), call,
                            [this, response, file, id = session->id](const MovedBody& moved) {
                              response->set_state(ToProto(moved.state));
                              if (file_consumed_ && !file_lasts_(file)) file_consumed_(id, file);
                            });
  return call.get();
}

grpc::ServerBidiReactor<v1::SessionRequest, v1::SessionResponse>* EngineService::Session(
    grpc::CallbackServerContext* context) {
  const auto session = Authenticate(*context);
  if (!session.ok()) return new RefusedStream(session.status());
  return SessionStream::Start(parts_, *session);
}

grpc::ServerUnaryReactor* EngineService::Acquire(grpc::CallbackServerContext* context,
                                                 const v1::AcquireRequest* request,
                                                 v1::AcquireResponse* response) {
  const auto session = Authenticate(*context);
  if (!session.ok()) return FinishNow(context, session.status());
  auto event = Decode(request->batch(), session->id, parts_.limits, parts_.clock.Now());
  if (!event.ok()) return FinishNow(context, event.status());
  return EngineServiceAcquire::Start(parts_, context, *std::move(event), response);
}

grpc::ServerUnaryReactor* EngineService::Release(grpc::CallbackServerContext* context,
                                                 const v1::ReleaseRequest* request,
                                                 v1::ReleaseResponse* response) {
  const auto session = Authenticate(*context);
  if (!session.ok()) return FinishNow(context, session.status());
  auto event = Decode(*request, session->id);
  if (!event.ok()) return FinishNow(context, event.status());
  const std::shared_ptr<WaitingCall> call = WaitingCall::Start();
  CallController<ReleasedBody>(
      parts_.port, *std::move(event), call,
      [response](const ReleasedBody& released) { response->set_unknown(released.unknown); });
  return call.get();
}

grpc::ServerUnaryReactor* EngineService::PullHints(grpc::CallbackServerContext* context,
                                                   const v1::PullHintsRequest* request,
                                                   v1::PullHintsResponse* response) {
  const auto session = Authenticate(*context);
  if (!session.ok()) return FinishNow(context, session.status());
  if (request->max_hints() == 0) {
    return FinishNow(context, absl::InvalidArgumentError("max_hints: must be at least 1, is 0"));
  }
  const auto longest = static_cast<uint64_t>(parts_.limits.hint_wait_max.count());
  const auto most = static_cast<uint64_t>(parts_.limits.hints_per_session);
  return EngineServiceHints::Start(
      parts_.hints, context,
      {.session = session->id,
       .max = static_cast<size_t>(std::min<uint64_t>(request->max_hints(), most)),
       .wait = Micros(static_cast<int64_t>(std::min(request->wait_us(), longest)))},
      response);
}

grpc::ServerUnaryReactor* EngineService::DetachModel(grpc::CallbackServerContext* context,
                                                     const v1::DetachModelRequest* request,
                                                     v1::DetachModelResponse*) {
  const auto session = Authenticate(*context);
  if (!session.ok()) return FinishNow(context, session.status());
  auto event = Decode(*request, session->id);
  if (!event.ok()) return FinishNow(context, event.status());
  const std::shared_ptr<WaitingCall> call = WaitingCall::Start();
  CallController<MovedBody>(parts_.port, *std::move(event), call, [](const MovedBody&) {});
  return call.get();
}

}  // namespace residency
