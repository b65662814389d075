#include "daemon/operator_service.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "daemon/convert_status.h"
#include "tests/daemon/operator_service_testing.h"

namespace residency {
namespace {

using testing::HasSubstr;

TEST_F(OperatorServiceTest, ABlockIsFoundByNumberByModelAndNameAndByAUniqueName) {
  AddModel("m", 3);
  AddModel("n", 2);
  v1::GetBlockResponse response;
  const auto get = [&](const std::string& name) {
    v1::GetBlockRequest request;
    request.set_block(name);
    return stub_->GetBlock(Context().get(), request, &response);
  };
  ASSERT_TRUE(get("4").ok());
  EXPECT_EQ(response.block().name(), "b1");
  EXPECT_EQ(response.block().model(), "n");
  ASSERT_TRUE(get("m/b1").ok());
  EXPECT_EQ(response.block().block_id(), 1u);
  ASSERT_TRUE(get("1/b0").ok());
  EXPECT_EQ(response.block().block_id(), 3u);
  ASSERT_TRUE(get("b2").ok());
  EXPECT_EQ(response.block().block_id(), 2u);
  const grpc::Status ambiguous = get("b1");
  EXPECT_EQ(ambiguous.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(ambiguous.error_message(), HasSubstr("1 (m/b1), 4 (n/b1)"));
  EXPECT_EQ(get("99").error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(get("x/b1").error_code(), grpc::StatusCode::NOT_FOUND);
}

void ExpectAddsUp(const v1::Score& score) {
  const auto near = [](double a, double b) {
    EXPECT_LE(std::abs(a - b), 1e-9 * std::max({std::abs(a), std::abs(b), 1e-9}));
  };
  double sum = 0;
  for (const v1::ScoreTerm& term : score.terms()) {
    near(term.contribution(), term.weight() * term.activity() * term.value());
    if (term.name() == "rho" || term.name() == "lambda") {
      EXPECT_EQ(term.activity(), 1);
    }
    sum += term.contribution();
  }
  near(score.numerator(), sum);
  near(score.cost_unfloored(),
       (score.alpha() * score.delta_us() + score.beta() * score.tau_us()) / score.cost_unit_us());
  near(score.cost(), std::max(1.0, score.cost_unfloored()));
  EXPECT_EQ(score.cost_floored(), score.cost_unfloored() < 1);
  near(score.r(), score.numerator() / score.cost());
  near(score.k(), score.numerator() * score.restore_us() / static_cast<double>(score.bytes()));
}

TEST_F(OperatorServiceTest, AnExplanationsFiguresAddUp) {
  const ModelId model = AddModel("m", 8);
  std::vector<Event> events = {StepMarked{SessionId(1), model, true, {}},
                               AccessReported{SessionId(1), model, Phase::kDecode, {BlockId(2)}},
                               AcquireBatch{RequestId(1000),
                                            SessionId(1),
                                            1,
                                            {BlockId(2)},
                                            AcceptMask{},
                                            TimePoint(Micros(1'000'000)),
                                            LeaseMode::kRecallable}};
  controller_->Step(TimePoint(Micros(50)), events);
  v1::ExplainBlockRequest request;
  request.set_block("m/b2");
  v1::ExplainBlockResponse response;
  const grpc::Status status = stub_->ExplainBlock(Context().get(), request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.block().block_id(), 2u);
  EXPECT_EQ(response.block().state(), v1::RESIDENCY_STATE_S5_IN_FLIGHT);
  EXPECT_EQ(response.block().in_flight_to(), v1::RESIDENCY_STATE_S0_FULL_HBM);
  ASSERT_EQ(response.now().score().terms_size(), 4);
  EXPECT_GT(response.now().score().numerator(), 0);
  ExpectAddsUp(response.now().score());
  ASSERT_GE(response.decisions_size(), 1);
  for (const v1::Decision& decision : response.decisions()) ExpectAddsUp(decision.score());
  EXPECT_EQ(response.decisions(0).verdict(), "promote");
  EXPECT_EQ(response.decisions(0).reason(), "demand");
}

TEST_F(OperatorServiceTest, MovesMustGoTheWayTheyAreCalled) {
  AddModel("m", 2);
  v1::DemoteBlockRequest demote;
  demote.set_block("0");
  demote.set_to(v1::RESIDENCY_STATE_S3_DRAM);
  v1::DemoteBlockResponse demoted;
  grpc::Status status = stub_->DemoteBlock(Context().get(), demote, &demoted);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("to: S3 is no demotion from S6"));
  v1::PromoteBlockRequest promote;
  promote.set_block("0");
  v1::PromoteBlockResponse promoted;
  for (const auto to : {v1::RESIDENCY_STATE_UNSPECIFIED, v1::RESIDENCY_STATE_S5_IN_FLIGHT,
                        v1::RESIDENCY_STATE_S6_RECOMPUTABLE}) {
    promote.set_to(to);
    status = stub_->PromoteBlock(Context().get(), promote, &promoted);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(), HasSubstr("to: "));
  }
  EXPECT_EQ(port_.Count<OperatorMove>(), 0u);
  port_.answer = [](RequestId id, const Event&) {
    return Reply{id, absl::AbortedError("vetoed: pinned"), {}};
  };
  promote.set_to(v1::RESIDENCY_STATE_S0_FULL_HBM);
  promote.set_deadline_us(~uint64_t{0});
  status = stub_->PromoteBlock(Context().get(), promote, &promoted);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(status.error_message(), "vetoed: pinned");
  EXPECT_EQ(port_.Wait<OperatorMove>()->deadline, clock_.Now() + OperatorService::kMoveDeadlineMax);
}

TEST_F(OperatorServiceTest, PinsByName) {
  AddModel("m", 2);
  port_.answer = [](RequestId id, const Event&) {
    return Reply{id, absl::OkStatus(), MovedBody{}};
  };
  v1::PinBlockRequest pin;
  pin.set_block("m/b1");
  v1::PinBlockResponse pinned;
  ASSERT_TRUE(stub_->PinBlock(Context().get(), pin, &pinned).ok());
  v1::UnpinBlockRequest unpin;
  unpin.set_block("1");
  v1::UnpinBlockResponse unpinned;
  ASSERT_TRUE(stub_->UnpinBlock(Context().get(), unpin, &unpinned).ok());
  EXPECT_TRUE(port_.Wait<OperatorPin>(0)->pin);
  EXPECT_FALSE(port_.Wait<OperatorPin>(1)->pin);
  EXPECT_EQ(port_.Wait<OperatorPin>(1)->block, BlockId(1));
}

TEST_F(OperatorServiceTest, AFullMailboxOrAnEndedControllerIsAnError) {
  v1::ListBlocksResponse page;
  port_.controller = nullptr;
  EXPECT_EQ(List({}, &page).error_code(), grpc::StatusCode::UNAVAILABLE);
  port_.set_full(true);
  EXPECT_EQ(List({}, &page).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  v1::GetBlockResponse response;
  EXPECT_EQ(stub_->GetBlock(Context().get(), {}, &response).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(OperatorServiceTest, StatusIsHealthyWhileTheControllerTicks) {
  snapshot_->tick = 9;
  PoolSnapshot& pool = snapshot_->pools.emplace_back();
  pool.name = "hbm0";
  pool.pressure = 0.97;
  v1::GetStatusResponse status;
  ASSERT_TRUE(stub_->GetStatus(Context().get(), {}, &status).ok());
  EXPECT_TRUE(status.healthy());
  EXPECT_EQ(status.ticks(), 9u);
  EXPECT_EQ(status.policy(), "residency");
  EXPECT_EQ(status.counters().events_dropped(), 17u);
  EXPECT_EQ(status.states_size(), kStateCount);
  EXPECT_THAT(status.notes(), testing::Contains(HasSubstr("nearly full")));

  clock_.Advance(kTickAgeMax + Micros(1));
  ASSERT_TRUE(stub_->GetStatus(Context().get(), {}, &status).ok());
  EXPECT_FALSE(status.healthy());
  EXPECT_THAT(status.problems(0), HasSubstr("has not ticked"));
  EXPECT_EQ(status.last_tick_age_us(), 2'000'001u);
}

TEST_F(OperatorServiceTest, StatusNamesEveryProblem) {
  snapshot_->stage_problem = "disk full";
  snapshot_->lost_blocks = 3;
  SessionSnapshot& slow = snapshot_->sessions.emplace_back();
  slow.id = SessionId(4);
  slow.recalls_open = 2;
  slow.unhealthy = true;
  snapshot_->counters.vetoes.Count(VetoReason::kPinned, ResidencyState::kS0FullHbm,
                                   ResidencyState::kS3Dram);
  v1::GetStatusResponse status;
  ASSERT_TRUE(stub_->GetStatus(Context().get(), {}, &status).ok());
  EXPECT_FALSE(status.healthy());
  EXPECT_THAT(status.problems(), testing::ElementsAre(HasSubstr("disk full"), HasSubstr("3 blocks"),
                                                      HasSubstr("session 4: 2 recalled")));
  ASSERT_EQ(status.counters().vetoes_size(), 1);
  EXPECT_EQ(status.counters().vetoes(0).reason(), "pinned");
  snapshot_ = nullptr;
  ASSERT_TRUE(stub_->GetStatus(Context().get(), {}, &status).ok());
  EXPECT_FALSE(status.healthy());
}

TEST_F(OperatorServiceTest, SessionsJoinTheRegistryAndTheController) {
  const SessionId session = sessions_.Open(FakePeer(123))->identity.id;
  SessionSnapshot& known = snapshot_->sessions.emplace_back();
  known.id = session;
  known.leased = Bytes(30);
  v1::ListSessionsResponse list;
  ASSERT_TRUE(stub_->ListSessions(Context().get(), {}, &list).ok());
  ASSERT_EQ(list.sessions_size(), 1);
  EXPECT_EQ(list.sessions(0).pid(), 123);
  EXPECT_EQ(list.sessions(0).process(), "engine");
  EXPECT_EQ(list.sessions(0).leased_bytes(), 30u);
  EXPECT_TRUE(list.sessions(0).healthy());

  v1::EndSessionRequest end;
  v1::EndSessionResponse ended;
  end.set_session_id(999);
  EXPECT_EQ(stub_->EndSession(Context().get(), end, &ended).error_code(),
            grpc::StatusCode::NOT_FOUND);
  end.set_session_id(session.value());
  ASSERT_TRUE(stub_->EndSession(Context().get(), end, &ended).ok());
  EXPECT_TRUE(ended_.contains(session));
}

TEST_F(OperatorServiceTest, ModelsCarryTheStatesOfTheirBlocks) {
  const ModelId model = AddModel("m", 5);
  snapshot_->models.push_back({.id = model,
                               .domain = DomainId(1000),
                               .name = "m",
                               .fingerprint = "f",
                               .blocks = 5,
                               .bytes = Bytes(5 * kBlockBytes)});
  v1::ListModelsResponse list;
  ASSERT_TRUE(stub_->ListModels(Context().get(), {}, &list).ok());
  ASSERT_EQ(list.models_size(), 1);
  const v1::StateCount& recomputable = list.models(0).states(6);
  EXPECT_EQ(recomputable.state(), v1::RESIDENCY_STATE_S6_RECOMPUTABLE);
  EXPECT_EQ(recomputable.blocks(), 5u);
  EXPECT_EQ(recomputable.bytes(), 5 * kBlockBytes);
}

TEST_F(OperatorServiceTest, DrainTellsTheControllerAndThenTheDaemon) {
  port_.answer = [](RequestId id, const Event&) {
    return Reply{id, absl::OkStatus(), DrainedBody{6}};
  };
  v1::DrainRequest request;
  request.set_deadline_us(5000);
  v1::DrainResponse response;
  ASSERT_TRUE(stub_->Drain(Context().get(), request, &response).ok());
  EXPECT_EQ(response.leases_held(), 6u);
  EXPECT_EQ(drain_, Micros(5000));
  EXPECT_EQ(port_.Count<OperatorDrain>(), 1u);
}

TEST_F(OperatorServiceTest, PolicyIsListedAndChanged) {
  v1::GetPolicyResponse policy;
  ASSERT_TRUE(stub_->GetPolicy(Context().get(), {}, &policy).ok());
  EXPECT_EQ(policy.values(0).source(), v1::POLICY_SOURCE_FILE);
  v1::UpdatePolicyRequest update;
  v1::UpdatePolicyResponse updated;
  EXPECT_EQ(stub_->UpdatePolicy(Context().get(), update, &updated).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  (*update.mutable_values())["nope"] = "1";
  EXPECT_EQ(stub_->UpdatePolicy(Context().get(), update, &updated).error_code(),
            grpc::StatusCode::NOT_FOUND);
  (*update.mutable_values())["w1"] = "0.5";
  ASSERT_TRUE(stub_->UpdatePolicy(Context().get(), update, &updated).ok());
  EXPECT_EQ(updated.values(0).value(), "0.5");
  EXPECT_EQ(updated.values(0).source(), v1::POLICY_SOURCE_OPERATOR);
}

}  // namespace
}  // namespace residency
