#include <gmock/gmock.h>

#include "tests/daemon/engine_service_testing.h"

namespace residency {
namespace {

using testing::HasSubstr;

TEST_F(EngineServiceTest, AStreamOpensWithTheLeasesHeld) {
  Stream stream = Open({3, 4});
  const auto resumed = port_.Wait<SessionResumed>();
  ASSERT_TRUE(resumed);
  EXPECT_EQ(resumed->held, (std::vector<LeaseId>{LeaseId(3), LeaseId(4)}));
  EXPECT_TRUE(sessions_.List().front().stream_open);
  stream.calls->WritesDone();
  EXPECT_TRUE(stream.End().ok());
  EXPECT_TRUE(AwaitStreamClosed());
}

TEST_F(EngineServiceTest, AStreamThatDoesNotOpenFirstIsRefused) {
  Stream stream = Start();
  stream.Write(Access(1));
  const grpc::Status status = stream.End();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(port_.Count<AccessReported>(), 0u);
}

TEST_F(EngineServiceTest, OpeningTwiceEndsTheStream) {
  Stream stream = Open();
  v1::SessionRequest again;
  again.mutable_open();
  stream.Write(again);
  EXPECT_EQ(stream.End().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(EngineServiceTest, ASecondStreamWaitsForTheFirstToEnd) {
  Stream first = Open();
  Stream second = Start();
  v1::SessionRequest open;
  open.mutable_open();
  second.Write(open);
  EXPECT_EQ(second.End().error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  first.context->TryCancel();
  first.End();
  ASSERT_TRUE(AwaitStreamClosed());
  Stream third = Open({9});
  EXPECT_EQ(port_.Wait<SessionResumed>(1)->held, std::vector<LeaseId>{LeaseId(9)});
  third.context->TryCancel();
  third.End();
}

TEST_F(EngineServiceTest, ReadsGoOnWhileAcquiresWaitAndAnswersComeInOrder) {
  Stream stream = Open();
  stream.Write(AcquireRequest(1));
  stream.Write(AcquireRequest(2));
  v1::SessionRequest release;
  release.mutable_release()->add_lease_ids(6);
  stream.Write(release);
  stream.Write(Access(5));
  const auto first = port_.Wait<AcquireBatch>(0);
  const auto second = port_.Wait<AcquireBatch>(1);
  EXPECT_EQ(port_.Wait<LeasesReleased>()->leases, std::vector<LeaseId>{LeaseId(6)});
  EXPECT_EQ(port_.Wait<AccessReported>()->blocks, std::vector<BlockId>{BlockId(5)});
  port_.Answer(second->request, absl::OkStatus(), Granted(20));
  hints_.Deliver(session(), PromotedHint{BlockId(8), ResidencyState::kS0FullHbm});
  port_.Answer(first->request, absl::ResourceExhaustedError("no room"), {});
  std::vector<v1::SessionResponse> got;
  while (got.size() < 3) {
    v1::SessionResponse response = stream.Read();
    if (!response.has_counts()) got.push_back(response);
  }
  EXPECT_EQ(got[0].acquired().request_id(), 2u);
  EXPECT_EQ(got[0].acquired().leases(0).lease_id(), 20u);
  EXPECT_EQ(got[1].hint().promoted().block_id(), 8u);
  EXPECT_EQ(got[2].acquired().request_id(), 1u);
  EXPECT_EQ(got[2].acquired().code(), static_cast<int>(grpc::StatusCode::RESOURCE_EXHAUSTED));
  EXPECT_EQ(got[2].acquired().message(), "no room");
  stream.calls->WritesDone();
  EXPECT_TRUE(stream.End().ok());
  ASSERT_TRUE(AwaitStreamClosed());
  EXPECT_EQ(port_.Count<AcquireAbandoned>(), 0u);
}

TEST_F(EngineServiceTest, AnAcquireOfABrokenStreamIsAbandonedBeforeTheNextOpens) {
  Stream stream = Open();
  stream.Write(AcquireRequest(41));
  const auto posted = port_.Wait<AcquireBatch>();
  stream.context->TryCancel();
  stream.End();
  ASSERT_TRUE(AwaitStreamClosed());
  ASSERT_EQ(port_.Count<AcquireAbandoned>(), 1u);
  EXPECT_EQ(port_.Wait<AcquireAbandoned>()->client_request, 41u);
  port_.Answer(posted->request, absl::OkStatus(), Granted(1));
}

TEST_F(EngineServiceTest, ABadAcquireIsAnsweredAndTheStreamGoesOn) {
  Stream stream = Open();
  v1::SessionRequest bad;
  bad.mutable_acquire()->set_request_id(3);
  stream.Write(bad);
  const v1::SessionResponse response = stream.Read();
  EXPECT_EQ(response.acquired().request_id(), 3u);
  EXPECT_EQ(response.acquired().code(), static_cast<int>(grpc::StatusCode::INVALID_ARGUMENT));
  EXPECT_THAT(response.acquired().message(), HasSubstr("block_ids:"));
  stream.Write(AcquireRequest(4));
  EXPECT_TRUE(port_.Wait<AcquireBatch>());
  stream.context->TryCancel();
  stream.End();
}

TEST_F(EngineServiceTest, TooManyAcquiresUnderWayAreRefused) {
  Stream stream = Open();
  for (uint64_t i = 1; i <= SessionStream::kAcquiresMax + 1; ++i) stream.Write(AcquireRequest(i));
  const v1::SessionResponse response = stream.Read();
  EXPECT_EQ(response.acquired().request_id(), SessionStream::kAcquiresMax + 1);
  EXPECT_EQ(response.acquired().code(), static_cast<int>(grpc::StatusCode::RESOURCE_EXHAUSTED));
  EXPECT_EQ(port_.Count<AcquireBatch>(), SessionStream::kAcquiresMax);
  stream.context->TryCancel();
  stream.End();
  ASSERT_TRUE(AwaitStreamClosed());
  EXPECT_EQ(port_.Count<AcquireAbandoned>(), SessionStream::kAcquiresMax);
}

TEST_F(EngineServiceTest, ReportsThatAreLostAreCounted) {
  Stream stream = Open();
  port_.set_full(true);
  stream.Write(Access(1));  // finds the mailbox full, like the acquire that follows
  stream.Write(AcquireRequest(1));
  EXPECT_EQ(stream.Read().acquired().code(),
            static_cast<int>(grpc::StatusCode::RESOURCE_EXHAUSTED));
  EXPECT_EQ(stream.Read().counts().dropped(), 1u);
  port_.set_full(false);
  stream.sequence += 5;  // left out by the client
  stream.Write(Access(2));
  v1::SessionRequest malformed;
  malformed.mutable_routing()->set_top_k(3);
  stream.Write(malformed);
  stream.Write(v1::SessionRequest());  // no request in it
  stream.Write(AcquireRequest(2));
  const auto posted = port_.Wait<AcquireBatch>();
  port_.Answer(posted->request, absl::NotFoundError("no block"), {});
  EXPECT_EQ(stream.Read().acquired().request_id(), 2u);
  const v1::SessionResponse counts = stream.Read();
  EXPECT_EQ(counts.counts().accepted(), 1u);
  EXPECT_EQ(counts.counts().dropped(), 1u + 5 + 2);
  EXPECT_EQ(sessions_.List().front().counters.events_dropped, 8u);
  EXPECT_EQ(service_->reports_dropped(), 8u);
  stream.context->TryCancel();
  stream.End();
}

TEST_F(EngineServiceTest, CountsComeUnaskedAfterManyReports) {
  Stream stream = Open();
  for (uint64_t i = 0; i < SessionStreamOutbox::kReportsPerCounts; ++i) stream.Write(Access(1));
  EXPECT_EQ(stream.Read().counts().accepted(), SessionStreamOutbox::kReportsPerCounts);
  stream.context->TryCancel();
  stream.End();
}

TEST_F(EngineServiceTest, AReleaseIsNotLostInAFullMailbox) {
  Stream stream = Open();
  port_.set_full(true);
  v1::SessionRequest release;
  release.mutable_release()->add_lease_ids(6);
  stream.Write(release);
  stream.Write(AcquireRequest(1));
  EXPECT_FALSE(stream.Read().acquired().message().empty());
  port_.set_full(false);
  stream.Write(Access(1));
  EXPECT_EQ(port_.Wait<LeasesReleased>()->leases, std::vector<LeaseId>{LeaseId(6)});
  stream.context->TryCancel();
  stream.End();
}

TEST_F(EngineServiceTest, AStreamThatTheControllerCannotHearOfIsNotOpened) {
  port_.set_full(true);
  Stream stream = Start();
  v1::SessionRequest open;
  open.mutable_open();
  stream.Write(open);
  EXPECT_EQ(stream.End().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_FALSE(sessions_.List().front().stream_open);
}

TEST_F(EngineServiceTest, TheEndOfASessionEndsItsStream) {
  Stream stream = Open();
  service_->EndSession(session());
  EXPECT_EQ(stream.End().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  ASSERT_TRUE(AwaitStreamClosed());
  Stream next = Open();
  service_->EndAllStreams(absl::UnavailableError("draining"));
  EXPECT_EQ(next.End().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(EngineServiceTest, HintsThatWaitedGoToTheStreamWhenItOpens) {
  hints_.Deliver(session(), RecallHint{{LeaseId(5)}});
  Stream stream = Open();
  EXPECT_EQ(stream.Read().hint().recall().lease_ids(0), 5u);
  stream.context->TryCancel();
  stream.End();
}

TEST(SessionStreamOutbox, DropsHintsBeyondItsBoundButNoRecallAndNoAnswer) {
  SessionStreamOutbox outbox(2);
  outbox.PushHint(RecallHint{{LeaseId(1)}});
  for (int i = 0; i < 5; ++i) outbox.PushHint(ServeLowbitHint{BlockId(1)});
  outbox.PushHint(RecallHint{{LeaseId(2)}});
  outbox.PushHint(RecallHint{{LeaseId(3)}});
  v1::AcquireResult result;
  result.set_request_id(7);
  outbox.PushAcquired(result, RpcLedger::Claim{SessionId(1), 7, 1});
  EXPECT_EQ(outbox.hints_dropped(), 3u);
  EXPECT_EQ(outbox.Pop()->response.hint().recall().lease_ids_size(), 1);
  EXPECT_TRUE(outbox.Pop()->response.hint().has_serve_lowbit());
  const auto unsent = outbox.TakeUnsent();
  ASSERT_EQ(unsent.size(), 2u);
  EXPECT_EQ(unsent[0].response.hint().recall().lease_ids_size(), 2);
  EXPECT_TRUE(unsent[1].claim.has_value());
  EXPECT_FALSE(outbox.Pop().has_value());
}

TEST(SessionStreamOutbox, CountsUnreadRefusals) {
  SessionStreamOutbox outbox(2);
  for (int i = 0; i < 3; ++i) outbox.PushAcquired({}, std::nullopt);
  EXPECT_EQ(outbox.refusals(), 3u);
  outbox.Pop();
  EXPECT_EQ(outbox.refusals(), 2u);
}

}  // namespace
}  // namespace residency
