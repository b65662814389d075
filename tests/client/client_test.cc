// Connecting, attaching, reporting, putting: what is no lease.
#include "residency/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/checkpoint_writer.h"
#include "tests/client/fixture.h"

namespace residency::client_test {
namespace {

using ::testing::HasSubstr;

class ClientTest : public ClientFixture {};

TEST_F(ClientTest, ConnectSaysWhatItTriedWhenNobodyListens) {
  ClientOptions options = Options();
  options.connect_deadline = absl::Seconds(1);
  auto client = Client::Connect(options);
  EXPECT_TRUE(absl::IsUnavailable(client.status())) << client.status();
  EXPECT_THAT(std::string(client.status().message()), HasSubstr(directory_ + "/engine.sock"));
  EXPECT_THAT(std::string(client.status().message()), HasSubstr("(deadline 1s)"));
}

TEST_F(ClientTest, ConnectTriesAgainWhileTheDaemonStarts) {
  StartDaemon({.refuse_hellos = 3});
  Connect();
  EXPECT_EQ(daemon_->Log().hellos, 4);
  EXPECT_TRUE(client_->connected());
}

TEST_F(ClientTest, EndOfTheClientSaysGoodbye) {
  Connect();
  client_.reset();
  EXPECT_EQ(daemon_->Log().goodbyes, 1);
}

TEST_F(ClientTest, BlocksAreRegisteredInBatchesOfTheDaemonsSize) {
  ConnectWithModel(8);  // the fake takes 3 at a time and refuses more
  EXPECT_EQ(daemon_->Log().registers, 3);
  EXPECT_EQ(model_.blocks().size(), 8u);
  EXPECT_EQ(model_.Expert(0, 5)[0], ids_[5]);
  EXPECT_EQ(model_.experts(0), 8);
  EXPECT_EQ(*model_.Find("b3"), ids_[3]);
  EXPECT_FALSE(model_.Find("b8").has_value());
}

TEST_F(ClientTest, LimitsLeftOutAreThoseOfTheLargestLayer) {
  ConnectWithModel(4);
  const v1::AttachModelRequest declared = daemon_->Log().models.at(0);
  EXPECT_EQ(declared.max_batch_bytes(), 4 * kBlockBytes);
  EXPECT_EQ(declared.max_leased_bytes(), 8 * kBlockBytes);
}

TEST_F(ClientTest, MalformedBlocksAreRefusedBeforeTheyAreSent) {
  Connect();
  auto twice = Blocks(2);
  twice[1].name = twice[0].name;
  EXPECT_THAT(std::string(client_->AttachBlocks({"m", "f", {}}, twice).status().message()),
              HasSubstr("block \"b0\": name: given twice"));
  auto empty = Blocks(1);
  empty[0].bytes = 0;
  EXPECT_TRUE(absl::IsInvalidArgument(client_->AttachBlocks({"m", "f", {}}, empty).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(client_->AttachBlocks({"m", "", {}}, Blocks(1)).status()));
  auto missing = Blocks(1);
  missing[0].recipe = FileRange{directory_ + "/absent", 0};
  EXPECT_TRUE(absl::IsNotFound(client_->AttachBlocks({"m", "f", {}}, missing).status()));
  EXPECT_EQ(daemon_->Log().attaches, 0);
}

TEST_F(ClientTest, CheckpointIsOfferedAndLeased) {
  const std::string path = directory_ + "/model.safetensors";
  std::vector<TensorSpec> tensors = {
      {"model.layers.0.mlp.experts.0.up.weight", Dtype::kU8, {700}},
      {"model.layers.0.mlp.experts.0.down.weight", Dtype::kU8, {300}},
      {"model.norm.weight", Dtype::kU8, {64}}};
  auto writer = CheckpointWriter::Create(path, tensors);
  ASSERT_TRUE(writer.ok()) << writer.status();
  std::vector<std::byte> data;
  for (int i = 0; i < 1064; ++i) data.push_back(static_cast<std::byte>(i * 7));
  ASSERT_TRUE((*writer)->Append(data).ok());
  ASSERT_TRUE((*writer)->Finish().ok());

  Connect();
  auto model = client_->AttachCheckpoint(path, {});
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(daemon_->Log().offered_paths, std::vector<std::string>{path});
  ASSERT_EQ(model->blocks().size(), 2u);
  const Block& expert = model->block(model->Expert(0, 0)[0]);
  EXPECT_EQ(expert.name, "model.layers.0.mlp.experts.0");
  ASSERT_EQ(expert.tensors.size(), 2u);
  EXPECT_EQ(expert.tensors[1].offset, 700u);
  auto leases = client_->Acquire(model->Expert(0, 0));
  ASSERT_TRUE(leases.ok()) << leases.status();
  EXPECT_TRUE(std::equal(data.begin(), data.begin() + 1000, leases->front().data()));
  EXPECT_EQ(leases->front().size(), 1000u);
}

TEST_F(ClientTest, PutBytesAreThoseLeased) {
  Connect();
  auto blocks = Blocks(1);
  blocks[0].recipe = NoRecipe{};
  auto model = client_->AttachBlocks({"m", "f", {}}, blocks);
  ASSERT_TRUE(model.ok()) << model.status();
  BlockId block = model->blocks()[0].id;
  std::vector<std::byte> bytes(kBlockBytes);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(SyntheticByte(9, i));
  ASSERT_TRUE(client_->PutBlock(block, bytes, Durability::kVolatile).ok());
  auto leases = client_->Acquire({&block, 1});
  ASSERT_TRUE(leases.ok()) << leases.status();
  ExpectBytes(leases->front(), 9);
  bytes.pop_back();
  EXPECT_TRUE(absl::IsInvalidArgument(client_->PutBlock(block, bytes, Durability::kVolatile)));
}

TEST_F(ClientTest, ReportsArriveInOrder) {
  ConnectWithModel(4);
  const uint64_t request = 77;
  const std::vector<uint32_t> experts = {2, 0};
  const std::vector<float> gates = {0.75, 0.25};
  client_->StepBegin(model_, 5, Phase::kDecode);
  client_->ReportRouting(model_, 0, Phase::kDecode, {&request, 1}, 2, experts, gates);
  client_->ReportAccess(model_, Phase::kDecode, ids_);
  client_->StepEnd(model_, 5, Phase::kDecode, {&request, 1});
  ASSERT_TRUE(daemon_->WaitFor([](const FakeLog& log) { return log.reports.size() == 4; }));
  const auto reports = daemon_->Log().reports;
  EXPECT_EQ(reports[0].step().edge(), v1::STEP_EDGE_BEGIN);
  EXPECT_EQ(reports[1].routing().experts(0), 2u);
  EXPECT_EQ(reports[1].routing().gates(1), 0.25f);
  EXPECT_EQ(reports[2].access().block_ids_size(), 4);
  EXPECT_EQ(reports[2].access().block_ids(1), daemon_->BlockIdOf("b1"));
  EXPECT_EQ(reports[3].step().ended_request_ids(0), 77u);
  for (size_t i = 1; i < 4; ++i) EXPECT_EQ(reports[i].sequence(), reports[i - 1].sequence() + 1);
  EXPECT_EQ(client_->Stats().reports_accepted, 4u);
}

TEST_F(ClientTest, ReportsThatDoNotFitAreDroppedAndCounted) {
  ClientOptions options = Options();
  options.reports_max = 8;
  Connect(options);
  Attach(1);
  daemon_->StallReads(true);
  // Far more than what sockets and gRPC hold for a reader that does not read.
  constexpr uint64_t kReports = 200;
  const std::vector<uint64_t> ended(10'000, 1);
  for (uint64_t i = 0; i < kReports; ++i) client_->StepEnd(model_, i, Phase::kDecode, ended);
  ClientStats stats = client_->Stats();
  EXPECT_EQ(stats.reports_accepted + stats.reports_dropped, kReports);
  EXPECT_GT(stats.reports_dropped, 0u);
  daemon_->StallReads(false);
}

TEST_F(ClientTest, ReportsThatMakeNoSenseAreDroppedAndCounted) {
  ConnectWithModel(1);
  const uint64_t request = 1;
  const std::vector<uint32_t> experts = {1, 2, 3};
  client_->ReportRouting(model_, 0, Phase::kDecode, {&request, 1}, 2, experts);
  EXPECT_EQ(client_->Stats().reports_dropped, 1u);
}

TEST_F(ClientTest, HintsWaitInABoundedQueue) {
  ClientOptions options = Options();
  options.hints_max = 2;
  Connect(options);
  Attach(2);
  for (uint64_t eta : {10u, 20u, 30u}) {
    v1::Hint hint;
    hint.mutable_arriving()->set_block_id(daemon_->BlockIdOf("b1"));
    hint.mutable_arriving()->set_eta_us(eta);
    daemon_->SendHint(hint);
  }
  ASSERT_TRUE(Eventually([&] { return client_->Stats().hints_dropped == 1; }));
  Hints hints = client_->PollHints(10);
  EXPECT_EQ(hints.dropped, 1u);
  ASSERT_EQ(hints.hints.size(), 2u);
  EXPECT_EQ(hints.hints[1].kind, Hint::Kind::kArriving);
  EXPECT_EQ(hints.hints[1].block, ids_[1]);
  EXPECT_EQ(hints.hints[1].eta, absl::Microseconds(20));
  EXPECT_EQ(client_->PollHints(10).dropped, 0u);
}

TEST_F(ClientTest, DetachNeedsAllLeasesReleasedAndGivesBackTheIdleOnes) {
  ConnectWithModel(2);
  Lease lease = AcquireOne(0);
  EXPECT_TRUE(absl::IsFailedPrecondition(client_->Detach(model_)));
  lease.Release();
  ASSERT_TRUE(client_->Detach(model_).ok());
  EXPECT_EQ(daemon_->Log().detaches, 1);
  EXPECT_TRUE(daemon_->Log().leases.empty());
  EXPECT_TRUE(absl::IsFailedPrecondition(Acquire({0}).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(client_->Detach(model_)));
}

}  // namespace
}  // namespace residency::client_test
