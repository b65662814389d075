// An operator port served on a socket, over a real controller.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/clock.h"
#include "daemon/operator_service.h"
#include "tests/daemon/rpc_testing.h"

namespace residency {

inline constexpr uint64_t kBlockBytes = 4096;

class FakePolicy final : public PolicyAdmin {
 public:
  std::vector<PolicyEntry> List() override { return {entry}; }
  absl::Status Update(const std::map<std::string, std::string>& values) override {
    if (!values.contains("w1")) return absl::NotFoundError("no such key");
    entry.value = values.at("w1");
    entry.source = PolicySource::kOperator;
    return absl::OkStatus();
  }
  PolicyEntry entry{"w1", "0.4", PolicySource::kFile, "weight of rho"};
};

class OperatorServiceTest : public testing::Test {
 protected:
  void SetUp() override {
    controller_ = std::make_unique<Controller>(std::vector<PoolOptions>{{.id = PoolId(0),
                                                                         .tier = Tier::kHbm,
                                                                         .name = "hbm0",
                                                                         .capacity = MiB(64),
                                                                         .segment_bytes = MiB(16)},
                                                                        {.id = PoolId(1),
                                                                         .tier = Tier::kDram,
                                                                         .name = "dram",
                                                                         .capacity = MiB(64),
                                                                         .segment_bytes = MiB(16)}},
                                               PolicyConfig());
    port_.controller = controller_.get();
    snapshot_ = std::make_shared<NodeSnapshot>();
    service_ = std::make_unique<OperatorService>(
        OperatorDependencies{.port = port_,
                             .sessions = sessions_,
                             .policy = policy_,
                             .clock = clock_,
                             .snapshot = [this] { return snapshot_; },
                             .policy_name = "residency",
                             .reports_dropped = [] { return uint64_t{17}; },
                             .file_names = nullptr,
                             .tally = &tally_,
                             .end_session = [this](SessionId id) { ended_.insert(id); },
                             .begin_drain = [this](Micros deadline) { drain_ = deadline; }},
        NodeFacts{.instance = std::string(16, 'i'),
                  .version = "1.2.3",
                  .side_socket_path = "",
                  .limits = {}});
    server_ = Serve(dir_.File("operator.sock"), *service_);
    stub_ = v1::OperatorService::NewStub(ConnectTo(dir_.File("operator.sock")));
  }
  void TearDown() override {
    if (server_ != nullptr) server_->Shutdown(Micros(0));
  }

  // Adds a model with blocks "b0", "b1", ... of layer i % 4. Not while a call is under way.
  ModelId AddModel(const std::string& name, uint32_t blocks) {
    const uint64_t request = ++requests_ * 10;
    const SessionId session(1);
    std::vector<Event> events;
    events.push_back(SessionOpened{session, DomainId(1000)});
    events.push_back(ModelAttach{RequestId(request), session, name, "print of " + name,
                                 Bytes(1 << 20), Bytes(1 << 20), AcceptMask{}});
    ModelId model;
    for (const Command& command : controller_->Step(TimePoint(Micros(1)), events)) {
      const Reply* const reply = std::get_if<Reply>(&command);
      if (reply != nullptr) model = std::get<AttachedBody>(reply->body).model;
    }
    BlocksRegister blocks_event{
        .request = RequestId(request + 1), .session = session, .model = model, .blocks = {}};
    for (uint32_t i = 0; i < blocks; ++i) {
      BlockSpec spec;
      spec.name = absl::StrCat("b", i);
      spec.bytes = Bytes(kBlockBytes);
      spec.layer = static_cast<int32_t>(i % 4);
      spec.recipe = {.kind = RecipeKind::kSynthetic, .file = {}, .seed = i};
      blocks_event.blocks.push_back(std::move(spec));
    }
    controller_->Step(TimePoint(Micros(2)), std::vector<Event>{blocks_event});
    return model;
  }

  std::unique_ptr<grpc::ClientContext> Context() {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + kTestDeadline);
    return context;
  }
  grpc::Status List(v1::ListBlocksRequest request, v1::ListBlocksResponse* response) {
    response->Clear();
    return stub_->ListBlocks(Context().get(), request, response);
  }

  TempDir dir_;
  FakePort port_;
  SessionRegistry sessions_{SessionLimits{}};
  FakePolicy policy_;
  ManualClock clock_;
  AcquireTally tally_{[](const GrantedLease&) { return ResidencyState::kS0FullHbm; }};
  std::unique_ptr<Controller> controller_;
  std::shared_ptr<NodeSnapshot> snapshot_;
  std::set<SessionId> ended_;
  std::optional<Micros> drain_;
  uint64_t requests_ = 0;
  std::unique_ptr<OperatorService> service_;
  std::unique_ptr<GrpcServer> server_;
  std::unique_ptr<v1::OperatorService::Stub> stub_;
};

}  // namespace residency
