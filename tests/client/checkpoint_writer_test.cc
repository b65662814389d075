#include "client/checkpoint_writer.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "client/synthetic_checkpoint.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace residency {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

class CheckpointWriterTest : public testing::Test {
 protected:
  CheckpointWriterTest() {
    std::string name = testing::TempDir() + "/checkpoint_XXXXXX";
    if (mkdtemp(name.data()) == nullptr) std::abort();
    folder_ = name;
    path_ = (folder_ / "m.safetensors").string();
  }
  ~CheckpointWriterTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  size_t FileCount() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder_), {}));
  }

  static absl::Status Append(CheckpointWriter& writer, const std::string& text) {
    return writer.Append(std::as_bytes(std::span(text)));
  }

  std::string Content() const {
    std::ostringstream out;
    out << std::ifstream(path_, std::ios::binary).rdbuf();
    return out.str();
  }

  std::filesystem::path folder_;
  std::string path_;
};

const std::vector<TensorSpec> kTwo = {{"x", Dtype::kU8, {3}}, {"y", Dtype::kBF16, {2, 2}}};

TEST_F(CheckpointWriterTest, TheReaderFindsWhatWasWritten) {
  auto writer = CheckpointWriter::Create(path_, kTwo, {{"format", "pt"}});
  ASSERT_TRUE(writer.ok()) << writer.status();
  EXPECT_EQ((*writer)->data_bytes(), 11u);
  ASSERT_TRUE(Append(**writer, "xx").ok());
  ASSERT_TRUE(Append(**writer, "xYYYY").ok());  // spans both tensors
  ASSERT_TRUE(Append(**writer, "").ok());
  ASSERT_TRUE(Append(**writer, "yyyy").ok());
  ASSERT_TRUE((*writer)->Finish().ok());
  auto checkpoint = OpenSafetensors(path_);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_THAT(checkpoint->metadata, ElementsAre(Pair("format", "pt")));
  ASSERT_EQ(checkpoint->tensors.size(), 2u);
  const SafetensorsTensor& x = checkpoint->tensors[0];
  const SafetensorsTensor& y = checkpoint->tensors[1];
  EXPECT_EQ(x.offset % 8, 0u);
  EXPECT_EQ(Content().substr(x.offset, x.bytes), "xxx");
  EXPECT_EQ(Content().substr(y.offset, y.bytes), "YYYYyyyy");
  EXPECT_THAT(y.shape, ElementsAre(2, 2));
  EXPECT_EQ(FileCount(), 1u);
}

TEST_F(CheckpointWriterTest, TheFileAppearsOnlyWhenFinished) {
  std::ofstream(path_) << "old";
  auto writer = CheckpointWriter::Create(path_, kTwo);
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE(Append(**writer, "xxxYYYYyyyy").ok());
  EXPECT_EQ(Content(), "old");
  ASSERT_TRUE((*writer)->Finish().ok());
  EXPECT_NE(Content(), "old");
  EXPECT_EQ((*writer)->Finish().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Append(**writer, "x").code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(CheckpointWriterTest, AnAbandonedWriterLeavesNothing) {
  {
    auto writer = CheckpointWriter::Create(path_, kTwo);
    ASSERT_TRUE(Append(**writer, "xxx").ok());
    EXPECT_EQ(FileCount(), 1u);
  }
  EXPECT_EQ(FileCount(), 0u);
}

TEST_F(CheckpointWriterTest, MissingDataIsNotFinished) {
  auto writer = CheckpointWriter::Create(path_, kTwo);
  ASSERT_TRUE(Append(**writer, "xxx").ok());
  const absl::Status status = (*writer)->Finish();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("3 of 11 declared bytes"));
  writer->reset();
  EXPECT_EQ(FileCount(), 0u);
}

TEST_F(CheckpointWriterTest, TooMuchDataIsRefusedAndEndsTheWriter) {
  auto writer = CheckpointWriter::Create(path_, kTwo);
  EXPECT_EQ(Append(**writer, std::string(12, 'x')).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(Append(**writer, std::string(11, 'x')).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ((*writer)->Finish().code(), absl::StatusCode::kOutOfRange);
}

TEST_F(CheckpointWriterTest, BadDeclarationsAreRefused) {
  const auto error = [this](const std::vector<TensorSpec>& tensors,
                            const std::map<std::string, std::string>& metadata = {}) {
    auto writer = CheckpointWriter::Create(path_, tensors, metadata);
    EXPECT_EQ(writer.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(writer.status().message());
  };
  EXPECT_THAT(error({{"a", Dtype::kU8, {1}}, {"a", Dtype::kU8, {1}}}),
              HasSubstr("tensor 'a': the name is reserved or given twice"));
  EXPECT_THAT(error({{"__metadata__", Dtype::kU8, {1}}}), HasSubstr("reserved"));
  EXPECT_THAT(error({{"a\xff", Dtype::kU8, {1}}}), HasSubstr("not UTF-8"));
  EXPECT_THAT(error({{"a", Dtype::kF64, {uint64_t{1} << 61}}}), HasSubstr("overflows"));
  EXPECT_THAT(error({{"a", Dtype::kU8, {~uint64_t{0}}}, {"b", Dtype::kU8, {1}}}),
              HasSubstr("tensor 'b': the size overflows"));
  EXPECT_THAT(error({}, {{"k", "\xff"}}), HasSubstr("metadata 'k' is not UTF-8"));
  EXPECT_EQ(FileCount(), 0u);
}

TEST_F(CheckpointWriterTest, AMissingDirectoryIsNamed) {
  auto writer = CheckpointWriter::Create((folder_ / "none" / "m.safetensors").string(), kTwo);
  EXPECT_EQ(writer.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(writer.status().message()), HasSubstr("none/m.safetensors"));
}

TEST_F(CheckpointWriterTest, SyntheticCheckpointHasTheTensorsOfAMixtureOfExperts) {
  SyntheticCheckpointOptions options;
  options.layers = 2;
  options.experts = 3;
  options.hidden = 64;
  options.expert_bytes = 6 * 64 * 10 + 5;  // rounds down to a width of 10
  uint64_t last_done = 0, total = 0;
  options.progress = [&](uint64_t done, uint64_t all) {
    EXPECT_GT(done, last_done);
    last_done = done;
    total = all;
    return true;
  };
  ASSERT_TRUE(WriteSyntheticCheckpoint(path_, options).ok());
  auto checkpoint = OpenSafetensors(path_);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  ASSERT_EQ(checkpoint->tensors.size(), 2u * (5 + 2 * 3));
  EXPECT_EQ(checkpoint->tensors[0].name, "model.layers.0.input_layernorm.weight");
  const SafetensorsTensor& last = checkpoint->tensors.back();
  EXPECT_EQ(last.name, "model.layers.1.mlp.experts.2.down_proj.weight");
  EXPECT_THAT(last.shape, ElementsAre(64, 10));
  EXPECT_THAT((checkpoint->tensors.end() - 2)->shape, ElementsAre(20, 64));
  EXPECT_EQ(last_done, total);
  EXPECT_EQ(total, checkpoint->files[0].bytes - checkpoint->tensors[0].offset);
}

TEST_F(CheckpointWriterTest, SyntheticWeightsAreGaussianAndSeeded) {
  SyntheticCheckpointOptions options;
  options.layers = 1;
  options.experts = 1;
  ASSERT_TRUE(WriteSyntheticCheckpoint(path_, options).ok());
  const std::string first = Content();
  auto checkpoint = OpenSafetensors(path_);
  const SafetensorsTensor& tensor = checkpoint->tensors[1];
  double sum = 0, squares = 0, within = 0;
  const size_t count = tensor.bytes / 2;
  for (size_t i = 0; i < count; ++i) {
    uint16_t half;
    std::memcpy(&half, &first[tensor.offset + 2 * i], 2);
    const uint32_t bits = uint32_t{half} << 16;
    float weight;
    std::memcpy(&weight, &bits, 4);
    sum += weight;
    squares += double{weight} * weight;
    within += std::abs(weight) < 0.02f;
  }
  const double n = static_cast<double>(count);
  EXPECT_NEAR(sum / n, 0, 0.0002);
  EXPECT_NEAR(std::sqrt(squares / n), 0.02, 0.0002);
  EXPECT_NEAR(within / n, 0.6827, 0.005);  // one standard deviation
  ASSERT_TRUE(WriteSyntheticCheckpoint(path_, options).ok());
  EXPECT_EQ(Content(), first);
  options.seed = 2;
  ASSERT_TRUE(WriteSyntheticCheckpoint(path_, options).ok());
  EXPECT_NE(Content(), first);
}

TEST_F(CheckpointWriterTest, ProgressMayEndTheWriting) {
  SyntheticCheckpointOptions options;
  options.progress = [](uint64_t, uint64_t) { return false; };
  EXPECT_EQ(WriteSyntheticCheckpoint(path_, options).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(FileCount(), 0u);
}

TEST_F(CheckpointWriterTest, ImpossibleSyntheticOptionsAreRefused) {
  const auto code = [this](const SyntheticCheckpointOptions& options) {
    return WriteSyntheticCheckpoint(path_, options).code();
  };
  SyntheticCheckpointOptions options;
  options.layers = 0;
  EXPECT_EQ(code(options), absl::StatusCode::kInvalidArgument);
  options = {};
  options.experts = 2'000'000;
  EXPECT_EQ(code(options), absl::StatusCode::kInvalidArgument);
  options = {};
  options.hidden = 0;
  EXPECT_EQ(code(options), absl::StatusCode::kInvalidArgument);
  options = {};
  options.standard_deviation = 0;
  EXPECT_EQ(code(options), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace residency
