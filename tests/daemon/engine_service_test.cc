#include "daemon/engine_service.h"

#include <gmock/gmock.h>

#include "tests/daemon/engine_service_testing.h"

namespace residency {
namespace {

using testing::HasSubstr;

TEST_F(EngineServiceTest, NodeInfoNeedsNoTokenAndNamesTheDaemon) {
  PoolSnapshot& pool = snapshot_->pools.emplace_back();
  pool.id = PoolId(2);
  pool.tier = Tier::kHbm;
  pool.segment_bytes = MiB(128);
  v1::GetNodeInfoResponse info;
  ASSERT_TRUE(stub_->GetNodeInfo(Context(false).get(), {}, &info).ok());
  EXPECT_EQ(info.daemon_instance(), std::string(16, 'i'));
  EXPECT_EQ(info.version(), "1.2.3");
  EXPECT_EQ(info.side_socket_path(), "/side.sock");
  EXPECT_EQ(info.acquire_blocks_max(), 4096u);
  ASSERT_EQ(info.pools_size(), 1);
  EXPECT_EQ(info.pools(0).pool_id(), 2u);
  EXPECT_EQ(info.pools(0).segment_bytes(), MiB(128).count());
}

TEST_F(EngineServiceTest, ACallWithoutAGoodTokenIsUnauthenticated) {
  v1::ReleaseResponse response;
  grpc::Status status = stub_->Release(Context(false).get(), {}, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(status.error_message(), HasSubstr("side socket"));
  for (const std::string& token : {std::string(16, 'x'), std::string("short")}) {
    auto context = Context(false);
    context->AddMetadata("residency-token-bin", token);
    status = stub_->Release(context.get(), {}, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  }
  auto context = Context(false);
  auto stream = stub_->Session(context.get());
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(port_.Count<LeasesReleased>(), 0u);
}

TEST_F(EngineServiceTest, WrongFieldsNeverReachTheController) {
  v1::AttachModelResponse response;
  const grpc::Status status = stub_->AttachModel(Context().get(), {}, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("name:"));
  v1::PutBlockRequest put;
  put.set_durability(v1::DURABILITY_VOLATILE);
  put.set_file_handle(5);
  v1::PutBlockResponse put_response;
  EXPECT_THAT(stub_->PutBlock(Context().get(), put, &put_response).error_message(),
              HasSubstr("file_handle:"));
  EXPECT_EQ(port_.Count<ModelAttach>(), 0u);
  EXPECT_EQ(port_.Count<BlockPut>(), 0u);
}

TEST_F(EngineServiceTest, RepliesComeFromTheController) {
  port_.answer = [](RequestId id, const Event& event) -> std::optional<Reply> {
    if (std::holds_alternative<ModelAttach>(event)) {
      return Reply{id, absl::OkStatus(), AttachedBody{ModelId(4), 12}};
    }
    if (std::holds_alternative<BlocksRegister>(event)) {
      return Reply{id, absl::OkStatus(), RegisteredBody{{BlockId(8)}, 1}};
    }
    return Reply{id, absl::DataLossError("lost"), {}};
  };
  v1::AttachModelRequest attach;
  attach.set_name("m");
  attach.set_fingerprint("f");
  attach.set_max_leased_bytes(10);
  attach.set_max_batch_bytes(10);
  v1::AttachModelResponse attached;
  ASSERT_TRUE(stub_->AttachModel(Context().get(), attach, &attached).ok());
  EXPECT_EQ(attached.model_id(), 4u);
  EXPECT_EQ(attached.known_blocks(), 12u);

  const uint32_t handle = *sessions_.AddFile(session(), FileId(3));
  v1::RegisterBlocksRequest blocks;
  blocks.add_blocks()->set_name("b");
  blocks.mutable_blocks(0)->set_bytes(8);
  blocks.mutable_blocks(0)->mutable_file_range()->set_file_handle(handle);
  v1::RegisterBlocksResponse registered;
  ASSERT_TRUE(stub_->RegisterBlocks(Context().get(), blocks, &registered).ok());
  EXPECT_THAT(registered.block_ids(), testing::ElementsAre(8));
  EXPECT_EQ(registered.recipes_renewed(), 1u);
  EXPECT_EQ(port_.Wait<BlocksRegister>()->blocks[0].recipe.file, FileId(3));

  v1::DetachModelResponse detached;
  EXPECT_EQ(stub_->DetachModel(Context().get(), {}, &detached).error_code(),
            grpc::StatusCode::DATA_LOSS);
}

TEST_F(EngineServiceTest, AFullMailboxIsResourceExhausted) {
  port_.set_full(true);
  v1::ReleaseResponse response;
  EXPECT_EQ(stub_->Release(Context().get(), {}, &response).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(EngineServiceTest, AnAnsweredAcquireCarriesItsLeases) {
  port_.answer = [](RequestId id, const Event&) {
    return Reply{id, absl::OkStatus(), Granted(31)};
  };
  v1::AcquireRequest request;
  *request.mutable_batch() = AcquireRequest(5).acquire();
  v1::AcquireResponse response;
  ASSERT_TRUE(stub_->Acquire(Context().get(), request, &response).ok());
  ASSERT_EQ(response.leases_size(), 1);
  EXPECT_EQ(response.leases(0).lease_id(), 31u);
  EXPECT_EQ(response.leases(0).layout(), "row");
  EXPECT_EQ(port_.Count<AcquireAbandoned>(), 0u);
}

TEST_F(EngineServiceTest, ACancelledAcquireIsAbandonedAndALateAnswerIsHarmless) {
  v1::AcquireRequest request;
  *request.mutable_batch() = AcquireRequest(77).acquire();
  auto context = Context();
  v1::AcquireResponse response;
  grpc::Status status;
  std::thread caller([&] { status = stub_->Acquire(context.get(), request, &response); });
  const auto posted = port_.Wait<AcquireBatch>();
  context->TryCancel();
  caller.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
  const auto abandoned = port_.Wait<AcquireAbandoned>();
  ASSERT_TRUE(posted && abandoned);
  EXPECT_EQ(abandoned->client_request, 77u);
  EXPECT_EQ(abandoned->session, session());
  port_.Answer(posted->request, absl::OkStatus(), Granted(1));
}

TEST_F(EngineServiceTest, ShutdownDoesNotWaitForTheController) {
  v1::DetachModelResponse response;
  grpc::Status status;
  std::thread caller([&] { status = stub_->DetachModel(Context().get(), {}, &response); });
  const auto posted = port_.Wait<ModelDetach>();
  server_->Shutdown(Micros(0));
  caller.join();
  EXPECT_FALSE(status.ok());
  port_.Answer(posted->request, absl::OkStatus(), MovedBody{});
}

TEST_F(EngineServiceTest, PullHintsWaitsUntilThereIsOne) {
  v1::PullHintsRequest request;
  request.set_max_hints(8);
  request.set_wait_us(9'000'000);
  v1::PullHintsResponse response;
  grpc::Status status;
  std::thread caller([&] { status = stub_->PullHints(Context().get(), request, &response); });
  hints_.Deliver(session(), ArrivingHint{BlockId(3), Micros(7)});
  caller.join();
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.hints_size(), 1);
  EXPECT_EQ(response.hints(0).arriving().block_id(), 3u);
}

TEST_F(EngineServiceTest, PullHintsEndsAtItsDeadlineWithNothing) {
  v1::PullHintsRequest request;
  v1::PullHintsResponse response;
  EXPECT_THAT(stub_->PullHints(Context().get(), request, &response).error_message(),
              HasSubstr("max_hints:"));
  request.set_max_hints(8);
  for (const uint64_t wait_us : {0, 2000}) {
    request.set_wait_us(wait_us);
    ASSERT_TRUE(stub_->PullHints(Context().get(), request, &response).ok());
    EXPECT_EQ(response.hints_size(), 0);
  }
}

TEST_F(EngineServiceTest, PullHintsThatIsCancelledLosesNoHint) {
  v1::PullHintsRequest request;
  request.set_max_hints(8);
  request.set_wait_us(9'000'000);
  auto context = Context();
  context->TryCancel();
  v1::PullHintsResponse response;
  EXPECT_FALSE(stub_->PullHints(context.get(), request, &response).ok());
  hints_.Deliver(session(), RecallHint{{LeaseId(5)}});
  request.set_wait_us(0);
  const auto give_up = std::chrono::steady_clock::now() + kTestDeadline;
  while (response.hints_size() == 0 && std::chrono::steady_clock::now() < give_up) {
    ASSERT_TRUE(stub_->PullHints(Context().get(), request, &response).ok());
  }
  EXPECT_EQ(response.hints(0).recall().lease_ids(0), 5u);
}

}  // namespace
}  // namespace residency
