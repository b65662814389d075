// Engines that call out of order, out of range and in the name of others: every call gets its own
// answer, and the daemon goes on.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/integration/hostile_fixture.h"
#include "tests/integration/hostile_peer.h"

namespace residency::testing {
namespace {

using Stub = v1::EngineService::Stub;
using Code = grpc::StatusCode;

// XXH3-64 of 8192 times the letter m.
constexpr uint64_t kChecksumOf8192m = 0x77a1d9b61649f262;

TEST_F(HostileTest, CallsWithoutAGoodTokenAreRefused) {
  RawPeer peer(node_.runtime_dir());
  for (const std::string& token : {std::string(), std::string("short"), std::string(16, 'x'),
                                   std::string(4000, 'x'), peer.token() + "x"}) {
    SCOPED_TRACE(token.size());
    v1::AttachModelRequest attach;
    attach.set_name("a");
    attach.set_fingerprint("a");
    attach.set_max_leased_bytes(1);
    attach.set_max_batch_bytes(1);
    v1::AttachModelResponse attached;
    const auto unary = RawPeer::Context(token);
    EXPECT_EQ(peer.stub().AttachModel(unary.get(), attach, &attached).error_code(),
              Code::UNAUTHENTICATED);
    const auto context = RawPeer::Context(token);
    const auto stream = peer.stub().Session(context.get());
    v1::SessionRequest open;
    open.set_sequence(1);
    open.mutable_open();
    stream->Write(open);
    v1::SessionResponse response;
    while (stream->Read(&response)) {
    }
    EXPECT_EQ(stream->Finish().error_code(), Code::UNAUTHENTICATED);
  }
  EXPECT_EQ(node_.Status().models(), 1u);
  v1::SideRequest goodbye;
  goodbye.mutable_goodbye();
  peer.Side(goodbye);
}

// A stream that says what it is told to, and the answers that came.
class RawStream {
 public:
  explicit RawStream(RawPeer& peer)
      : context_(RawPeer::Context(peer.token())), stream_(peer.stub().Session(context_.get())) {}
  void Open() {
    v1::SessionRequest request;
    request.mutable_open();
    Write(request);
    const auto opened = Read();
    ASSERT_TRUE(opened.has_value() && opened->has_opened()) << Finish().error_message();
  }
  bool Write(v1::SessionRequest request) {
    request.set_sequence(++sequence_);
    return stream_->Write(request);
  }
  std::optional<v1::SessionResponse> Read() {
    v1::SessionResponse response;
    if (!stream_->Read(&response)) return std::nullopt;
    return response;
  }
  v1::AcquireResult Acquire(const v1::AcquireBatch& batch) {
    v1::SessionRequest request;
    *request.mutable_acquire() = batch;
    EXPECT_TRUE(Write(request));
    while (const auto response = Read()) {
      if (response->has_acquired() && response->acquired().request_id() == batch.request_id()) {
        return response->acquired();
      }
    }
    ADD_FAILURE() << "the stream has ended: " << Finish().error_message();
    return {};
  }
  grpc::Status Finish() {
    stream_->WritesDone();
    v1::SessionResponse response;
    while (stream_->Read(&response)) {
    }
    return stream_->Finish();
  }

 private:
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::SessionRequest, v1::SessionResponse>> stream_;
  uint64_t sequence_ = 0;
};

v1::AcquireBatch BatchOf(uint64_t id, const std::vector<uint32_t>& blocks) {
  v1::AcquireBatch batch;
  batch.set_request_id(id);
  batch.mutable_block_ids()->Add(blocks.begin(), blocks.end());
  batch.set_deadline_us(10'000'000);
  batch.set_mode(v1::LEASE_MODE_PINNED);
  return batch;
}

class HostileEngineTest : public HostileTest {
 protected:
  void SetUp() override {
    HostileTest::SetUp();
    peer_ = std::make_unique<RawPeer>(node_.runtime_dir());
    model_ = peer_->Attach("hostile").model_id();
    blocks_ = peer_->Register(model_, 4, 300'000);
    ASSERT_EQ(blocks_.size(), 4u);
  }
  void TearDown() override {
    v1::SideRequest goodbye;
    goodbye.mutable_goodbye();
    peer_->Side(goodbye);
    peer_.reset();
    HostileTest::TearDown();
  }

  std::unique_ptr<RawPeer> peer_;
  uint32_t model_ = 0;
  std::vector<uint32_t> blocks_;
};

TEST_F(HostileEngineTest, StreamsOutOfOrderAreEndedWithAReason) {
  {
    RawStream stream(*peer_);
    v1::SessionRequest acquire;
    *acquire.mutable_acquire() = BatchOf(1, {blocks_[0]});
    stream.Write(acquire);
    EXPECT_EQ(stream.Finish().error_code(), Code::INVALID_ARGUMENT);
  }
  {
    RawStream stream(*peer_);
    stream.Open();
    v1::SessionRequest open;
    open.mutable_open();
    stream.Write(open);
    EXPECT_EQ(stream.Finish().error_code(), Code::INVALID_ARGUMENT);
  }
  {
    RawStream stream(*peer_);
    v1::SessionRequest open;
    for (int i = 0; i < 2'000'000; ++i) open.mutable_open()->add_held_lease_ids(1);
    stream.Write(open);
    EXPECT_EQ(stream.Finish().error_code(), Code::INVALID_ARGUMENT);
  }
  {
    RawStream stream(*peer_);
    stream.Open();
    v1::SessionRequest huge;
    for (int i = 0; i < 10'000'000; ++i) huge.mutable_release()->add_lease_ids(1);
    stream.Write(huge);
    EXPECT_EQ(stream.Finish().error_code(), Code::RESOURCE_EXHAUSTED);
  }
}

TEST_F(HostileEngineTest, ImpossibleBatchesAreRefusedOneByOne) {
  RawStream stream(*peer_);
  stream.Open();
  EXPECT_EQ(stream.Acquire(BatchOf(1, {blocks_[0], 4'000'000'000u})).code(), Code::NOT_FOUND);
  EXPECT_EQ(stream.Acquire(BatchOf(2, {UINT32_MAX})).code(), Code::NOT_FOUND);
  EXPECT_EQ(stream.Acquire(BatchOf(3, std::vector<uint32_t>(100'000, blocks_[0]))).code(),
            Code::INVALID_ARGUMENT);
  EXPECT_EQ(stream.Acquire(BatchOf(4, {})).code(), Code::INVALID_ARGUMENT);
  EXPECT_EQ(stream.Acquire(BatchOf(5, {blocks_[0], blocks_[0]})).code(), Code::INVALID_ARGUMENT);
  EXPECT_EQ(stream.Acquire(BatchOf(0, {blocks_[0]})).code(), Code::INVALID_ARGUMENT);
  v1::AcquireBatch odd = BatchOf(6, {blocks_[0]});
  odd.set_mode(static_cast<v1::LeaseMode>(77));
  EXPECT_EQ(stream.Acquire(odd).code(), Code::INVALID_ARGUMENT);
  odd = BatchOf(7, {blocks_[0]});
  odd.add_accepts(static_cast<v1::Acceptance>(-5));
  EXPECT_EQ(stream.Acquire(odd).code(), Code::INVALID_ARGUMENT);

  // Now or never, of a cold block; and as late as a number can say.
  v1::AcquireBatch never = BatchOf(8, {blocks_[1]});
  never.set_deadline_us(0);
  const v1::AcquireResult refused = stream.Acquire(never);
  EXPECT_EQ(refused.code(), Code::RESOURCE_EXHAUSTED) << refused.message();
  v1::AcquireBatch whenever = BatchOf(9, {blocks_[2]});
  whenever.set_deadline_us(std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(stream.Acquire(whenever).code(), Code::OK);
  EXPECT_TRUE(stream.Finish().ok());
}

TEST_F(HostileEngineTest, RequestMadeTwiceGetsTheSameLease) {
  RawStream stream(*peer_);
  stream.Open();
  const v1::AcquireResult once = stream.Acquire(BatchOf(1, {blocks_[0]}));
  const v1::AcquireResult twice = stream.Acquire(BatchOf(1, {blocks_[0]}));
  ASSERT_EQ(once.leases_size(), 1) << once.message();
  ASSERT_EQ(twice.leases_size(), 1) << twice.message();
  EXPECT_EQ(once.leases(0).lease_id(), twice.leases(0).lease_id());
  EXPECT_TRUE(WaitFor([&] { return node_.Status().leases() == 1; }));
  EXPECT_TRUE(stream.Finish().ok());
}

TEST_F(HostileEngineTest, NonsenseReportsAreDroppedAndCounted) {
  RawStream stream(*peer_);
  stream.Open();
  std::vector<v1::SessionRequest> reports;
  const auto routing = [&](uint32_t top_k, int experts, int gates) -> v1::RoutingReport& {
    v1::RoutingReport& report = *reports.emplace_back().mutable_routing();
    report.set_model_id(model_);
    report.set_phase(v1::PHASE_DECODE);
    report.add_request_ids(1);
    report.set_top_k(top_k);
    for (int i = 0; i < experts; ++i) report.add_experts(0);
    for (int i = 0; i < gates; ++i) report.add_gates(0.5f);
    return report;
  };
  routing(3, 2, 0);  // not n * top_k
  routing(std::numeric_limits<uint32_t>::max(), 1, 0);
  routing(2, 2, 1);  // one gate is missing
  routing(1, 1, 1).set_gates(0, std::nanf(""));
  routing(1, 1, 1).set_gates(0, std::numeric_limits<float>::infinity());
  routing(1, 1, 0).set_layer(std::numeric_limits<uint32_t>::max());  // -1
  routing(1, 1, 0).set_experts(0, 65'536);
  routing(70'000, 70'000, 0);
  routing(0, 0, 0);
  routing(1, 1, 0).set_phase(static_cast<v1::Phase>(9));
  v1::AccessReport& access = *reports.emplace_back().mutable_access();
  access.set_model_id(model_);
  access.set_phase(v1::PHASE_DECODE);
  for (int i = 0; i < 100'000; ++i) access.add_block_ids(static_cast<uint32_t>(i));
  reports.emplace_back().mutable_step()->set_edge(v1::STEP_EDGE_UNSPECIFIED);
  reports.emplace_back();  // says nothing
  for (const v1::SessionRequest& report : reports) ASSERT_TRUE(stream.Write(report));
  // Counts come after an answer, at the latest.
  v1::SessionRequest flush;
  *flush.mutable_acquire() = BatchOf(7, {blocks_[0]});
  ASSERT_TRUE(stream.Write(flush));
  uint64_t dropped = 0;
  while (dropped < reports.size()) {
    const auto response = stream.Read();
    ASSERT_TRUE(response.has_value()) << stream.Finish().error_message();
    if (response->has_counts()) dropped = response->counts().dropped();
  }
  EXPECT_EQ(dropped, reports.size());

  // Well formed, but about models, layers and blocks that there are not.
  reports.clear();
  routing(1, 1, 1).set_layer(std::numeric_limits<int32_t>::max());
  routing(1, 1, 1).set_model_id(4'000'000'000u);
  routing(1, 1, 1).set_experts(0, 65'535);
  v1::AccessReport& unknown = *reports.emplace_back().mutable_access();
  unknown.set_model_id(model_);
  unknown.set_phase(v1::PHASE_DECODE);
  unknown.add_block_ids(4'000'000'000u);
  v1::StepMarker& step = *reports.emplace_back().mutable_step();
  step.set_model_id(UINT32_MAX);
  step.set_edge(v1::STEP_EDGE_END);
  for (const v1::SessionRequest& report : reports) ASSERT_TRUE(stream.Write(report));
  EXPECT_EQ(stream.Acquire(BatchOf(1, {blocks_[0]})).code(), Code::OK);
  EXPECT_TRUE(stream.Finish().ok());
}

TEST_F(HostileEngineTest, SequenceThatJumpsIsBounded) {
  const auto context = RawPeer::Context(peer_->token());
  const auto stream = peer_->stub().Session(context.get());
  for (const uint64_t sequence :
       {uint64_t{1}, std::numeric_limits<uint64_t>::max(), uint64_t{0}, uint64_t{2}}) {
    v1::SessionRequest request;
    request.set_sequence(sequence);
    if (sequence == 1) request.mutable_open();
    ASSERT_TRUE(stream->Write(request));
  }
  stream->WritesDone();
  v1::SessionResponse response;
  while (stream->Read(&response)) {
  }
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(HostileEngineTest, LeasesOfOthersAreNotReleased) {
  v1::AcquireResponse acquired;
  const grpc::Status granted = peer_->Acquire(1, {blocks_[0]}, &acquired);
  ASSERT_TRUE(granted.ok()) << granted.error_message();
  RawPeer thief(node_.runtime_dir());
  v1::ReleaseRequest release;
  release.add_lease_ids(acquired.leases(0).lease_id());
  release.add_lease_ids(0);
  release.add_lease_ids(std::numeric_limits<uint64_t>::max());
  v1::ReleaseResponse released;
  ASSERT_TRUE(thief.Call(&Stub::Release, release, &released).ok());
  EXPECT_EQ(released.unknown(), 3u);
  EXPECT_TRUE(WaitFor([&] { return node_.Block(std::to_string(blocks_[0])).leases() == 1; }));
  {
    RawStream stream(thief);
    stream.Open();
    v1::SessionRequest request;
    *request.mutable_release() = release;
    stream.Write(request);
    EXPECT_TRUE(stream.Finish().ok());
  }
  v1::SideRequest goodbye;
  goodbye.mutable_goodbye();
  thief.Side(goodbye);
  EXPECT_EQ(node_.Block(std::to_string(blocks_[0])).leases(), 1u);
}

TEST_F(HostileEngineTest, ImpossibleRegistrationsChangeNothing) {
  ASSERT_TRUE(WaitFor([&] { return node_.Status().models() == 2; }));
  const uint64_t before = node_.Status().blocks();
  const auto refused = [&](auto change) {
    v1::RegisterBlocksRequest request;
    request.set_model_id(model_);
    v1::BlockSpec& block = *request.add_blocks();
    block.set_name("new");
    block.set_bytes(4096);
    block.set_layer(-1);
    block.set_expert(-1);
    block.set_role(v1::ROLE_OTHER);
    block.mutable_synthetic()->set_seed(1);
    change(request, block);
    v1::RegisterBlocksResponse response;
    return peer_->Call(&Stub::RegisterBlocks, request, &response).error_code();
  };
  using Request = v1::RegisterBlocksRequest&;
  using Spec = v1::BlockSpec&;
  EXPECT_EQ(refused([](Request r, Spec) {
              const v1::BlockSpec spec = r.blocks(0);
              for (int i = 0; i < 5000; ++i) {
                *r.add_blocks() = spec;
                r.mutable_blocks(i)->set_name("n" + std::to_string(i));
              }
            }),
            Code::INVALID_ARGUMENT);
  EXPECT_EQ(refused([](Request, Spec b) { b.set_layout(std::string(20 << 20, 'x')); }),
            Code::RESOURCE_EXHAUSTED);
  EXPECT_EQ(refused([](Request, Spec b) { b.set_name(std::string(256, 'x')); }),
            Code::INVALID_ARGUMENT);
  EXPECT_EQ(refused([](Request, Spec b) { b.set_name(""); }), Code::INVALID_ARGUMENT);
  EXPECT_EQ(refused([](Request, Spec b) { b.set_layer(-2); }), Code::INVALID_ARGUMENT);
  EXPECT_EQ(refused([](Request, Spec b) { b.set_expert(-7); }), Code::INVALID_ARGUMENT);
  EXPECT_EQ(refused([](Request, Spec b) { b.set_bytes(0); }), Code::INVALID_ARGUMENT);
  EXPECT_EQ(refused([](Request, Spec b) { b.set_criticality(std::nanf("")); }),
            Code::INVALID_ARGUMENT);
  EXPECT_EQ(refused([](Request, Spec b) { b.set_sensitivity(-1); }), Code::INVALID_ARGUMENT);
  EXPECT_EQ(refused([](Request, Spec b) { b.mutable_file_range()->set_file_handle(99); }),
            Code::INVALID_ARGUMENT);
  EXPECT_NE(refused([](Request, Spec b) { b.mutable_alias()->set_block_id(4'000'000); }), Code::OK);
  EXPECT_EQ(refused([](Request r, Spec) { r.set_model_id(4'000'000); }), Code::NOT_FOUND);
  EXPECT_NE(refused([](Request, Spec b) { b.set_bytes(std::numeric_limits<uint64_t>::max()); }),
            Code::OK);
  EXPECT_NE(refused([](Request, Spec b) { b.set_bytes(uint64_t{1} << 62); }), Code::OK);
  EXPECT_EQ(node_.Status().blocks(), before);
}

TEST_F(HostileEngineTest, ImpossibleFileRangesAreNeverServed) {
  const Fd memfd = MakeMemfd(8192, 'm');
  const uint32_t handle = peer_->OfferFile(memfd.get(), "/nowhere");
  ++descriptors_;  // a file that a recipe may name stays open
  uint64_t request_id = 100;
  for (const uint64_t offset : {uint64_t{8192}, uint64_t{8191}, uint64_t{1} << 62,
                                std::numeric_limits<uint64_t>::max() - 100}) {
    SCOPED_TRACE(offset);
    v1::RegisterBlocksRequest request;
    request.set_model_id(model_);
    v1::BlockSpec& block = *request.add_blocks();
    block.set_name("range-" + std::to_string(offset));
    block.set_bytes(4096);
    block.set_layer(-1);
    block.set_expert(-1);
    block.set_role(v1::ROLE_OTHER);
    block.mutable_file_range()->set_file_handle(handle);
    block.mutable_file_range()->set_offset(offset);
    v1::RegisterBlocksResponse registered;
    if (!peer_->Call(&Stub::RegisterBlocks, request, &registered).ok()) continue;
    v1::AcquireResponse response;
    EXPECT_FALSE(
        peer_->Acquire(request_id++, {registered.block_ids(0)}, &response, 3'000'000).ok());
  }
}

TEST_F(HostileEngineTest, FileWithoutAPathIsNoRecipe) {
  const Fd memfd = MakeMemfd(8192, 'm');
  v1::RegisterBlocksRequest request;
  request.set_model_id(model_);
  v1::BlockSpec& block = *request.add_blocks();
  block.set_name("nowhere");
  block.set_bytes(8192);
  block.set_layer(-1);
  block.set_expert(-1);
  block.set_role(v1::ROLE_OTHER);
  block.mutable_file_range()->set_file_handle(peer_->OfferFile(memfd.get()));
  v1::RegisterBlocksResponse registered;
  const grpc::Status status = peer_->Call(&Stub::RegisterBlocks, request, &registered);
  EXPECT_EQ(status.error_code(), Code::INVALID_ARGUMENT);
  EXPECT_TRUE(Holds(status.error_message(), "path")) << status.error_message();
}

TEST_F(HostileEngineTest, PutsOfWrongBytesAreRefused) {
  v1::RegisterBlocksRequest request;
  request.set_model_id(model_);
  v1::BlockSpec& block = *request.add_blocks();
  block.set_name("put");
  block.set_bytes(8192);
  block.set_layer(-1);
  block.set_expert(-1);
  block.set_role(v1::ROLE_OTHER);
  v1::RegisterBlocksResponse registered;
  ASSERT_TRUE(peer_->Call(&Stub::RegisterBlocks, request, &registered).ok());
  const Fd memfd = MakeMemfd(8192, 'm');
  const Fd small = MakeMemfd(100, 'm');
  v1::PutBlockRequest put;
  put.set_block_id(registered.block_ids(0));
  put.set_durability(v1::DURABILITY_VOLATILE);
  put.set_checksum(kChecksumOf8192m);
  v1::PutBlockResponse answer;
  // A handle that another session was given.
  RawPeer other(node_.runtime_dir());
  put.set_file_handle(other.OfferFile(memfd.get()));
  EXPECT_EQ(peer_->Call(&Stub::PutBlock, put, &answer).error_code(), Code::INVALID_ARGUMENT);
  v1::SideRequest goodbye;
  goodbye.mutable_goodbye();
  other.Side(goodbye);

  put.set_file_handle(peer_->OfferFile(small.get()));
  EXPECT_FALSE(peer_->Call(&Stub::PutBlock, put, &answer).ok());
  put.set_file_handle(peer_->OfferFile(memfd.get()));
  put.set_offset(std::numeric_limits<uint64_t>::max() - 10);
  EXPECT_FALSE(peer_->Call(&Stub::PutBlock, put, &answer).ok());
  put.set_offset(0);
  put.set_checksum(put.checksum() + 1);
  const grpc::Status wrong = peer_->Call(&Stub::PutBlock, put, &answer);
  EXPECT_EQ(wrong.error_code(), Code::INVALID_ARGUMENT) << wrong.error_message();
  put.set_checksum(put.checksum() - 1);
  put.set_durability(static_cast<v1::Durability>(9));
  EXPECT_EQ(peer_->Call(&Stub::PutBlock, put, &answer).error_code(), Code::INVALID_ARGUMENT);
  put.set_durability(v1::DURABILITY_VOLATILE);
  const grpc::Status right = peer_->Call(&Stub::PutBlock, put, &answer);
  EXPECT_TRUE(right.ok()) << right.error_message();
}

TEST_F(HostileEngineTest, MappedFileThatShrinksUnderTheDaemonEndsNothing) {
  const Fd memfd = MakeMemfd(1 << 20, 'm');
  ++descriptors_;  // a file that a recipe may name stays open
  v1::RegisterBlocksRequest request;
  request.set_model_id(model_);
  v1::BlockSpec& block = *request.add_blocks();
  block.set_name("shrinks");
  block.set_bytes(1 << 20);
  block.set_layer(-1);
  block.set_expert(-1);
  block.set_role(v1::ROLE_OTHER);
  block.mutable_file_range()->set_file_handle(peer_->OfferFile(memfd.get(), "/nowhere"));
  v1::RegisterBlocksResponse registered;
  ASSERT_TRUE(peer_->Call(&Stub::RegisterBlocks, request, &registered).ok());
  ASSERT_EQ(ftruncate(memfd.get(), 10), 0);
  v1::AcquireResponse response;
  const grpc::Status status = peer_->Acquire(1, {registered.block_ids(0)}, &response, 5'000'000);
  EXPECT_EQ(status.error_code(), Code::FAILED_PRECONDITION) << status.error_message();
}

}  // namespace
}  // namespace residency::testing
