// An engine port served on a socket, with one session.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "core/clock.h"
#include "daemon/engine_service.h"
#include "tests/daemon/rpc_testing.h"

namespace residency {

class EngineServiceTest : public testing::Test {
 protected:
  using ClientStream = grpc::ClientReaderWriter<v1::SessionRequest, v1::SessionResponse>;

  void SetUp() override {
    opened_ = *sessions_.Open(FakePeer(11));
    hints_.Open(session());
    snapshot_ = std::make_shared<NodeSnapshot>();
    NodeFacts facts{.instance = std::string(16, 'i'),
                    .version = "1.2.3",
                    .side_socket_path = "/side.sock",
                    .limits = {}};
    facts.limits.hints_per_session = 4;
    service_ = std::make_unique<EngineService>(
        EngineDependencies{.port = port_,
                           .sessions = sessions_,
                           .hints = hints_,
                           .clock = clock_,
                           .snapshot = [this] { return snapshot_; }},
        facts);
    server_ = Serve(dir_.File("engine.sock"), *service_);
    stub_ = v1::EngineService::NewStub(ConnectTo(dir_.File("engine.sock")));
  }
  void TearDown() override {
    if (server_ != nullptr) server_->Shutdown(Micros(0));
  }

  SessionId session() const { return opened_.identity.id; }
  std::unique_ptr<grpc::ClientContext> Context(bool with_token = true) {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + kTestDeadline);
    if (with_token) {
      context->AddMetadata("residency-token-bin", std::string(TokenBytes(opened_.token)));
    }
    return context;
  }

  // A stream that was opened, with what is needed to end it.
  struct Stream {
    std::unique_ptr<grpc::ClientContext> context;
    std::unique_ptr<ClientStream> calls;
    uint64_t sequence = 0;

    bool Write(v1::SessionRequest request) {
      request.set_sequence(++sequence);
      return calls->Write(request);
    }
    v1::SessionResponse Read() {
      v1::SessionResponse response;
      EXPECT_TRUE(calls->Read(&response)) << "the stream has ended";
      return response;
    }
    // Reads on until the end.
    grpc::Status End() {
      v1::SessionResponse response;
      while (calls->Read(&response)) {
      }
      return calls->Finish();
    }
  };
  Stream Start() {
    Stream stream;
    stream.context = Context();
    stream.calls = stub_->Session(stream.context.get());
    return stream;
  }
  Stream Open(std::vector<uint64_t> held = {}) {
    Stream stream = Start();
    v1::SessionRequest request;
    request.mutable_open()->mutable_held_lease_ids()->Add(held.begin(), held.end());
    EXPECT_TRUE(stream.Write(request));
    EXPECT_EQ(stream.Read().opened().session_id(), session().value());
    return stream;
  }
  static v1::SessionRequest AcquireRequest(uint64_t id) {
    v1::SessionRequest request;
    request.mutable_acquire()->set_request_id(id);
    request.mutable_acquire()->add_block_ids(1);
    request.mutable_acquire()->set_deadline_us(1'000'000);
    return request;
  }
  static v1::SessionRequest Access(uint32_t block) {
    v1::SessionRequest request;
    request.mutable_access()->set_phase(v1::PHASE_DECODE);
    request.mutable_access()->add_block_ids(block);
    return request;
  }
  static GrantedBody Granted(uint64_t lease) {
    GrantedBody body;
    body.leases.push_back({.lease = LeaseId(lease),
                           .block = BlockId(1),
                           .place = {.pool = PoolId(0), .extent = {}, .regions = {}},
                           .bytes = Bytes(8),
                           .generation = Generation(1),
                           .layout = "row"});
    return body;
  }
  // Until the daemon has noticed that the session's stream is over.
  bool AwaitStreamClosed() {
    const auto give_up = std::chrono::steady_clock::now() + kTestDeadline;
    while (sessions_.List().front().stream_open) {
      if (std::chrono::steady_clock::now() > give_up) return false;
      std::this_thread::yield();
    }
    return true;
  }

  TempDir dir_;
  FakePort port_;
  SessionRegistry sessions_{SessionLimits{}};
  HintHub hints_{4};
  ManualClock clock_;
  SessionRegistry::Opened opened_;
  std::shared_ptr<NodeSnapshot> snapshot_;
  std::unique_ptr<EngineService> service_;
  std::unique_ptr<GrpcServer> server_;
  std::unique_ptr<v1::EngineService::Stub> stub_;
};

}  // namespace residency
