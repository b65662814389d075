// The operator port, which residencyctl calls. Reads come from the snapshot where that has them,
// else from questions to the controller between two steps; no handler waits for anything.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/clock.h"
#include "daemon/acquire_tally.h"
#include "daemon/control_port.h"
#include "daemon/engine_service.h"
#include "daemon/operator_service_blocks.h"
#include "daemon/policy_admin.h"
#include "daemon/session_registry.h"
#include "residency/v1/operator.grpc.pb.h"

namespace residency {

struct OperatorDependencies {
  ControlPort& port;
  SessionRegistry& sessions;
  PolicyAdmin& policy;
  const Clock& clock;
  SnapshotSource snapshot;
  std::string policy_name;
  std::function<uint64_t()> reports_dropped;
  FileNames file_names;  // may be null
  // Null: nothing is known of what engines wait for.
  const AcquireTally* tally = nullptr;
  // Thread-safe; neither may block. A drain's deadline counts from now.
  std::function<void(SessionId)> end_session;
  std::function<void(Micros deadline)> begin_drain;
};

class OperatorService final : public v1::OperatorService::CallbackService {
 public:
  // Of a promotion or demotion; where none is asked for, the first.
  static constexpr Micros kMoveDeadlineDefault{30'000'000};
  static constexpr Micros kMoveDeadlineMax{600'000'000};
  static constexpr Micros kDrainDeadlineMax{24ll * 3600 * 1'000'000};
  // Past decisions that an explanation carries.
  static constexpr size_t kDecisionsMax = 16;
  // Blocks in an answer of ListMisses; where no number is asked for, the first.
  static constexpr uint32_t kMissesDefault = 20;
  static constexpr uint32_t kMissesMax = 1000;

  OperatorService(OperatorDependencies dependencies, NodeFacts facts)
      : d_(std::move(dependencies)), facts_(std::move(facts)) {}

  using Context = grpc::CallbackServerContext;
  using Reactor = grpc::ServerUnaryReactor;

  Reactor* GetStatus(Context* context, const v1::GetStatusRequest* request,
                     v1::GetStatusResponse* response) override;
  Reactor* ListBlocks(Context* context, const v1::ListBlocksRequest* request,
                      v1::ListBlocksResponse* response) override;
  Reactor* GetBlock(Context* context, const v1::GetBlockRequest* request,
                    v1::GetBlockResponse* response) override;
  Reactor* ExplainBlock(Context* context, const v1::ExplainBlockRequest* request,
                        v1::ExplainBlockResponse* response) override;
  Reactor* ListModels(Context* context, const v1::ListModelsRequest* request,
                      v1::ListModelsResponse* response) override;
  Reactor* ListPools(Context* context, const v1::ListPoolsRequest* request,
                     v1::ListPoolsResponse* response) override;
  Reactor* ListMisses(Context* context, const v1::ListMissesRequest* request,
                      v1::ListMissesResponse* response) override;
  Reactor* ListSessions(Context* context, const v1::ListSessionsRequest* request,
                        v1::ListSessionsResponse* response) override;
  Reactor* EndSession(Context* context, const v1::EndSessionRequest* request,
                      v1::EndSessionResponse* response) override;
  Reactor* PinBlock(Context* context, const v1::PinBlockRequest* request,
                    v1::PinBlockResponse* response) override;
  Reactor* UnpinBlock(Context* context, const v1::UnpinBlockRequest* request,
                      v1::UnpinBlockResponse* response) override;
  Reactor* PromoteBlock(Context* context, const v1::PromoteBlockRequest* request,
                        v1::PromoteBlockResponse* response) override;
  Reactor* DemoteBlock(Context* context, const v1::DemoteBlockRequest* request,
                       v1::DemoteBlockResponse* response) override;
  Reactor* Drain(Context* context, const v1::DrainRequest* request,
                 v1::DrainResponse* response) override;
  Reactor* GetPolicy(Context* context, const v1::GetPolicyRequest* request,
                     v1::GetPolicyResponse* response) override;
  Reactor* UpdatePolicy(Context* context, const v1::UpdatePolicyRequest* request,
                        v1::UpdatePolicyResponse* response) override;

 private:
  struct Move {
    std::string block;
    int to = 0;
    uint64_t deadline_us = 0;
    bool promote = false;
  };
  Reactor* MoveBlock(Context* context, const Move& move,
                     std::function<void(v1::ResidencyState)> set_state);
  Reactor* SetPin(const std::string& block, bool pin);

  const OperatorDependencies d_;
  const NodeFacts facts_;
};

}  // namespace residency
