#include "daemon/convert_requests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "daemon/convert.h"

namespace residency {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

const SessionId kSession(5);
const FindFile kNoFile = [](uint32_t) -> absl::StatusOr<FileId> {
  return absl::InvalidArgumentError("file_handle: none");
};

template <class Result>
void ExpectInvalid(const Result& result, const std::string& field) {
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument) << result.status();
  EXPECT_THAT(std::string(result.status().message()), HasSubstr(field + ":"));
}

v1::AttachModelRequest GoodAttach() {
  v1::AttachModelRequest request;
  request.set_name("m");
  request.set_fingerprint("f");
  request.set_max_leased_bytes(100);
  request.set_max_batch_bytes(10);
  return request;
}

TEST(DecodeAttach, NamesTheFieldThatIsWrong) {
  EXPECT_TRUE(Decode(GoodAttach(), kSession).ok());
  auto request = GoodAttach();
  request.set_name("");
  ExpectInvalid(Decode(request, kSession), "name");
  request = GoodAttach();
  request.set_fingerprint(std::string(256, 'x'));
  ExpectInvalid(Decode(request, kSession), "fingerprint");
  request = GoodAttach();
  request.set_max_leased_bytes(std::numeric_limits<uint64_t>::max());
  ExpectInvalid(Decode(request, kSession), "max_leased_bytes");
  request = GoodAttach();
  request.set_max_batch_bytes(101);
  ExpectInvalid(Decode(request, kSession), "max_batch_bytes");
  request = GoodAttach();
  request.add_accepts(v1::ACCEPTANCE_HBM_LOWBIT);
  ExpectInvalid(Decode(request, kSession), "accepts");
  request.add_accepts(static_cast<v1::Acceptance>(99));
  ExpectInvalid(Decode(request, kSession), "accepts");
}

TEST(DecodeRegister, NamesTheBlockAndTheField) {
  const LimitsConfig limits;
  v1::RegisterBlocksRequest request;
  ExpectInvalid(Decode(request, kSession, limits, kNoFile), "blocks");
  v1::BlockSpec* const block = request.add_blocks();
  block->set_name("a");
  block->set_bytes(8);
  block->set_layer(-1);
  block->set_expert(-1);
  ASSERT_TRUE(Decode(request, kSession, limits, kNoFile).ok());
  *request.add_blocks() = *block;
  v1::BlockSpec* const bad = request.mutable_blocks(1);
  bad->set_name("b");
  const auto refused = [&](const std::string& field) {
    const auto event = Decode(request, kSession, limits, kNoFile);
    ExpectInvalid(event, field);
    EXPECT_THAT(std::string(event.status().message()), StartsWith("blocks[1] \"b\": "));
    *bad = request.blocks(0);
    bad->set_name("b");
  };
  bad->set_bytes(0);
  refused("bytes");
  bad->set_layer(-2);
  refused("layer");
  bad->set_expert(70'000);
  refused("expert");
  bad->set_criticality(std::numeric_limits<float>::quiet_NaN());
  refused("criticality");
  bad->set_sensitivity(1.5f);
  refused("sensitivity");
  bad->set_role(static_cast<v1::Role>(42));
  refused("role");
  bad->set_layout(std::string(256, 'l'));
  refused("layout");
  bad->mutable_file_range()->set_file_handle(3);
  refused("file_handle");
  bad->mutable_alias()->set_block_id(std::numeric_limits<uint32_t>::max());
  refused("alias.block_id");
}

TEST(DecodeRegister, TakesEveryKindOfRecipe) {
  v1::RegisterBlocksRequest request;
  for (const char* name : {"none", "file", "alias", "synthetic"}) {
    request.add_blocks()->set_name(name);
    request.mutable_blocks()->rbegin()->set_bytes(8);
  }
  request.mutable_blocks(1)->mutable_file_range()->set_file_handle(2);
  request.mutable_blocks(1)->mutable_file_range()->set_offset(77);
  request.mutable_blocks(2)->mutable_alias()->set_block_id(6);
  request.mutable_blocks(2)->set_bytes(0);
  request.mutable_blocks(3)->mutable_synthetic()->set_seed(9);
  const auto event = Decode(request, kSession, LimitsConfig(),
                            [](uint32_t handle) { return FileId(handle + 10); });
  ASSERT_TRUE(event.ok()) << event.status();
  EXPECT_EQ(event->blocks[0].recipe, Recipe());
  EXPECT_EQ(event->blocks[1].recipe.file, FileId(12));
  EXPECT_EQ(event->blocks[1].recipe.offset, 77u);
  EXPECT_EQ(event->blocks[2].alias_of, BlockId(6));
  EXPECT_EQ(event->blocks[3].recipe.seed, 9u);
  EXPECT_FALSE(event->blocks[0].checksum.has_value());
}

TEST(DecodeAcquire, ClampsTheDeadlineAndRefusesNonsense) {
  const LimitsConfig limits;
  const TimePoint now(Micros(1000));
  v1::AcquireBatch batch;
  ExpectInvalid(Decode(batch, kSession, limits, now), "request_id");
  batch.set_request_id(4);
  ExpectInvalid(Decode(batch, kSession, limits, now), "block_ids");
  batch.add_block_ids(2);
  auto event = Decode(batch, kSession, limits, now);
  ASSERT_TRUE(event.ok());
  EXPECT_EQ(event->deadline, now);
  EXPECT_TRUE(event->accepts.hbm_full);
  EXPECT_EQ(event->mode, LeaseMode::kRecallable);
  batch.set_deadline_us(std::numeric_limits<uint64_t>::max());
  event = Decode(batch, kSession, limits, now);
  EXPECT_EQ(event->deadline, now + limits.acquire_deadline_max);
  batch.set_mode(static_cast<v1::LeaseMode>(9));
  ExpectInvalid(Decode(batch, kSession, limits, now), "mode");
  batch.set_mode(v1::LEASE_MODE_PINNED);
  for (int i = 0; i < limits.acquire_blocks; ++i) batch.add_block_ids(i);
  ExpectInvalid(Decode(batch, kSession, limits, now), "block_ids");
}

TEST(DecodeRouting, RefusesSizesThatDoNotFit) {
  v1::RoutingReport report;
  report.set_phase(v1::PHASE_DECODE);
  report.set_top_k(2);
  report.add_request_ids(1);
  report.add_experts(3);
  ExpectInvalid(Decode(report, kSession), "routing.experts");
  report.add_experts(65'535);
  ASSERT_TRUE(Decode(report, kSession).ok());
  report.add_gates(0.5f);
  ExpectInvalid(Decode(report, kSession), "routing.gates");
  report.add_gates(std::numeric_limits<float>::infinity());
  ExpectInvalid(Decode(report, kSession), "routing.gates");
  report.clear_gates();
  report.set_experts(0, 65'536);
  ExpectInvalid(Decode(report, kSession), "routing.experts");
  report.set_experts(0, 1);
  report.set_layer(std::numeric_limits<uint32_t>::max());
  ExpectInvalid(Decode(report, kSession), "routing.layer");
  report.set_layer(0);
  // 2^31 times 2 must not wrap around to the number of experts.
  report.set_top_k(std::numeric_limits<uint32_t>::max());
  ExpectInvalid(Decode(report, kSession), "routing.experts");
  report.set_top_k(2);
  report.set_phase(static_cast<v1::Phase>(7));
  ExpectInvalid(Decode(report, kSession), "routing.phase");
}

TEST(DecodeStep, WantsAnEdge) {
  v1::StepMarker marker;
  ExpectInvalid(Decode(marker, kSession), "step.edge");
  marker.set_edge(v1::STEP_EDGE_BEGIN);
  EXPECT_TRUE(Decode(marker, kSession)->begin);
}

TEST(DecodePut, WantsADurability) {
  v1::PutBlockRequest request;
  const auto file = [](uint32_t) { return FileId(1); };
  ExpectInvalid(Decode(request, kSession, file), "durability");
  request.set_durability(v1::DURABILITY_DURABLE);
  EXPECT_TRUE(Decode(request, kSession, file)->durable);
  ExpectInvalid(Decode(request, kSession, kNoFile), "file_handle");
}

TEST(Convert, ALeaseKeepsEveryField) {
  GrantedLease granted{.lease = LeaseId(1),
                       .block = BlockId(2),
                       .place = {.pool = PoolId(3), .extent = {4096, 8192}, .regions = {}},
                       .bytes = Bytes(5000),
                       .encoding = Encoding::kLowbit,
                       .generation = Generation(6),
                       .checksum = 7,
                       .mode = LeaseMode::kStreaming,
                       .served_from = ResidencyState::kS4Nvme,
                       .stall = Micros(8),
                       .layout = "row"};
  granted.place.regions = {RegionNumber(9), RegionNumber(10)};
  const v1::Lease lease = ToProto(granted);
  EXPECT_EQ(lease.lease_id(), 1u);
  EXPECT_EQ(lease.block_id(), 2u);
  EXPECT_EQ(lease.pool_id(), 3u);
  EXPECT_EQ(lease.offset(), 4096u);
  EXPECT_EQ(lease.length(), 5000u);
  EXPECT_THAT(lease.regions(), testing::ElementsAre(9, 10));
  EXPECT_EQ(lease.encoding(), v1::ENCODING_LOWBIT);
  EXPECT_EQ(lease.generation(), 6u);
  EXPECT_EQ(lease.checksum(), 7u);
  EXPECT_EQ(lease.mode(), v1::LEASE_MODE_STREAMING);
  EXPECT_EQ(lease.served_from(), v1::RESIDENCY_STATE_S4_NVME);
  EXPECT_EQ(lease.stall_us(), 8u);
  EXPECT_EQ(lease.layout(), "row");
}

TEST(Convert, EveryStateReadsBackAsItself) {
  for (int i = 0; i < kStateCount; ++i) {
    const auto state = static_cast<ResidencyState>(i);
    EXPECT_EQ(*StateFromProto(ToProto(state), "s"), state);
  }
  EXPECT_FALSE(StateFromProto(0, "s").ok());
  EXPECT_FALSE(StateFromProto(8, "s").ok());
}

}  // namespace
}  // namespace residency
