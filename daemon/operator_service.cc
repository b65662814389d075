#include "daemon/operator_service.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/convert.h"
#include "daemon/convert_status.h"
#include "daemon/rpc_unary.h"

namespace residency {
namespace {

v1::PolicySource ToProto(PolicySource source) {
  switch (source) {
    case PolicySource::kDefault:
      return v1::POLICY_SOURCE_DEFAULT;
    case PolicySource::kFile:
      return v1::POLICY_SOURCE_FILE;
    case PolicySource::kOperator:
      return v1::POLICY_SOURCE_OPERATOR;
  }
  return v1::POLICY_SOURCE_UNSPECIFIED;
}

template <class Response>
void AddPolicy(PolicyAdmin& policy, Response& response) {
  for (const PolicyEntry& entry : policy.List()) {
    v1::PolicyValue& value = *response.add_values();
    value.set_key(entry.key);
    value.set_value(entry.value);
    value.set_source(ToProto(entry.source));
    value.set_description(entry.description);
  }
}

// What was asked for, cut to `longest`; `otherwise` where nothing was.
Micros DeadlineOf(uint64_t asked_us, Micros otherwise, Micros longest) {
  if (asked_us == 0) return otherwise;
  return Micros(static_cast<int64_t>(std::min(asked_us, static_cast<uint64_t>(longest.count()))));
}

// Whether the move goes the way that its name says.
absl::Status CheckDirection(const Controller& controller, BlockId block, ResidencyState to,
                            bool promote) {
  const ResidencyState from = controller.state().table.SettledState(block);
  if (promote ? to < from : to > from) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "to: ", Name(to), " is no ", promote ? "promotion" : "demotion", " from ", Name(from),
      ", where the block is: wanted is a ",
      promote ? "hotter state, with a lower" : "colder state, with a higher", " number"));
}

}  // namespace

// ---------------------------------------------------------------- the node

OperatorService::Reactor* OperatorService::GetStatus(Context* context, const v1::GetStatusRequest*,
                                                     v1::GetStatusResponse* response) {
  const auto snapshot = d_.snapshot();
  *response =
      DescribeStatus(snapshot.get(), d_.sessions.List(), d_.reports_dropped(), d_.clock.Now());
  response->set_version(facts_.version);
  response->set_daemon_instance(facts_.instance);
  response->set_policy(d_.policy_name);
  return FinishNow(context, absl::OkStatus());
}

OperatorService::Reactor* OperatorService::ListPools(Context* context, const v1::ListPoolsRequest*,
                                                     v1::ListPoolsResponse* response) {
  const auto snapshot = d_.snapshot();
  if (snapshot == nullptr) {
    return FinishNow(context, absl::UnavailableError("the daemon is starting: try again"));
  }
  for (const PoolSnapshot& pool : snapshot->pools) *response->add_pools() = ToProto(pool);
  return FinishNow(context, absl::OkStatus());
}

OperatorService::Reactor* OperatorService::ListModels(Context* context,
                                                      const v1::ListModelsRequest*,
                                                      v1::ListModelsResponse* response) {
  const auto snapshot = d_.snapshot();
  if (snapshot == nullptr) {
    return FinishNow(context, absl::UnavailableError("the daemon is starting: try again"));
  }
  for (const ModelSnapshot& model : snapshot->models) *response->add_models() = ToProto(model);
  Reactor* const reactor = context->DefaultReactor();
  Scan(d_.port, {.step = CountModelStates(response),
                 .abandoned = [context] { return context->IsCancelled(); },
                 .done = [reactor](const absl::Status& s) { reactor->Finish(ToGrpc(s)); }});
  return reactor;
}

OperatorService::Reactor* OperatorService::ListSessions(Context* context,
                                                        const v1::ListSessionsRequest*,
                                                        v1::ListSessionsResponse* response) {
  const auto snapshot = d_.snapshot();
  for (v1::SessionInfo& session :
       DescribeSessions(d_.sessions.List(), snapshot.get(), std::chrono::system_clock::now())) {
    *response->add_sessions() = std::move(session);
  }
  return FinishNow(context, absl::OkStatus());
}

OperatorService::Reactor* OperatorService::EndSession(Context* context,
                                                      const v1::EndSessionRequest* request,
                                                      v1::EndSessionResponse*) {
  const SessionId session(request->session_id());
  const std::vector<SessionInfo> sessions = d_.sessions.List();
  if (std::ranges::find(sessions, session, &SessionInfo::id) == sessions.end()) {
    return FinishNow(context, absl::NotFoundError(
                                  absl::StrCat("session_id: no session ", request->session_id(),
                                               "; 'residencyctl sessions' lists those there are")));
  }
  d_.end_session(session);
  return FinishNow(context, absl::OkStatus());
}

OperatorService::Reactor* OperatorService::Drain(Context*, const v1::DrainRequest* request,
                                                 v1::DrainResponse* response) {
  const Micros deadline =
      DeadlineOf(request->deadline_us(), facts_.limits.drain_deadline, kDrainDeadlineMax);
  const std::shared_ptr<WaitingCall> call = WaitingCall::Start();
  CallController<DrainedBody>(d_.port, OperatorDrain{}, call,
                              [this, deadline, response](const DrainedBody& drained) {
                                response->set_leases_held(drained.leases_held);
                                d_.begin_drain(deadline);
                              });
  return call.get();
}

OperatorService::Reactor* OperatorService::GetPolicy(Context* context, const v1::GetPolicyRequest*,
                                                     v1::GetPolicyResponse* response) {
  AddPolicy(d_.policy, *response);
  return FinishNow(context, absl::OkStatus());
}

OperatorService::Reactor* OperatorService::UpdatePolicy(Context* context,
                                                        const v1::UpdatePolicyRequest* request,
                                                        v1::UpdatePolicyResponse* response) {
  if (request->values().empty()) {
    return FinishNow(context, absl::InvalidArgumentError("values: must set at least one key"));
  }
  const std::map<std::string, std::string> values(request->values().begin(),
                                                  request->values().end());
  if (absl::Status updated = d_.policy.Update(values); !updated.ok()) {
    return FinishNow(context, updated);
  }
  AddPolicy(d_.policy, *response);
  return FinishNow(context, absl::OkStatus());
}

// ---------------------------------------------------------------- blocks

OperatorService::Reactor* OperatorService::ListMisses(Context* context,
                                                      const v1::ListMissesRequest* request,
                                                      v1::ListMissesResponse* response) {
  response->set_half_life_us(AcquireTally::kHalfLife.count());
  if (d_.tally == nullptr) return FinishNow(context, absl::OkStatus());
  const uint32_t limit =
      request->limit() == 0 ? kMissesDefault : std::min(request->limit(), kMissesMax);
  Reactor* const reactor = context->DefaultReactor();
  Scan(d_.port, {.step = DescribeMisses(d_.tally->Read(limit, d_.clock.Now()), response),
                 .abandoned = [context] { return context->IsCancelled(); },
                 .done = [reactor](const absl::Status& s) { reactor->Finish(ToGrpc(s)); }});
  return reactor;
}

OperatorService::Reactor* OperatorService::ListBlocks(Context* context,
                                                      const v1::ListBlocksRequest* request,
                                                      v1::ListBlocksResponse* response) {
  absl::StatusOr<BlockFilter> filter = BlockFilter::From(*request);
  if (!filter.ok()) return FinishNow(context, filter.status());
  Reactor* const reactor = context->DefaultReactor();
  Scan(d_.port, {.step = FillPage(*std::move(filter), d_.file_names, response),
                 .abandoned = [context] { return context->IsCancelled(); },
                 .done = [reactor](const absl::Status& s) { reactor->Finish(ToGrpc(s)); }});
  return reactor;
}

OperatorService::Reactor* OperatorService::GetBlock(Context* context,
                                                    const v1::GetBlockRequest* request,
                                                    v1::GetBlockResponse* response) {
  Reactor* const reactor = context->DefaultReactor();
  AskForBlock(d_.port, request->block(),
              [this, reactor, response](const Controller* controller,
                                        const absl::StatusOr<BlockId>& block) {
                if (block.ok()) {
                  *response->mutable_block() = DescribeBlock(*controller, *block, d_.file_names);
                }
                reactor->Finish(ToGrpc(block.status()));
              });
  return reactor;
}

OperatorService::Reactor* OperatorService::ExplainBlock(Context* context,
                                                        const v1::ExplainBlockRequest* request,
                                                        v1::ExplainBlockResponse* response) {
  Reactor* const reactor = context->DefaultReactor();
  AskForBlock(d_.port, request->block(),
              [this, reactor, response](const Controller* controller,
                                        const absl::StatusOr<BlockId>& block) {
                if (!block.ok()) return reactor->Finish(ToGrpc(block.status()));
                const TimePoint now = d_.clock.Now();
                const Explanation explanation = controller->Explain(*block, kDecisionsMax);
                *response->mutable_block() = DescribeBlock(*controller, *block, d_.file_names);
                *response->mutable_now() = DescribeDecision(*controller, explanation.now, now);
                for (const Decision& decision : explanation.decisions) {
                  *response->add_decisions() = DescribeDecision(*controller, decision, now);
                }
                reactor->Finish(grpc::Status::OK);
              });
  return reactor;
}

OperatorService::Reactor* OperatorService::SetPin(const std::string& name, bool pin) {
  const std::shared_ptr<WaitingCall> call = WaitingCall::Start();
  AskForBlock(
      d_.port, name, [this, call, pin](const Controller*, const absl::StatusOr<BlockId>& block) {
        if (!block.ok()) return call->End([&] { return block.status(); });
        CallController<MovedBody>(d_.port, OperatorPin{.request = {}, .block = *block, .pin = pin},
                                  call, [](const MovedBody&) {});
      });
  return call.get();
}

OperatorService::Reactor* OperatorService::PinBlock(Context*, const v1::PinBlockRequest* request,
                                                    v1::PinBlockResponse*) {
  return SetPin(request->block(), true);
}

OperatorService::Reactor* OperatorService::UnpinBlock(Context*,
                                                      const v1::UnpinBlockRequest* request,
                                                      v1::UnpinBlockResponse*) {
  return SetPin(request->block(), false);
}

OperatorService::Reactor* OperatorService::MoveBlock(
    Context* context, const Move& move, std::function<void(v1::ResidencyState)> set_state) {
  const absl::StatusOr<ResidencyState> to = StateFromProto(move.to, "to");
  if (!to.ok()) return FinishNow(context, to.status());
  if (!IsSettled(*to)) {
    return FinishNow(
        context, absl::InvalidArgumentError("to: S5 is not a place, but being on the way to one"));
  }
  const Micros wait = DeadlineOf(move.deadline_us, kMoveDeadlineDefault, kMoveDeadlineMax);
  const std::shared_ptr<WaitingCall> call = WaitingCall::Start();
  AskForBlock(
      d_.port, move.block,
      [this, call, wait, to = *to, promote = move.promote, set_state = std::move(set_state)](
          const Controller* controller, const absl::StatusOr<BlockId>& block) {
        if (!block.ok()) return call->End([&] { return block.status(); });
        const absl::Status ok = CheckDirection(*controller, *block, to, promote);
        if (!ok.ok()) return call->End([&] { return ok; });
        CallController<MovedBody>(
            d_.port,
            OperatorMove{
                .request = {}, .block = *block, .to = to, .deadline = d_.clock.Now() + wait},
            call, [set_state](const MovedBody& moved) { set_state(ToProto(moved.state)); });
      });
  return call.get();
}

OperatorService::Reactor* OperatorService::PromoteBlock(Context* context,
                                                        const v1::PromoteBlockRequest* request,
                                                        v1::PromoteBlockResponse* response) {
  return MoveBlock(context,
                   {.block = request->block(),
                    .to = request->to(),
                    .deadline_us = request->deadline_us(),
                    .promote = true},
                   [response](v1::ResidencyState state) { response->set_state(state); });
}

OperatorService::Reactor* OperatorService::DemoteBlock(Context* context,
                                                       const v1::DemoteBlockRequest* request,
                                                       v1::DemoteBlockResponse* response) {
  return MoveBlock(context,
                   {.block = request->block(),
                    .to = request->to(),
                    .deadline_us = request->deadline_us(),
                    .promote = false},
                   [response](v1::ResidencyState state) { response->set_state(state); });
}

}  // namespace residency
