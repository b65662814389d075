#include "client/outbox.h"

#include <gtest/gtest.h>

namespace residency::client::internal {
namespace {

v1::SessionRequest Step(uint64_t step) {
  v1::SessionRequest request;
  request.mutable_step()->set_step(step);
  return request;
}

v1::SessionRequest Access(uint32_t model, std::vector<uint32_t> blocks) {
  v1::SessionRequest request;
  request.mutable_access()->set_model_id(model);
  request.mutable_access()->mutable_block_ids()->Add(blocks.begin(), blocks.end());
  return request;
}

TEST(OutboxTest, DropsReportsBeyondItsBoundAndLeavesAGapInTheSequence) {
  Outbox outbox(2);
  outbox.Open();
  outbox.PushOpen({});
  EXPECT_TRUE(outbox.PushReport(Step(1)));
  EXPECT_TRUE(outbox.PushReport(Step(2)));
  EXPECT_FALSE(outbox.PushReport(Step(3)));
  EXPECT_FALSE(outbox.PushReport(Step(4)));
  EXPECT_EQ(outbox.Pop()->sequence(), 1u);  // the opening message
  EXPECT_EQ(outbox.Pop()->sequence(), 2u);
  EXPECT_TRUE(outbox.PushReport(Step(5)));
  EXPECT_EQ(outbox.Pop()->sequence(), 3u);
  auto after_gap = outbox.Pop();
  EXPECT_EQ(after_gap->step().step(), 5u);
  EXPECT_EQ(after_gap->sequence(), 6u);
  EXPECT_FALSE(outbox.Pop().has_value());
  EXPECT_EQ(outbox.Counts().reports_accepted, 3u);
  EXPECT_EQ(outbox.Counts().reports_dropped, 2u);
}

TEST(OutboxTest, AcquiresAndReleasesAlwaysFit) {
  Outbox outbox(0);
  outbox.Open();
  EXPECT_FALSE(outbox.PushReport(Step(1)));
  outbox.PushAcquire({});
  outbox.PushRelease(7);
  EXPECT_TRUE(outbox.Pop()->has_acquire());
  EXPECT_EQ(outbox.Pop()->release().lease_ids(0), 7u);
}

TEST(OutboxTest, JoinsNeighboursOfOneKind) {
  Outbox outbox(8);
  outbox.Open();
  outbox.PushRelease(1);
  outbox.PushRelease(2);
  outbox.PushReport(Access(1, {10}));
  outbox.PushReport(Access(1, {11, 12}));
  outbox.PushReport(Access(2, {13}));
  EXPECT_EQ(outbox.Pop()->release().lease_ids_size(), 2);
  EXPECT_EQ(outbox.Pop()->access().block_ids_size(), 3);
  EXPECT_EQ(outbox.Pop()->access().model_id(), 2u);
}

TEST(OutboxTest, ClosedKeepsNothingAndCountsReports) {
  Outbox outbox(8);
  outbox.PushRelease(1);
  EXPECT_FALSE(outbox.PushReport(Step(1)));
  outbox.Open();
  EXPECT_TRUE(outbox.PushReport(Access(1, {1})));
  EXPECT_TRUE(outbox.PushReport(Access(1, {2})));
  outbox.Close();
  EXPECT_FALSE(outbox.Pop().has_value());
  EXPECT_EQ(outbox.Counts().reports_dropped, 3u);
  EXPECT_EQ(outbox.Counts().reports_accepted, 0u);
}

}  // namespace
}  // namespace residency::client::internal
