// The engine port: decodes, posts, replies. The port is untrusted: nothing sent here may end the
// daemon. No handler waits for anything.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "daemon/session_stream.h"
#include "residency/v1/engine.grpc.pb.h"

namespace residency {

// What the daemon says of itself. Constant.
struct NodeFacts {
  std::string instance;  // 16 random bytes
  std::string version;
  std::string side_socket_path;
  LimitsConfig limits;
};

// Null until the controller has made one.
using SnapshotSource = std::function<std::shared_ptr<const NodeSnapshot>()>;

struct EngineDependencies {
  ControlPort& port;
  SessionRegistry& sessions;
  HintHub& hints;
  const Clock& clock;
  SnapshotSource snapshot;
  // Whether a file can be found again after a restart, as the file of a recipe must be. Empty:
  // every file can.
  std::function<bool(FileId)> file_lasts = {};
  // A put has read all of a file that does not last: nothing will read it again. Must not block.
  std::function<void(SessionId, FileId)> file_consumed = {};
};

class EngineService final : public v1::EngineService::CallbackService {
 public:
  EngineService(EngineDependencies dependencies, NodeFacts facts);

  // The session is over: ends its stream. Its hints and registration are the caller's business.
  void EndSession(SessionId session);
  // Ends every stream; for the time before the server is shut down.
  void EndAllStreams(const absl::Status& why) { streams_.EndAll(why); }
  // Reports of all sessions, ended ones too, that were malformed, left out by the client, or came
  // while the mailbox was full.
  uint64_t reports_dropped() const { return reports_dropped_.load(std::memory_order_relaxed); }
  const AcquireTally& acquire_tally() const { return tally_; }

  grpc::ServerUnaryReactor* GetNodeInfo(grpc::CallbackServerContext* context,
                                        const v1::GetNodeInfoRequest* request,
                                        v1::GetNodeInfoResponse* response) override;
  grpc::ServerUnaryReactor* AttachModel(grpc::CallbackServerContext* context,
                                        const v1::AttachModelRequest* request,
                                        v1::AttachModelResponse* response) override;
  grpc::ServerUnaryReactor* RegisterBlocks(grpc::CallbackServerContext* context,
                                           const v1::RegisterBlocksRequest* request,
                                           v1::RegisterBlocksResponse* response) override;
  grpc::ServerUnaryReactor* PutBlock(grpc::CallbackServerContext* context,
                                     const v1::PutBlockRequest* request,
                                     v1::PutBlockResponse* response) override;
  grpc::ServerBidiReactor<v1::SessionRequest, v1::SessionResponse>* Session(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* Acquire(grpc::CallbackServerContext* context,
                                    const v1::AcquireRequest* request,
                                    v1::AcquireResponse* response) override;
  grpc::ServerUnaryReactor* Release(grpc::CallbackServerContext* context,
                                    const v1::ReleaseRequest* request,
                                    v1::ReleaseResponse* response) override;
  grpc::ServerUnaryReactor* PullHints(grpc::CallbackServerContext* context,
                                      const v1::PullHintsRequest* request,
                                      v1::PullHintsResponse* response) override;
  grpc::ServerUnaryReactor* DetachModel(grpc::CallbackServerContext* context,
                                        const v1::DetachModelRequest* request,
                                        v1::DetachModelResponse* response) override;

 private:
  // A file that a recipe may name.
  absl::StatusOr<FileId> FindRecipeFile(SessionId session, uint32_t handle) const;
  absl::StatusOr<SessionIdentity> Authenticate(const grpc::CallbackServerContext& context);

  const NodeFacts facts_;
  const SnapshotSource snapshot_;
  const std::function<bool(FileId)> file_lasts_;
  const std::function<void(SessionId, FileId)> file_consumed_;
  RpcLedger ledger_;
  SessionStreams streams_;
  std::atomic<uint64_t> reports_dropped_{0};
  AcquireTally tally_;
  EngineParts parts_;
};

}  // namespace residency
