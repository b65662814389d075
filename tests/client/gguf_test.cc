#include "client/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include "client/gguf_header.h"
#include "tests/client/gguf_file.h"

namespace residency::client_test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr uint32_t kF32 = 0, kF16 = 1, kQ4_0 = 2, kQ4_K = 12;

class GgufTest : public testing::Test {
 protected:
  GgufTest() {
    std::string name = testing::TempDir() + "/gguf_XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    folder_ = name;
    file_.AddText("general.architecture", "toy");
    file_.tensors = {{"a", {4, 2}, kF32, 0}, {"b", {64}, kQ4_0, 32}};
    file_.data_bytes = 32 + 36;
  }
  ~GgufTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  std::string Put(const std::string& name, const std::string& content) const {
    std::ofstream(folder_ / name, std::ios::binary) << content;
    return (folder_ / name).string();
  }
  std::string Put(const std::string& name, const GgufTestFile& file) const {
    return Put(name, file.Encode());
  }
  // The message that opening gives; it must name the file.
  std::string ErrorOf(const std::string& content) const {
    auto checkpoint = OpenGguf(Put("m.gguf", content));
    if (checkpoint.ok()) return "OK";
    EXPECT_EQ(checkpoint.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(checkpoint.status().message()), HasSubstr("/m.gguf: "));
    return std::string(checkpoint.status().message());
  }
  std::string Error() const { return ErrorOf(file_.Encode()); }
  std::string ErrorOfTensor(GgufTestTensor tensor) {
    file_.tensors = {std::move(tensor)};
    const std::string error = Error();
    EXPECT_THAT(error, testing::AnyOf("OK", HasSubstr("m.gguf: tensor 't': ")));
    return error;
  }
  std::string ErrorOfMetadata(uint32_t type, const std::string& value) {
    file_.metadata.clear();
    file_.Add("k", type, value);
    return Error();
  }

  GgufTestFile file_;
  std::filesystem::path folder_;
};

TEST_F(GgufTest, TensorsAreFoundWhereTheyLie) {
  auto checkpoint = OpenGguf(Put("m.gguf", file_));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  ASSERT_EQ(checkpoint->tensors.size(), 2u);
  const GgufTensor& b = checkpoint->tensors[1];
  EXPECT_EQ(b.name, "b");
  EXPECT_STREQ(b.type->name, "Q4_0");
  EXPECT_EQ(b.shape, std::vector<uint64_t>{64});
  EXPECT_EQ(b.offset, file_.DataStart() + 32);
  EXPECT_EQ(b.bytes, 36u);
  EXPECT_EQ(checkpoint->files[0].bytes, file_.DataStart() + 68);
  EXPECT_EQ(checkpoint->files[0].header_bytes, file_.Header().size());
}

TEST_F(GgufTest, TensorsAreSortedByOffsetWhateverTheirOrder) {
  std::swap(file_.tensors[0], file_.tensors[1]);
  auto checkpoint = OpenGguf(Put("m.gguf", file_));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->tensors[0].name, "a");
}

TEST_F(GgufTest, EveryTypeHasItsBlock) {
  struct Case {
    uint32_t id;
    const char* name;
    uint64_t bytes_of_1024;
  };
  // Bits per weight as ggml's documentation gives them, times 128.
  for (const Case& c : std::initializer_list<Case>{
           {0, "F32", 4096},     {1, "F16", 2048},    {2, "Q4_0", 576},     {3, "Q4_1", 640},
           {6, "Q5_0", 704},     {7, "Q5_1", 768},    {8, "Q8_0", 1088},    {9, "Q8_1", 1152},
           {10, "Q2_K", 336},    {11, "Q3_K", 440},   {12, "Q4_K", 576},    {13, "Q5_K", 704},
           {14, "Q6_K", 840},    {15, "Q8_K", 1168},  {16, "IQ2_XXS", 264}, {17, "IQ2_XS", 296},
           {18, "IQ3_XXS", 392}, {19, "IQ1_S", 200},  {20, "IQ4_NL", 576},  {21, "IQ3_S", 440},
           {22, "IQ2_S", 328},   {23, "IQ4_XS", 544}, {24, "I8", 1024},     {25, "I16", 2048},
           {26, "I32", 4096},    {27, "I64", 8192},   {28, "F64", 8192},    {29, "IQ1_M", 224},
           {30, "BF16", 2048},   {34, "TQ1_0", 216},  {35, "TQ2_0", 264},   {39, "MXFP4", 544},
           {40, "NVFP4", 576},   {41, "Q1_0", 144}}) {
    auto type = FindGgmlType(c.id);
    ASSERT_TRUE(type.ok()) << c.name << ": " << type.status();
    EXPECT_STREQ((*type)->name, c.name);
    auto bytes = GgmlBytes(**type, {512, 2});
    ASSERT_TRUE(bytes.ok()) << c.name << ": " << bytes.status();
    EXPECT_EQ(*bytes, c.bytes_of_1024) << c.name;
  }
}

TEST_F(GgufTest, MetadataOfEveryTypeIsRead) {
  file_.metadata.clear();
  file_.Add("u8", 0, Little(200, 1));
  file_.Add("i8", 1, Little(0xfe, 1));
  file_.Add("i16", 3, Little(0x8000, 2));
  file_.Add("i32", 5, Little(7, 4));
  file_.Add("f32", 6, Little(0x3f800000, 4));
  file_.Add("yes", 7, Little(1, 1));
  file_.AddText("text", "hello");
  file_.Add("u64", 10, Little(~uint64_t{0}, 8));
  file_.Add("i64", 11, Little(~uint64_t{0}, 8));
  file_.Add("f64", 12, Little(0x4000000000000000, 8));
  const std::string texts = Little(8, 4) + Little(2, 8) + GgufText("x") + GgufText("");
  file_.Add("texts", 9, texts);
  file_.Add("nested", 9, Little(9, 4) + Little(2, 8) + texts + Little(7, 4) + Little(0, 8));
  const std::string bytes = file_.Encode();
  auto header = ParseGgufHeader("m.gguf", bytes, bytes.size());
  ASSERT_TRUE(header.ok()) << header.status();
  const auto& found = header->metadata;
  EXPECT_EQ(std::get<uint64_t>(found.at("u8")), 200u);
  EXPECT_EQ(std::get<int64_t>(found.at("i8")), -2);
  EXPECT_EQ(std::get<int64_t>(found.at("i16")), -32768);
  EXPECT_EQ(std::get<int64_t>(found.at("i32")), 7);
  EXPECT_EQ(std::get<double>(found.at("f32")), 1.0);
  EXPECT_EQ(std::get<bool>(found.at("yes")), true);
  EXPECT_EQ(std::get<std::string>(found.at("text")), "hello");
  EXPECT_EQ(std::get<uint64_t>(found.at("u64")), ~uint64_t{0});
  EXPECT_EQ(std::get<int64_t>(found.at("i64")), -1);
  EXPECT_EQ(std::get<double>(found.at("f64")), 2.0);
  EXPECT_EQ(std::get<GgufArray>(found.at("texts")).count, 2u);
  EXPECT_EQ(std::get<GgufArray>(found.at("nested")).element_type, 9u);
}

TEST_F(GgufTest, AlignmentOfTheFileIsTaken) {
  file_.AddU32("general.alignment", 64);
  file_.alignment = 64;
  file_.tensors[1].offset = 64;
  file_.data_bytes = 64 + 36;
  auto checkpoint = OpenGguf(Put("m.gguf", file_));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->tensors[0].offset % 64, 0u);
  file_.tensors[1].offset = 32;
  EXPECT_THAT(Error(), HasSubstr("tensor 'b': offset 32 is not a multiple of the alignment, 64"));
}

TEST_F(GgufTest, BadAlignmentIsAnError) {
  for (uint32_t alignment : {0u, 1u, 4u, 24u, 48u}) {
    GgufTestFile file = file_;
    file.AddU32("general.alignment", alignment);
    EXPECT_THAT(ErrorOf(file.Encode()), HasSubstr("must be a power of two from 8 on")) << alignment;
  }
  file_.AddText("general.alignment", "32");
  EXPECT_THAT(Error(), HasSubstr("must be an unsigned number of 32 bits"));
}

TEST_F(GgufTest, HeaderAboveTheFirstReadIsReadOn) {
  file_.AddText("long", std::string(3'000'000, 'x'));
  auto checkpoint = OpenGguf(Put("m.gguf", file_));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->files[0].header_bytes, file_.Header().size());
}

TEST_F(GgufTest, EveryCutThroughTheHeaderIsSeen) {
  const std::string whole = file_.Encode();
  for (size_t bytes = 0; bytes < file_.Header().size(); ++bytes) {
    EXPECT_THAT(ErrorOf(whole.substr(0, bytes)),
                testing::AnyOf(HasSubstr("truncated"), HasSubstr("do not fit")))
        << bytes;
    // The same bytes of a longer file are only not enough yet.
    const std::string prefix = whole.substr(0, bytes);
    EXPECT_TRUE(absl::IsOutOfRange(ParseGgufHeader("f", prefix, whole.size()).status())) << bytes;
  }
  EXPECT_THAT(ErrorOf(whole.substr(0, whole.size() - 1)),
              AllOf(HasSubstr("tensor 'b': "), HasSubstr("go beyond the file")));
}

TEST_F(GgufTest, OtherFormatsAndVersionsAreNamed) {
  file_.magic = "GGJT";
  EXPECT_THAT(Error(), HasSubstr("begins with 'GGJT', not with 'GGUF'"));
  file_.magic = "GGUF";
  for (uint32_t version : {1u, 2u}) {
    file_.version = version;
    EXPECT_THAT(Error(), HasSubstr("only version 3 can be read: convert the file again"));
  }
  file_.version = 4;
  EXPECT_THAT(Error(), HasSubstr("has GGUF version 4; only version 3 can be read"));
  file_.version = 0x03000000;
  EXPECT_THAT(Error(), HasSubstr("is big endian (version 3); only little-endian"));
}

TEST_F(GgufTest, AbsurdCountsAreRefusedBeforeTheyAreBelieved) {
  file_.more_tensors = int64_t{1} << 60;
  EXPECT_THAT(Error(), HasSubstr("tensors; at most 1000000 are understood"));
  file_.more_tensors = 1000;
  EXPECT_THAT(Error(), HasSubstr("claims 1002 tensors, which do not fit the file"));
  file_.more_tensors = 0;
  file_.more_metadata = int64_t{1} << 60;
  EXPECT_THAT(Error(), HasSubstr("metadata entries; at most 65536 are understood"));
  file_.more_metadata = 0;
  EXPECT_THAT(ErrorOfMetadata(9, Little(4, 4) + Little(uint64_t{1} << 62, 8)),
              HasSubstr("does not fit the header"));
  EXPECT_THAT(ErrorOfMetadata(8, Little(uint64_t{1} << 62, 8)), HasSubstr("above the limit"));
}

TEST_F(GgufTest, BadMetadataIsAnError) {
  EXPECT_THAT(ErrorOfMetadata(13, ""), HasSubstr("metadata of type 13"));
  EXPECT_THAT(ErrorOfMetadata(9, Little(13, 4) + Little(0, 8)), HasSubstr("metadata of type 13"));
  EXPECT_THAT(ErrorOfMetadata(7, Little(2, 1)), HasSubstr("a truth value of 2"));
  EXPECT_THAT(ErrorOfMetadata(9, Little(7, 4) + Little(1, 8) + Little(3, 1)),
              HasSubstr("a truth value of 3"));
  std::string nested = Little(0, 4) + Little(0, 8);
  for (int i = 0; i < kMaxGgufArrayDepth; ++i) nested = Little(9, 4) + Little(1, 8) + nested;
  EXPECT_THAT(ErrorOfMetadata(9, nested), HasSubstr("nested more than 4 deep"));
  file_.AddU32("k", 1);
  file_.AddU32("k", 1);
  EXPECT_NE(Error(), "OK");
  file_.metadata.clear();
  file_.AddU32("k", 1);
  file_.AddU32("k", 2);
  EXPECT_THAT(Error(), HasSubstr("the metadata key 'k' is given twice"));
  file_.metadata.clear();
  file_.AddU32("", 1);
  EXPECT_THAT(Error(), HasSubstr("metadata entry 0 has no key"));
}

TEST_F(GgufTest, BadTensorIsAnErrorThatNamesIt) {
  EXPECT_THAT(ErrorOfTensor({"t", {1, 1, 1, 1, 1}, kF32, 0}), HasSubstr("has 5 dimensions"));
  EXPECT_THAT(ErrorOfTensor({"t", {33}, kQ4_0, 0}), HasSubstr("a row of 33 elements"));
  EXPECT_THAT(ErrorOfTensor({"t", {32, 8}, kQ4_K, 0}), HasSubstr("which hold 256"));
  EXPECT_THAT(ErrorOfTensor({"t", {1}, 4, 0}), HasSubstr("type 4 has been withdrawn"));
  EXPECT_THAT(ErrorOfTensor({"t", {1}, 99, 0}), HasSubstr("type 99 is unknown"));
  EXPECT_THAT(ErrorOfTensor({"t", {1}, kF32, 8}), HasSubstr("not a multiple of the alignment"));
  EXPECT_THAT(ErrorOfTensor({"t", {1 << 20}, kF32, 0}), HasSubstr("go beyond the file"));
  EXPECT_THAT(ErrorOfTensor({"t", {1}, kF32, 0 - uint64_t{32}}), HasSubstr("go beyond the file"));
  const uint64_t huge = uint64_t{1} << 40;
  EXPECT_THAT(ErrorOfTensor({"t", {huge, huge}, kF16, 0}), HasSubstr("does not fit 63 bits"));
  EXPECT_THAT(ErrorOfTensor({"t", {huge, huge, 0}, kF16, 0}), HasSubstr("does not fit 63 bits"));
}

TEST_F(GgufTest, BadNamesAreErrors) {
  file_.tensors[1].name = "a";
  EXPECT_THAT(Error(), HasSubstr("tensor 'a': the name is given twice"));
  file_.tensors[1].name = "";
  EXPECT_THAT(Error(), HasSubstr("tensor number 1 has no name"));
  file_.tensors[1].name = "\xff";
  EXPECT_THAT(Error(), HasSubstr("the name is not UTF-8"));
  file_.tensors[1].name = std::string(256, 'x');
  EXPECT_THAT(Error(), HasSubstr("a text of 256 bytes"));
}

TEST_F(GgufTest, OverlapIsAnError) {
  file_.tensors[0].shape = {9};
  EXPECT_THAT(Error(), AllOf(HasSubstr("tensor 'b': begins at byte"),
                             HasSubstr("inside tensor 'a', which ends at")));
}

TEST_F(GgufTest, FileThatIsNoRegularOneIsRefused) {
  EXPECT_TRUE(absl::IsNotFound(OpenGguf((folder_ / "absent.gguf").string()).status()));
  std::filesystem::create_directory(folder_ / "d.gguf");
  EXPECT_FALSE(OpenGguf((folder_ / "d.gguf").string()).ok());
}

class GgufPartsTest : public GgufTest {
 protected:
  static GgufTestFile Part(uint16_t number, uint16_t count, uint32_t tensors,
                           const std::string& tensor) {
    GgufTestFile file;
    file.AddU16("split.no", number);
    file.AddU16("split.count", count);
    file.Add("split.tensors.count", 5, Little(tensors, 4));
    if (!tensor.empty()) file.tensors = {{tensor, {8}, kF32, 0}};
    file.data_bytes = 32;
    return file;
  }
  std::string ErrorOfParts() const {
    auto checkpoint = OpenGguf((folder_ / "m-00001-of-00003.gguf").string());
    return checkpoint.ok() ? "OK" : std::string(checkpoint.status().message());
  }
};

TEST_F(GgufPartsTest, FirstPartNamesAllOthers) {
  Put("m-00001-of-00003.gguf", Part(0, 3, 2, ""));
  Put("m-00002-of-00003.gguf", Part(1, 3, 2, "a"));
  Put("m-00003-of-00003.gguf", Part(2, 3, 2, "b"));
  auto checkpoint = OpenGguf((folder_ / "m-00001-of-00003.gguf").string());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  ASSERT_EQ(checkpoint->files.size(), 3u);
  ASSERT_EQ(checkpoint->tensors.size(), 2u);
  EXPECT_EQ(checkpoint->tensors[1].file, 2u);
  auto second = OpenGguf((folder_ / "m-00002-of-00003.gguf").string());
  EXPECT_THAT(std::string(second.status().message()),
              AllOf(HasSubstr("is part 2 of 3; name the first: "), HasSubstr("m-00001-of-00003")));
}

TEST_F(GgufPartsTest, PartsThatDoNotBelongTogetherAreErrors) {
  Put("m-00001-of-00003.gguf", Part(0, 3, 2, ""));
  Put("m-00002-of-00003.gguf", Part(1, 3, 2, "a"));
  EXPECT_THAT(ErrorOfParts(), HasSubstr("m-00003-of-00003.gguf: cannot open"));
  Put("m-00003-of-00003.gguf", Part(1, 3, 2, "b"));
  EXPECT_THAT(ErrorOfParts(), HasSubstr("says that it is part 2 of 3"));
  Put("m-00003-of-00003.gguf", Part(2, 3, 2, "a"));
  EXPECT_THAT(ErrorOfParts(), HasSubstr("tensor 'a': is in another part"));
  Put("m-00003-of-00003.gguf", Part(2, 3, 2, ""));
  EXPECT_THAT(ErrorOfParts(), HasSubstr("'split.tensors.count' is 2, but its 3 parts hold 1"));
  EXPECT_THAT(ErrorOf(Part(0, 3, 2, "").Encode()), HasSubstr("must end in -00001-of-00003.gguf"));
  Put("m-00001-of-00003.gguf", file_);
  EXPECT_THAT(ErrorOfParts(), HasSubstr("is named as one of several parts"));
  EXPECT_THAT(ErrorOf(Part(0, 20'000, 2, "").Encode()), HasSubstr("at most 10000"));
}

}  // namespace
}  // namespace residency::client_test
