#include "client/checkpoint.h"

#include <gtest/gtest.h>

#include "client/tensor_names.h"

namespace residency::client::internal {
namespace {

TEST(TensorNamesTest, SayLayerExpertAndRole) {
  struct Case {
    const char* name;
    int32_t layer, expert;
    Role role;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"model.layers.3.mlp.experts.5.gate_proj.weight", 3, 5, Role::kExpert},
           {"model.layers.12.block_sparse_moe.experts.0.w1.weight", 12, 0, Role::kExpert},
           {"model.layers.3.mlp.gate.weight", 3, -1, Role::kRouter},
           {"model.layers.3.mlp.gate_proj.weight", 3, -1, Role::kDenseMlp},
           {"model.layers.3.mlp.shared_expert.up_proj.weight", 3, -1, Role::kDenseMlp},
           {"model.layers.3.self_attn.q_proj.weight", 3, -1, Role::kAttention},
           {"model.layers.3.post_attention_layernorm.weight", 3, -1, Role::kNorm},
           {"encoder.layer.4.attention.self.query.weight", 4, -1, Role::kAttention},
           {"encoder.layer.4.output.LayerNorm.bias", 4, -1, Role::kNorm},
           {"transformer.h.7.mlp.c_fc.weight", 7, -1, Role::kDenseMlp},
           {"model.embed_tokens.weight", -1, -1, Role::kEmbedding},
           {"lm_head.weight", -1, -1, Role::kEmbedding},
           {"blk.7.attn_q.weight", 7, -1, Role::kAttention},
           {"blk.7.attn_norm.weight", 7, -1, Role::kNorm},
           {"blk.7.attn_output.weight", 7, -1, Role::kAttention},
           {"blk.7.ffn_gate_inp.weight", 7, -1, Role::kRouter},
           {"blk.7.ffn_gate_inp_shexp.weight", 7, -1, Role::kRouter},
           {"blk.7.exp_probs_b.bias", 7, -1, Role::kRouter},
           {"blk.7.ffn_up_shexp.weight", 7, -1, Role::kDenseMlp},
           {"blk.7.ffn_up.weight", 7, -1, Role::kDenseMlp},
           {"blk.7.ffn_up.5.weight", 7, 5, Role::kExpert},
           {"blk.7.ffn_up_exps.weight", 7, -1, Role::kExpert},
           {"token_embd.weight", -1, -1, Role::kEmbedding},
           {"output.weight", -1, -1, Role::kEmbedding},
           {"output_norm.weight", -1, -1, Role::kNorm},
           {"experts.5.weight", -1, -1, Role::kExpert},
           {"something.weight", -1, -1, Role::kOther},
       }) {
    TensorPlace place = PlaceOf(c.name, {});
    EXPECT_EQ(place.layer, c.layer) << c.name;
    EXPECT_EQ(place.expert, c.expert) << c.name;
    EXPECT_EQ(place.role, c.role) << c.name << " is " << Name(place.role);
  }
}

TEST(TensorNamesTest, ExpertsOfGgufFilesAreNamedByTheirLayer) {
  EXPECT_EQ(PlaceOf("blk.7.ffn_up.5.weight", {}).expert_name, "blk.7.experts.5");
  EXPECT_FALSE(PlaceOf("blk.7.ffn_up.5.weight", {}).holds_all_experts);
  EXPECT_EQ(PlaceOf("blk.7.ffn_down_exps.bias", {}).expert_name, "blk.7.experts");
  EXPECT_TRUE(PlaceOf("blk.7.ffn_down_exps.bias", {}).holds_all_experts);
  EXPECT_FALSE(PlaceOf("blk.7.ffn_down_shexp.weight", {}).holds_all_experts);
  EXPECT_FALSE(PlaceOf("ffn_down_exps.weight", {}).holds_all_experts);
}

TEST(TensorNamesTest, RulesOfTheCallerComeFirst) {
  std::vector<RoleRule> rules = {{"something", Role::kAdapter}};
  EXPECT_EQ(PlaceOf("something.norm", rules).role, Role::kAdapter);
}

SafetensorsTensor Tensor(const std::string& name, size_t file, uint64_t offset, uint64_t bytes) {
  SafetensorsTensor tensor;
  tensor.name = name;
  tensor.file = file;
  tensor.offset = offset;
  tensor.bytes = bytes;
  tensor.shape = {bytes};
  return tensor;
}

SafetensorsCheckpoint Checkpoint() {
  SafetensorsCheckpoint checkpoint;
  checkpoint.files = {{"a.safetensors", 1000}, {"b.safetensors", 1000}};
  checkpoint.tensors = {
      Tensor("layers.0.experts.0.down", 0, 100, 10), Tensor("layers.0.experts.0.up", 0, 110, 20),
      Tensor("layers.0.experts.1.down", 0, 130, 10), Tensor("layers.0.norm", 0, 140, 5),
      Tensor("layers.0.experts.1.up", 0, 145, 20),   Tensor("empty", 0, 165, 0),
      Tensor("layers.0.experts.1.gate", 1, 100, 20),
  };
  return checkpoint;
}

TEST(CheckpointTest, ExpertIsOneBlockWhereItsTensorsAreSideBySideElseItsRuns) {
  ModelState model;
  ASSERT_TRUE(GroupTensors(ContentOf(Checkpoint(), {}), Grouping::kPerExpert, &model).ok());
  std::vector<std::string> names;
  for (const Block& block : model.blocks) names.push_back(block.name);
  EXPECT_EQ(names,
            (std::vector<std::string>{"layers.0.experts.0", "layers.0.experts.1#0", "layers.0.norm",
                                      "layers.0.experts.1#1", "layers.0.experts.1#2"}));
  EXPECT_EQ(model.blocks[0].bytes, 30u);
  EXPECT_EQ(model.blocks[0].tensors[1].offset, 10u);
  EXPECT_EQ(model.blocks[4].file, "b.safetensors");
  model.Index(BlockId{40});
  EXPECT_EQ((model.by_expert[{0, 1}]),
            (std::vector<BlockId>{BlockId{41}, BlockId{43}, BlockId{44}}));
}

TEST(CheckpointTest, PerTensorMakesABlockOfEachTensorWithBytes) {
  ModelState model;
  ASSERT_TRUE(GroupTensors(ContentOf(Checkpoint(), {}), Grouping::kPerTensor, &model).ok());
  EXPECT_EQ(model.blocks.size(), 6u);
  EXPECT_EQ(model.blocks[1].name, "layers.0.experts.0.up");
  EXPECT_EQ(model.blocks[1].expert, 0);
}

TEST(CheckpointTest, TensorNamedAsTheRunOfAnExpertIsAnError) {
  SafetensorsCheckpoint checkpoint = Checkpoint();
  checkpoint.tensors[3].name = "layers.0.experts.1#1";
  ModelState model;
  absl::Status grouped = GroupTensors(ContentOf(checkpoint, {}), Grouping::kPerExpert, &model);
  EXPECT_TRUE(absl::IsInvalidArgument(grouped)) << grouped;
}

TEST(CheckpointTest, NameTooLongForABlockIsAnError) {
  SafetensorsCheckpoint checkpoint = Checkpoint();
  checkpoint.tensors[3].name = std::string(300, 'x');
  ModelState model;
  EXPECT_TRUE(absl::IsInvalidArgument(
      GroupTensors(ContentOf(checkpoint, {}), Grouping::kPerExpert, &model)));
}

}  // namespace
}  // namespace residency::client::internal
