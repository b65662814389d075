// A GGUF checkpoint attached: what its blocks are, and that their bytes are those of the file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/client/fixture.h"
#include "tests/client/gguf_file.h"

namespace residency::client_test {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kF32 = 0, kF16 = 1, kQ4_0 = 2, kQ8_0 = 8, kI8 = 24, kI32 = 26, kBf16 = 30;

class GgufAttachTest : public ClientFixture {
 protected:
  // One layer with three experts, stacked; 512 elements of Q4_0 are 288 bytes.
  GgufAttachTest() {
    file_.AddText("general.architecture", "toy");
    file_.tensors = {{"blk.0.ffn_up_exps.weight", {64, 8, 3}, kQ4_0, 0},
                     {"blk.0.ffn_down_exps.weight", {64, 2, 3}, kQ8_0, 864},
                     {"blk.0.ffn_down_exps.bias", {8, 3}, kF32, 1280},
                     {"blk.0.attn_norm.weight", {8}, kF32, 1376},
                     {"token_embd.weight", {16}, kF16, 1408},
                     {"output.weight", {16}, kBf16, 1440},
                     {"positions", {8}, kI32, 1472}};
    file_.data_bytes = 1504;
  }
  std::string Put(const std::string& name, const GgufTestFile& file) const {
    std::ofstream(directory_ + "/" + name, std::ios::binary) << file.Encode();
    return directory_ + "/" + name;
  }
  std::string ErrorOf(const std::string& path) const {
    return std::string(client_->AttachCheckpoint(path, {}).status().message());
  }
  static std::vector<std::string> Names(const Model& model) {
    std::vector<std::string> names;
    for (const Block& block : model.blocks()) names.push_back(block.name);
    return names;
  }
  static ElementType ElementOf(const Model& model, const std::string& name) {
    auto block = model.Find(name);
    EXPECT_TRUE(block.has_value()) << name;
    return block ? model.block(*block).element : ElementType::kUnspecified;
  }

  GgufTestFile file_;
};

TEST_F(GgufAttachTest, ExpertIsARangeOfEachStackedTensor) {
  const std::string path = Put("m.gguf", file_);
  Connect();
  auto model = client_->AttachCheckpoint(path, {});
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(daemon_->Log().offered_paths, std::vector<std::string>{path});
  EXPECT_THAT(model->fingerprint(), testing::StartsWith("gguf-"));
  EXPECT_EQ(model->layers(), 1);
  EXPECT_EQ(model->experts(0), 3);
  ASSERT_EQ(model->Expert(0, 1).size(), 3u);
  const Block& up = model->block(model->Expert(0, 1)[0]);
  EXPECT_EQ(up.name, "blk.0.experts.1#0");
  EXPECT_EQ(up.role, Role::kExpert);
  EXPECT_EQ(up.bytes, 288u);
  EXPECT_EQ(up.offset, file_.DataStart() + 288);
  ASSERT_EQ(up.tensors.size(), 1u);
  EXPECT_EQ(up.tensors[0].name, "blk.0.ffn_up_exps.weight");
  EXPECT_EQ(up.tensors[0].dtype, "Q4_0");
  EXPECT_EQ(up.tensors[0].shape, (std::vector<uint64_t>{64, 8}));
  const Block& bias = model->block(model->Expert(0, 1)[2]);
  EXPECT_EQ(bias.tensors[0].name, "blk.0.ffn_down_exps.bias");
  EXPECT_EQ(bias.offset, file_.DataStart() + 1280 + 32);
  EXPECT_EQ(model->Dense(0).size(), 1u);
  EXPECT_EQ(model->Dense(-1).size(), 3u);
}

TEST_F(GgufAttachTest, LeasedExpertHasTheBytesOfTheFile) {
  Connect();
  auto model = client_->AttachCheckpoint(Put("m.gguf", file_), {});
  ASSERT_TRUE(model.ok()) << model.status();
  auto leases = client_->Acquire(model->Expert(0, 2));
  ASSERT_TRUE(leases.ok()) << leases.status();
  ASSERT_EQ(leases->size(), 3u);
  const uint64_t begins[] = {2 * 288, 864 + 2 * 136, 1280 + 2 * 32}, bytes[] = {288, 136, 32};
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_EQ((*leases)[i].size(), bytes[i]);
    for (uint64_t at = 0; at < bytes[i]; ++at) {
      ASSERT_EQ(std::to_integer<uint8_t>((*leases)[i].data()[at]),
                GgufTestFile::DataByte(begins[i] + at));
    }
  }
}

TEST_F(GgufAttachTest, ElementTypesAreThoseOfTheTensors) {
  Connect();
  auto model = client_->AttachCheckpoint(Put("m.gguf", file_), {});
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(ElementOf(*model, "blk.0.experts.0#0"), ElementType::kQuantizedSub8);
  EXPECT_EQ(ElementOf(*model, "blk.0.experts.0#1"), ElementType::kQuantized8);
  EXPECT_EQ(ElementOf(*model, "blk.0.attn_norm.weight"), ElementType::kF32);
  EXPECT_EQ(ElementOf(*model, "token_embd.weight"), ElementType::kF16);
  EXPECT_EQ(ElementOf(*model, "output.weight"), ElementType::kBf16);
  EXPECT_EQ(ElementOf(*model, "positions"), ElementType::kOther);
}

TEST_F(GgufAttachTest, PerTensorGivesEachExpertsShareAName) {
  Connect();
  CheckpointOptions options;
  options.grouping = Grouping::kPerTensor;
  file_.tensors.resize(1);
  auto model = client_->AttachCheckpoint(Put("m.gguf", file_), options);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_THAT(Names(*model),
              testing::ElementsAre("blk.0.ffn_up_exps.weight[0]", "blk.0.ffn_up_exps.weight[1]",
                                   "blk.0.ffn_up_exps.weight[2]"));
}

TEST_F(GgufAttachTest, ExpertWithTensorsOfItsOwnIsOneBlockWhereTheyAdjoin) {
  Connect();
  file_.tensors = {{"blk.0.ffn_up.0.weight", {8}, kF32, 0},
                   {"blk.0.ffn_down.0.weight", {8}, kF32, 32},
                   {"blk.0.ffn_up.1.weight", {7}, kF32, 64},
                   {"blk.0.ffn_down.1.weight", {8}, kF32, 96}};
  auto model = client_->AttachCheckpoint(Put("m.gguf", file_), {});
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_THAT(Names(*model),
              testing::ElementsAre("blk.0.experts.0", "blk.0.experts.1#0", "blk.0.experts.1#1"));
}

TEST_F(GgufAttachTest, MatrixInPlaceOfAStackIsOfTheOnlyExpert) {
  Connect();
  file_.tensors = {{"blk.0.ffn_up_exps.weight", {64, 8}, kQ4_0, 0},
                   {"blk.0.ffn_down_exps.scale", {1}, kF32, 288}};
  auto model = client_->AttachCheckpoint(Put("m.gguf", file_), {});
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_THAT(Names(*model), testing::ElementsAre("blk.0.experts.0"));
  EXPECT_EQ(model->blocks()[0].bytes, 292u);
  EXPECT_EQ(model->blocks()[0].element, ElementType::kOther);
}

TEST_F(GgufAttachTest, StackThatCannotBeCutIsAnError) {
  Connect();
  file_.tensors = {{"blk.0.ffn_up_exps.scale", {64}, kQ4_0, 0}};
  EXPECT_THAT(ErrorOf(Put("m.gguf", file_)),
              HasSubstr("m.gguf: tensor 'blk.0.ffn_up_exps.scale': its 36 bytes of Q4_0 can't"));
  file_.tensors = {{"blk.0.ffn_up_exps.weight", {1, 1, 70'000}, kI8, 0}};
  file_.data_bytes = 70'000;
  EXPECT_THAT(ErrorOf(Put("m.gguf", file_)), HasSubstr("holds 70000 experts; at most 65536"));
}

TEST_F(GgufAttachTest, FormatIsKnownByItsFirstBytesWhateverTheName) {
  Connect();
  auto model = client_->AttachCheckpoint(Put("sha256-0123", file_), {});
  EXPECT_TRUE(model.ok()) << model.status();
}

TEST_F(GgufAttachTest, PartsAreOneModel) {
  Connect();
  GgufTestFile part;
  part.AddU16("split.no", 0);
  part.AddU16("split.count", 2);
  part.Add("split.tensors.count", 5, Little(2, 4));
  part.tensors = {{"a", {8}, kF32, 0}};
  part.data_bytes = 32;
  Put("m-00001-of-00002.gguf", part);
  part.metadata[0] = GgufText("split.no") + Little(2, 4) + Little(1, 2);
  part.tensors[0].name = "b";
  const std::string second = Put("m-00002-of-00002.gguf", part);
  // Also by their directory.
  std::filesystem::create_directory(directory_ + "/parts");
  for (const char* name : {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf"}) {
    std::filesystem::rename(directory_ + "/" + name, directory_ + "/parts/" + name);
  }
  auto model = client_->AttachCheckpoint(directory_ + "/parts", {});
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_THAT(Names(*model), testing::ElementsAre("a", "b"));
  EXPECT_THAT(model->blocks()[1].file, testing::EndsWith("m-00002-of-00002.gguf"));
  Put("parts/other.gguf", file_);
  EXPECT_THAT(ErrorOf(directory_ + "/parts"), HasSubstr("holds 3 GGUF files"));
}

TEST_F(GgufAttachTest, FingerprintFollowsTheHeader) {
  Connect();
  const std::string path = Put("m.gguf", file_);
  auto first = client_->AttachCheckpoint(path, {});
  auto again = client_->AttachCheckpoint(path, {});
  ASSERT_TRUE(first.ok() && again.ok()) << first.status() << again.status();
  EXPECT_EQ(first->fingerprint(), again->fingerprint());
  file_.tensors[6].name = "Positions";
  auto changed = client_->AttachCheckpoint(Put("m.gguf", file_), {});
  ASSERT_TRUE(changed.ok()) << changed.status();
  EXPECT_NE(first->fingerprint(), changed->fingerprint());
}

}  // namespace
}  // namespace residency::client_test
