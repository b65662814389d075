// What operators ask: the handlers of the operator port, called without a socket, over a real
// controller with a model of 24 blocks that one engine uses meanwhile. The kind of a frame: bits 0
// to 4 what it is (Act), bit 7 "the caller goes away at once".
#include <google/protobuf/stubs/logging.h>
#include <grpcpp/server_context.h>
#include <grpcpp/test/default_reactor_test_peer.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/node_snapshot.h"
#include "daemon/operator_service.h"
#include "daemon/policy_store.h"
#include "daemon/session_registry.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/fuzz_node.h"

namespace residency {
namespace {

using fuzz::Check;

// The controller of the node, on this thread.
class NodePort final : public ControlPort {
 public:
  explicit NodePort(FakeNode& node) : node_(node) {
    node_.set_observer([this](const Command& command) { OnCommand(command); });
  }

  void Call(std::function<Event(RequestId)> make, ReplyHandler handler) override {
    const RequestId id = node_.NextRequest();
    handlers_.emplace(id, std::move(handler));
    node_.Post(make(id));
  }
  bool Post(Event event) override {
    node_.Post(std::move(event));
    return true;
  }
  bool Ask(Question question) override {
    question(&node_.controller());
    return true;
  }

  // Those that are left, as when the daemon ends.
  void EndAll() {
    for (auto& [id, handler] : std::exchange(handlers_, {})) {
      handler(Reply{id, absl::UnavailableError("the daemon ends"), {}});
    }
  }

 private:
  void OnCommand(const Command& command) {
    const auto* reply = std::get_if<Reply>(&command);
    if (reply == nullptr) return;
    const auto found = handlers_.find(reply->request);
    if (found == handlers_.end()) return;
    const ReplyHandler handler = std::move(found->second);
    handlers_.erase(found);
    handler(*reply);
  }

  FakeNode& node_;
  std::map<RequestId, ReplyHandler> handlers_;
};

// One call, kept for as long as somebody may still answer it.
struct AnyCall {
  AnyCall() : peer(&context) {}
  virtual ~AnyCall() = default;

  grpc::CallbackServerContext context;
  grpc::testing::DefaultReactorTestPeer peer;
  grpc::ServerUnaryReactor* reactor = nullptr;
};
template <class Request, class Response>
struct TypedCall final : AnyCall {
  Request request;
  Response response;
};

class Operators {
 public:
  Operators() {
    node_.Post(SessionOpened{kEngine, DomainId(7)});
    node_.Post(ModelAttach{node_.NextRequest(), kEngine, "m", "print", KiB(64), KiB(32), {}});
    node_.Step();
    BlocksRegister blocks{node_.NextRequest(), kEngine, ModelId(0), {}};
    for (uint32_t i = 0; i < kBlocks; ++i) {
      BlockSpec spec;
      spec.name = absl::StrCat("b", i);
      spec.bytes = KiB(8 + i % 3);
      spec.layer = static_cast<int32_t>(i % 4);
      spec.expert = static_cast<int32_t>(i / 4);
      spec.recipe = {.kind = RecipeKind::kSynthetic, .file = {}, .seed = i};
      blocks.blocks.push_back(std::move(spec));
    }
    node_.Post(std::move(blocks));
    node_.Step();
  }
  ~Operators() {
    port_.EndAll();
    for (const auto& call : calls_) {
      if (call->reactor == call->peer.reactor()) continue;
      call->reactor->OnCancel();
      call->reactor->OnDone();
    }
  }

  void Take(const fuzz::Frame& frame) {
    const size_t before = calls_.size();
    Act(frame.kind & 31, frame.payload);
    if ((frame.kind & 0x80) != 0 && calls_.size() > before) calls_.back()->reactor->OnCancel();
    node_.Step();
  }

 private:
  static constexpr uint32_t kBlocks = 24;
  static constexpr SessionId kEngine{1};
  using Service = OperatorService;

  template <class Request, class Response>
  void Call(Service::Reactor* (Service::*method)(Service::Context*, const Request*, Response*),
            const std::string& payload) {
    auto call = std::make_unique<TypedCall<Request, Response>>();
    if (!call->request.ParseFromString(payload)) return;
    call->reactor = (service_.*method)(&call->context, &call->request, &call->response);
    Check(call->reactor != nullptr, "a call has a reactor");
    Check(call->reactor != call->peer.reactor() || call->peer.test_status_set(),
          "what can be answered at once is");
    calls_.push_back(std::move(call));
  }

  // Calls, in the order in which the service declares them; then what happens beside them.
  void Act(int act, const std::string& payload) {
    switch (act) {
      case 0:
        return Call(&Service::GetStatus, payload);
      case 1:
        return Call(&Service::ListBlocks, payload);
      case 2:
        return Call(&Service::GetBlock, payload);
      case 3:
        return Call(&Service::ExplainBlock, payload);
      case 4:
        return Call(&Service::ListModels, payload);
      case 5:
        return Call(&Service::ListPools, payload);
      case 6:
        return Call(&Service::ListSessions, payload);
      case 7:
        return Call(&Service::EndSession, payload);
      case 8:
        return Call(&Service::PinBlock, payload);
      case 9:
        return Call(&Service::UnpinBlock, payload);
      case 10:
        return Call(&Service::PromoteBlock, payload);
      case 11:
        return Call(&Service::DemoteBlock, payload);
      case 12:
        return Call(&Service::Drain, payload);
      case 13:
        return Call(&Service::GetPolicy, payload);
      case 14:
        return Call(&Service::UpdatePolicy, payload);
      case 15:
        return Acquire(payload);
      case 16:
        return node_.Post(LeasesReleased{{}, kEngine, node_.LeasesOf(kEngine)});
      default:
        node_.Advance(patience_.Spend(Micros(int64_t{act - 16} * 10'000)), true);
    }
  }

  void Acquire(const std::string& payload) {
    const uint32_t first = payload.empty() ? 0 : static_cast<uint8_t>(payload[0]) % kBlocks;
    AcquireBatch batch;
    batch.request = node_.NextRequest();
    batch.session = kEngine;
    batch.client_request = ++acquires_;
    batch.blocks = {BlockId(first)};
    batch.accepts.hbm_full = true;
    batch.deadline = node_.now() + Micros(50'000);
    node_.Post(std::move(batch));
  }

  FakeNode node_{fuzz::NodeOptions()};
  NodePort port_{node_};
  SessionRegistry sessions_{SessionLimits{}};
  PolicyStore policy_{
      PolicyConfig(), {}, [this](const PolicyConfig& p) { node_.Post(PolicyChanged{p}); }};
  ManualClock clock_;
  Service service_{
      OperatorDependencies{.port = port_,
                           .sessions = sessions_,
                           .policy = policy_,
                           .clock = clock_,
                           .snapshot =
                               [this] {
                                 return TakeSnapshot(node_.controller(), {"host", "host", "pread"},
                                                     node_.now(), Micros(0));
                               },
                           .policy_name = "residency",
                           .reports_dropped = [] { return uint64_t{0}; },
                           .file_names = nullptr,
                           .end_session = [](SessionId) {},
                           .begin_drain = [](Micros) {}},
      NodeFacts{
          .instance = std::string(16, 'i'), .version = "1", .side_socket_path = "", .limits = {}}};
  fuzz::Patience patience_;
  uint64_t acquires_ = 0;
  std::deque<std::unique_ptr<AnyCall>> calls_;
};

}  // namespace
}  // namespace residency

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // It complains of every text that is not UTF-8.
  [[maybe_unused]] static auto* const loud = google::protobuf::SetLogHandler(nullptr);
  residency::Operators operators;
  residency::fuzz::Frames frames(data, size);
  residency::fuzz::Frame frame;
  while (frames.Next(&frame)) operators.Take(frame);
  return 0;
}
