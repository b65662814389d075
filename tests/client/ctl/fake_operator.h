// A daemon's operator port on a socket of its own, answering from plain members.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <vector>

#include "client/ctl/terminal.h"
#include "grpcpp/grpcpp.h"
#include "residency/v1/operator.grpc.pb.h"

namespace residency::ctl {

// A directory that goes with the test. Sockets need short paths.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string Path(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Blocks are known by number or name. Set the members before the calls; handlers read them and
// append to `calls`, which names each call with what it carried.
class FakeOperator final : public v1::OperatorService::Service {
 public:
  FakeOperator();
  ~FakeOperator() override;

  const std::string& socket() const { return socket_; }
  void Stop();

  v1::GetStatusResponse status;
  v1::ListSessionsResponse sessions;
  v1::ListModelsResponse models;
  v1::ListPoolsResponse pools;
  v1::ListMissesResponse misses;
  std::vector<v1::BlockInfo> blocks;
  v1::ExplainBlockResponse explanation;
  v1::GetPolicyResponse policy;
  grpc::Status move_result;
  // Answers nothing until the client gives up.
  bool hangs = false;
  std::function<void()> on_drain;

  std::vector<std::string> calls() const;

  grpc::Status GetStatus(grpc::ServerContext* context, const v1::GetStatusRequest* request,
                         v1::GetStatusResponse* response) override;
  grpc::Status ListBlocks(grpc::ServerContext* context, const v1::ListBlocksRequest* request,
                          v1::ListBlocksResponse* response) override;
  grpc::Status GetBlock(grpc::ServerContext* context, const v1::GetBlockRequest* request,
                        v1::GetBlockResponse* response) override;
  grpc::Status ExplainBlock(grpc::ServerContext* context, const v1::ExplainBlockRequest* request,
                            v1::ExplainBlockResponse* response) override;
  grpc::Status ListModels(grpc::ServerContext* context, const v1::ListModelsRequest* request,
                          v1::ListModelsResponse* response) override;
  grpc::Status ListPools(grpc::ServerContext* context, const v1::ListPoolsRequest* request,
                         v1::ListPoolsResponse* response) override;
  grpc::Status ListMisses(grpc::ServerContext* context, const v1::ListMissesRequest* request,
                          v1::ListMissesResponse* response) override;
  grpc::Status ListSessions(grpc::ServerContext* context, const v1::ListSessionsRequest* request,
                            v1::ListSessionsResponse* response) override;
  grpc::Status EndSession(grpc::ServerContext* context, const v1::EndSessionRequest* request,
                          v1::EndSessionResponse* response) override;
  grpc::Status PinBlock(grpc::ServerContext* context, const v1::PinBlockRequest* request,
                        v1::PinBlockResponse* response) override;
  grpc::Status PromoteBlock(grpc::ServerContext* context, const v1::PromoteBlockRequest* request,
                            v1::PromoteBlockResponse* response) override;
  grpc::Status DemoteBlock(grpc::ServerContext* context, const v1::DemoteBlockRequest* request,
                           v1::DemoteBlockResponse* response) override;
  grpc::Status Drain(grpc::ServerContext* context, const v1::DrainRequest* request,
                     v1::DrainResponse* response) override;
  grpc::Status GetPolicy(grpc::ServerContext* context, const v1::GetPolicyRequest* request,
                         v1::GetPolicyResponse* response) override;
  grpc::Status UpdatePolicy(grpc::ServerContext* context, const v1::UpdatePolicyRequest* request,
                            v1::UpdatePolicyResponse* response) override;

 private:
  void Record(std::string call);
  const v1::BlockInfo* Find(const std::string& block) const;
  grpc::Status Require(const std::string& block) const;

  TempDir dir_;
  const std::string socket_;
  mutable std::mutex mutex_;
  std::vector<std::string> calls_;  // Guarded by mutex_.
  std::unique_ptr<grpc::Server> server_;
};

// What a run of residencyctl left behind.
struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
};

// Runs residencyctl in this process. `tune` may make it a terminal.
Outcome RunWith(std::vector<std::string> arguments,
                const std::function<void(Environment&)>& tune = nullptr);

}  // namespace residency::ctl
