#include "client/ctl/render.h"
#include "gmock/gmock.h"

namespace residency::ctl {
namespace {

using testing::HasSubstr;

v1::BlockInfo SampleBlock() {
  v1::BlockInfo block;
  block.set_block_id(17);
  block.set_model("moe");
  block.set_model_id(2);
  block.set_name("layers.3.experts.5");
  block.set_bytes(4718592);
  block.set_layer(3);
  block.set_expert(5);
  block.set_role(v1::ROLE_EXPERT);
  block.set_state(v1::RESIDENCY_STATE_S5_IN_FLIGHT);
  block.set_in_flight_from(v1::RESIDENCY_STATE_S3_DRAM);
  block.set_in_flight_to(v1::RESIDENCY_STATE_S0_FULL_HBM);
  block.set_recipe("file_range model.safetensors @ 4096");
  block.set_leases(1);
  block.set_criticality(0.5);
  block.set_sensitivity(0.25);
  block.set_domain(1000);
  v1::CopyInfo& copy = *block.add_copies();
  copy.set_pool("dram");
  copy.set_tier(v1::TIER_DRAM);
  copy.set_encoding(v1::ENCODING_FULL);
  copy.set_status("live");
  copy.set_length(4718592);
  copy.set_slot(9);
  copy.set_generation(3);
  copy.set_offset(8192);
  copy.set_checksum(0xABCDEF);
  copy.set_leases(1);
  return block;
}

TEST(RenderBlocksTest, ListsBlocksWithReadableSizes) {
  v1::ListBlocksResponse blocks;
  *blocks.add_blocks() = SampleBlock();
  v1::BlockInfo& dense = *blocks.add_blocks();
  dense.set_name("embed");
  dense.set_model("moe");
  dense.set_layer(-1);
  dense.set_expert(-1);
  dense.set_lost(true);
  EXPECT_EQ(
      RenderBlocks(blocks, View{}),
      R"(ID  MODEL  NAME                STATE            SIZE  LAYER  EXPERT  ROLE    LEASES  PINS
17  moe    layers.3.experts.5  S5 S3 -> S0  4.50 MiB      3       5  expert       1     0
 0  moe    embed               lost              0 B      -       -  -            0     0
)");
}

TEST(RenderBlocksTest, WideShowsBytesAndCopies) {
  v1::ListBlocksResponse blocks;
  *blocks.add_blocks() = SampleBlock();
  View view;
  view.wide = true;
  const std::string text = RenderBlocks(blocks, view);
  EXPECT_THAT(text, HasSubstr("4718592"));
  EXPECT_THAT(text, HasSubstr("RECIPE"));
  EXPECT_THAT(text, HasSubstr("dram"));
}

TEST(RenderBlockTest, ShowsOneBlockAndItsCopiesInFull) {
  View narrow;
  narrow.width = 20;
  EXPECT_EQ(RenderBlock(SampleBlock(), narrow), R"(block 17  moe/layers.3.experts.5
  state        S5 S3 -> S0  in flight
  model        moe (2)
  size         4.50 MiB (4718592 bytes)
  role         expert, layer 3, expert 5
  recipe       file_range model.safetensors @ 4096
  elements     -
  low-bit      -
  compressed   -
  leases       1, pins 0
  criticality  0.5, sensitivity 0.25
  domain       1000
copies
  POOL  TIER  ENCODING  STATUS      SIZE  LEASES  SLOT  GEN  OFFSET          CHECKSUM
  dram  DRAM  full      live    4.50 MiB       1     9    3    8192  0000000000abcdef
)");
}

TEST(RenderBlockTest, SaysWhichEncodingsItMayHave) {
  v1::BlockInfo block = SampleBlock();
  block.set_element_type(v1::ELEMENT_TYPE_BF16);
  block.set_lowbit("eligible");
  block.set_lowbit_error(0.0125f);
  block.set_compressed("not worth it");
  block.set_compression_ratio(1.02f);
  const std::string text = RenderBlock(block, View{});
  EXPECT_THAT(text, HasSubstr("elements     bf16\n"));
  EXPECT_THAT(text, HasSubstr("low-bit      eligible, relative error 0.0125\n"));
  EXPECT_THAT(text, HasSubstr("compressed   not worth it, ratio 1.02\n"));
  v1::ListBlocksResponse blocks;
  *blocks.add_blocks() = block;
  View wide;
  wide.wide = true;
  EXPECT_THAT(RenderBlocks(blocks, wide),
              HasSubstr("bf16      eligible  0.0125  not worth it   1.02"));
}

TEST(RenderBlocksTest, ANarrowTerminalKeepsTheEndsOfNames) {
  v1::ListBlocksResponse blocks;
  v1::BlockInfo& block = *blocks.add_blocks();
  block = SampleBlock();
  block.set_name("model.transformer.decoder.with.a.long.beginning.layers.3.experts.5");
  block.set_k(0.25);
  block.set_r(1.5);
  View view;
  view.width = 80;
  EXPECT_EQ(RenderBlocks(blocks, view),
            R"(ID  NAME                  STATE            SIZE  ROLE    LEASES  PINS     K    R
17  ~.layers.3.experts.5  S5 S3 -> S0  4.50 MiB  expert       1     0  0.25  1.5
)");
}

TEST(RenderModelsTest, SumsUpWhereBlocksAre) {
  v1::ListModelsResponse models;
  v1::ModelInfo& model = *models.add_models();
  model.set_model_id(2);
  model.set_name("moe");
  model.set_blocks(1536);
  model.set_bytes(uint64_t{3} << 30);
  model.set_activity(0.5);
  model.set_sessions(1);
  v1::StateCount& state = *model.add_states();
  state.set_state(v1::RESIDENCY_STATE_S0_FULL_HBM);
  state.set_blocks(1536);
  EXPECT_EQ(RenderModels(models, View{}), R"(ID  NAME  BLOCKS      SIZE  ACTIVITY  SESSIONS  STATES
 2  moe    1,536  3.00 GiB       0.5         1  S0:1,536
)");
}

TEST(RenderPoolsTest, ShowsPressureAsABar) {
  google::protobuf::RepeatedPtrField<v1::Pool> pools;
  v1::Pool& pool = *pools.Add();
  pool.set_name("gpu0");
  pool.set_tier(v1::TIER_HBM);
  pool.set_backend("host: no GPU");
  pool.set_capacity_bytes(1 << 30);
  pool.set_used_bytes(512 << 20);
  pool.set_reserved_bytes(256 << 20);
  pool.set_pressure_ratio(0.75);
  pool.set_fragmentation_ratio(0.125);
  EXPECT_EQ(
      RenderPools(pools, View{}),
      R"(NAME  TIER  USED+RESERVED         PRESSURE     USED  RESERVED  LEASED  CAPACITY    FRAG  ENCODING  BACKEND
gpu0  HBM   ##########+++++.....    75.0 %  512 MiB   256 MiB     0 B  1.00 GiB  12.5 %  -         host: no GPU
)");
  pool.set_encoding("compressed");
  View narrow;
  narrow.width = 80;
  EXPECT_EQ(RenderPools(pools, narrow),
            R"(NAME  TIER  PRESSURE     USED  RESERVED  LEASED  CAPACITY  ENCODING    BACKEND
gpu0  HBM     75.0 %  512 MiB   256 MiB     0 B  1.00 GiB  compressed  host: no~
)");
}

TEST(RenderBarTest, NeverLeavesItsWidth) {
  EXPECT_EQ(RenderBar(0, 0, 4), "....");
  EXPECT_EQ(RenderBar(0.5, 0.25, 4), "##+.");
  EXPECT_EQ(RenderBar(2, 5, 4), "####");
  EXPECT_EQ(RenderBar(-1, 0, 4), "....");
}

TEST(RenderSessionsTest, UnhealthySessionsSayWhy) {
  v1::ListSessionsResponse sessions;
  v1::SessionInfo& session = *sessions.add_sessions();
  session.set_session_id(7);
  session.set_pid(4242);
  session.set_process("engine");
  session.set_age_us(61000000);
  session.set_leases(3);
  session.set_leased_bytes(3 << 20);
  session.set_max_leased_bytes(64 << 20);
  session.set_recalls_unanswered(1);
  session.set_problem("a recall is unanswered for 2 s");
  EXPECT_EQ(RenderSessions(sessions, View{}),
            R"(ID   PID  PROCESS     AGE  LEASES    LEASED       MAX  UNANSWERED  HEALTH
 7  4242  engine   1m 01s       3  3.00 MiB  64.0 MiB           1  a recall is unanswered for 2 s
)");
}

TEST(RenderPolicyTest, ShowsWhereEachValueComesFrom) {
  google::protobuf::RepeatedPtrField<v1::PolicyValue> values;
  v1::PolicyValue& value = *values.Add();
  value.set_key("score.alpha");
  value.set_value("1");
  value.set_source(v1::POLICY_SOURCE_FILE);
  value.set_description("weight of decoding time");
  EXPECT_EQ(RenderPolicy(values, View{}),
            "KEY          VALUE  SOURCE  DESCRIPTION\n"
            "score.alpha  1      file    weight of decoding time\n");
}

}  // namespace
}  // namespace residency::ctl
