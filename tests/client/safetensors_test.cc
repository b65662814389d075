#include "client/safetensors.h"

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "client/safetensors_header.h"
#include "client/safetensors_json.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace residency {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

std::string Little64(uint64_t value) {
  std::string out;
  for (int i = 0; i < 8; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

std::string FileOf(const std::string& json, size_t data_bytes) {
  return Little64(json.size()) + json + std::string(data_bytes, 'd');
}

// A folder of checkpoint files, removed at the end of the test.
class SafetensorsTest : public testing::Test {
 protected:
  SafetensorsTest() {
    std::string name = testing::TempDir() + "/safetensors_XXXXXX";
    if (mkdtemp(name.data()) == nullptr) std::abort();
    folder_ = name;
  }
  ~SafetensorsTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  std::string Path(const std::string& name) const { return (folder_ / name).string(); }

  std::string Put(const std::string& name, const std::string& content) const {
    std::filesystem::create_directories((folder_ / name).parent_path());
    std::ofstream(Path(name), std::ios::binary) << content;
    return Path(name);
  }

  // The message that opening `path` gives; it must name the path's last part.
  std::string ErrorOf(const std::string& path) const {
    auto checkpoint = OpenSafetensors(path);
    if (checkpoint.ok()) return "OK";
    EXPECT_EQ(checkpoint.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(checkpoint.status().message());
  }

  std::string ErrorOfContent(const std::string& content) const {
    const std::string error = ErrorOf(Put("m.safetensors", content));
    EXPECT_THAT(error, testing::AnyOf("OK", HasSubstr("m.safetensors: ")));
    return error;
  }

  std::string ErrorOfJson(const std::string& json, size_t data_bytes) const {
    return ErrorOfContent(FileOf(json, data_bytes));
  }

  // The message for one tensor 't' with this description, in 8 bytes of data.
  std::string ErrorOfTensor(const std::string& description) const {
    const std::string error = ErrorOfJson("{\"t\":" + description + "}", 8);
    EXPECT_THAT(error, testing::AnyOf("OK", HasSubstr("m.safetensors: tensor 't': ")));
    return error;
  }

  std::filesystem::path folder_;
};

constexpr char kGood[] = R"({"__metadata__":{"format":"pt"},)"
                         R"("b":{"dtype":"F32","shape":[2,3],"data_offsets":[4,28]},)"
                         R"("a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},)"
                         R"("s":{"dtype":"U8","shape":[],"data_offsets":[28,29]},)"
                         R"("z":{"dtype":"F16","shape":[0,7],"data_offsets":[28,28]}} )";

TEST_F(SafetensorsTest, ListsTensorsWithAbsoluteRanges) {
  const std::string path = Put("m.safetensors", FileOf(kGood, 29));
  auto checkpoint = OpenSafetensors(path);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const uint64_t data = 8 + sizeof(kGood) - 1;
  ASSERT_EQ(checkpoint->files.size(), 1u);
  EXPECT_EQ(checkpoint->files[0].path, path);
  EXPECT_EQ(checkpoint->files[0].bytes, data + 29);
  EXPECT_THAT(checkpoint->metadata, ElementsAre(Pair("format", "pt")));
  ASSERT_EQ(checkpoint->tensors.size(), 4u);
  const auto& [a, b, z, s] = std::tie(checkpoint->tensors[0], checkpoint->tensors[1],
                                      checkpoint->tensors[2], checkpoint->tensors[3]);
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.dtype, Dtype::kBF16);
  EXPECT_EQ(a.offset, data);
  EXPECT_EQ(a.bytes, 4u);
  EXPECT_EQ(b.name, "b");
  EXPECT_THAT(b.shape, ElementsAre(2, 3));
  EXPECT_EQ(b.offset, data + 4);
  EXPECT_EQ(b.bytes, 24u);
  EXPECT_EQ(z.name, "z");
  EXPECT_EQ(z.bytes, 0u);
  EXPECT_EQ(s.name, "s");
  EXPECT_TRUE(s.shape.empty());
  EXPECT_EQ(s.bytes, 1u);
}

TEST_F(SafetensorsTest, EveryDtypeOfTheFormatIsKnown) {
  const std::pair<const char*, uint64_t> kAll[] = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1},
      {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},
      {"U32", 4},  {"F32", 4}, {"F64", 8}, {"I64", 8},     {"U64", 8}};
  for (const auto& [name, bytes] : kAll) {
    const auto dtype = DtypeFromName(name);
    ASSERT_TRUE(dtype.has_value()) << name;
    EXPECT_STREQ(Name(*dtype), name);
    EXPECT_EQ(ItemBytes(*dtype), bytes) << name;
  }
  EXPECT_EQ(std::size(kAll), static_cast<size_t>(kDtypeCount));
  EXPECT_FALSE(DtypeFromName("bf16").has_value());
}

TEST_F(SafetensorsTest, AFileWithoutTensorsIsEmpty) {
  auto checkpoint = OpenSafetensors(Put("m.safetensors", FileOf("{}", 0)));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_TRUE(checkpoint->tensors.empty());
}

TEST_F(SafetensorsTest, EveryTruncationIsAnError) {
  const std::string content = FileOf(kGood, 29);
  for (size_t size = 0; size < content.size(); ++size) {
    EXPECT_NE(ErrorOfContent(content.substr(0, size)), "OK") << size;
  }
  EXPECT_THAT(ErrorOfContent(content.substr(0, 7)), HasSubstr("holds 7 bytes"));
  EXPECT_THAT(
      ErrorOfContent(content.substr(0, 100)),
      AllOf(HasSubstr("goes beyond the file, which has 100 bytes"), HasSubstr("truncated")));
  EXPECT_THAT(ErrorOfContent(content.substr(0, content.size() - 2)),
              AllOf(HasSubstr("tensor 'b': data ends at 28"), HasSubstr("truncated")));
}

TEST_F(SafetensorsTest, HeaderLengthIsLimited) {
  EXPECT_THAT(ErrorOfContent(Little64(kMaxSafetensorsHeaderBytes + 1) + "{}"),
              HasSubstr("header length 100000001 is above the limit of 100000000"));
  EXPECT_THAT(ErrorOfContent(Little64(~uint64_t{0}) + "{}"), HasSubstr("above the limit"));
  EXPECT_THAT(ErrorOfContent(Little64(kMaxSafetensorsHeaderBytes) + "{}"),
              HasSubstr("goes beyond the file"));
}

TEST_F(SafetensorsTest, HeadersThatAreNotJsonAreErrors) {
  EXPECT_THAT(ErrorOfJson("", 0), HasSubstr("does not begin with '{'"));
  EXPECT_THAT(ErrorOfJson(" {}", 0), HasSubstr("does not begin with '{'"));
  EXPECT_THAT(ErrorOfJson("[]", 0), HasSubstr("does not begin with '{'"));
  EXPECT_THAT(ErrorOfJson("{", 0), HasSubstr("not valid UTF-8 JSON"));
  EXPECT_THAT(ErrorOfJson("{} {}", 0), HasSubstr("not valid UTF-8 JSON"));
  EXPECT_THAT(ErrorOfJson(std::string("{}\0junk", 7), 0), HasSubstr("at byte 2 of it: a NUL"));
  EXPECT_THAT(ErrorOfJson("{\"\xc3\x28\":1}", 0), HasSubstr("not valid UTF-8 JSON"));
  EXPECT_THAT(ErrorOfJson("{\"\xed\xa0\x80\":1}", 0), HasSubstr("not valid UTF-8 JSON"));
  EXPECT_THAT(ErrorOfJson("{\"t\":1e999}", 0), HasSubstr("not valid UTF-8 JSON"));
  EXPECT_THAT(ErrorOfJson("{\"t\":" + std::string(100'000, '['), 0),
              HasSubstr("nested more than 16 deep"));
}

TEST_F(SafetensorsTest, DuplicateNamesAreErrors) {
  const std::string tensor = R"({"dtype":"U8","shape":[4],"data_offsets":[0,4]})";
  EXPECT_THAT(ErrorOfJson("{\"twin\":" + tensor + ",\"twin\":" + tensor + "}", 4),
              HasSubstr("the name 'twin' is given twice"));
  EXPECT_THAT(ErrorOfJson("{\"twin\":" + tensor + ",\"\\u0074win\":" + tensor + "}", 4),
              HasSubstr("the name 'twin' is given twice"));
  EXPECT_THAT(ErrorOfJson(R"({"__metadata__":{"a":"1","a":"2"}})", 0),
              HasSubstr("the name 'a' is given twice"));
  EXPECT_THAT(
      ErrorOfJson(R"({"t":{"dtype":"U8","shape":[4],"shape":[4],"data_offsets":[0,4]}})", 4),
      HasSubstr("the name 'shape' is given twice"));
}

TEST_F(SafetensorsTest, MalformedTensorsAreNamed) {
  const std::pair<const char*, const char*> kCases[] = {
      {R"([])", "must be an object, found array"},
      {R"(null)", "must be an object, found null"},
      {R"({"shape":[8],"data_offsets":[0,8]})", "has no 'dtype'"},
      {R"({"dtype":"U8","data_offsets":[0,8]})", "has no 'shape'"},
      {R"({"dtype":"U8","shape":[8]})", "has no 'data_offsets'"},
      {R"({"dtype":7,"shape":[8],"data_offsets":[0,8]})", "'dtype' must be text, found number"},
      {R"({"dtype":"F4","shape":[8],"data_offsets":[0,8]})", "unknown dtype 'F4'"},
      {R"({"dtype":"U8","shape":8,"data_offsets":[0,8]})", "'shape' must be a list, found number"},
      {R"({"dtype":"U8","shape":["8"],"data_offsets":[0,8]})", "'shape' must hold integers"},
      {R"({"dtype":"U8","shape":[-8],"data_offsets":[0,8]})", "found -8"},
      {R"({"dtype":"U8","shape":[8.0],"data_offsets":[0,8]})", "found 8.0"},
      {R"({"dtype":"U8","shape":[true],"data_offsets":[0,8]})", "found boolean"},
      {R"({"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,8]})", "2^64-1"},
      {R"({"dtype":"U8","shape":[8],"data_offsets":{}})", "'data_offsets' must be a list"},
      {R"({"dtype":"U8","shape":[8],"data_offsets":[0]})", "found 1 values"},
      {R"({"dtype":"U8","shape":[8],"data_offsets":[0,8,8]})", "found 3 values"},
      {R"({"dtype":"U8","shape":[8],"data_offsets":[-1,7]})", "found -1"},
      {R"({"dtype":"U8","shape":[8],"data_offsets":[8,0]})", "reversed: begin 8, end 0"},
      {R"({"dtype":"U8","shape":[9],"data_offsets":[0,9]})", "data ends at 9, but"},
      {R"({"dtype":"U8","shape":[8],"data_offsets":[0,18446744073709551615]})", "but the file"},
      {R"({"dtype":"U8","shape":[7],"data_offsets":[0,8]})", "needs 7 bytes, but the offsets"},
      {R"({"dtype":"F32","shape":[8],"data_offsets":[0,8]})", "[8] of F32 needs 32 bytes"},
      {R"({"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,8]})", "overflows"},
      {R"({"dtype":"F64","shape":[2305843009213693953],"data_offsets":[0,8]})", "overflows"},
      {R"({"dtype":"U8","shape":[8],"data_offsets":[0,8],"x":1})", "unknown field 'x'"},
  };
  for (const auto& [description, error] : kCases) {
    EXPECT_THAT(ErrorOfTensor(description), HasSubstr(error)) << description;
  }
  EXPECT_EQ(ErrorOfTensor(R"({"dtype":"U8","shape":[8],"data_offsets":[0,8]})"), "OK");
}

TEST_F(SafetensorsTest, RangesMustCoverTheDataOnce) {
  const auto two = [](const std::string& first, const std::string& second) {
    return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + first +
           R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + second + "}}";
  };
  EXPECT_EQ(ErrorOfJson(two("[4,8]", "[0,4]"), 8), "OK");
  EXPECT_THAT(ErrorOfJson(two("[0,4]", "[3,7]"), 8),
              HasSubstr("tensor 'b': begins at 3, inside tensor 'a', which ends at 4"));
  EXPECT_THAT(ErrorOfJson(two("[0,4]", "[0,4]"), 4), HasSubstr("tensor 'b': begins at 0, inside"));
  EXPECT_THAT(ErrorOfJson(two("[0,4]", "[5,9]"), 9),
              HasSubstr("tensor 'b': begins at 5, but data up to 4 only is covered"));
  EXPECT_THAT(ErrorOfJson(two("[1,5]", "[5,9]"), 9), HasSubstr("tensor 'a': begins at 1"));
  EXPECT_THAT(ErrorOfJson(two("[0,4]", "[4,8]"), 9),
              HasSubstr("the tensors up to 'b' cover 8 of 9 bytes"));
  EXPECT_THAT(ErrorOfJson("{}", 1), HasSubstr("cover 0 of 1 bytes"));
}

TEST_F(SafetensorsTest, MetadataMustMapTextToText) {
  EXPECT_THAT(ErrorOfJson(R"({"__metadata__":[]})", 0), HasSubstr("must be an object"));
  EXPECT_THAT(ErrorOfJson(R"({"__metadata__":{"n":1}})", 0),
              HasSubstr("entry 'n' must be text, found number"));
}

TEST_F(SafetensorsTest, LongOrBinaryNamesAreShownShortAndEscaped) {
  const std::string error = ErrorOfJson("{\"" + std::string(5000, 'n') + "\\n\":1}", 0);
  EXPECT_LT(error.size(), 600u);
  EXPECT_THAT(error, HasSubstr("nnn...'"));
  EXPECT_THAT(ErrorOfJson("{\"a\\nb\":1}", 0), HasSubstr("tensor 'a\\nb'"));
}

TEST_F(SafetensorsTest, WhatIsNotAFileIsRefused) {
  EXPECT_EQ(OpenSafetensors(Path("none.safetensors")).status().code(), absl::StatusCode::kNotFound);
  ASSERT_EQ(mkfifo(Path("fifo.safetensors").c_str(), 0600), 0);
  EXPECT_THAT(ErrorOf(Path("fifo.safetensors")), HasSubstr("not a regular file"));
}

constexpr char kShard1[] =
    R"({"__metadata__":{"k":"1"},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
    R"("extra":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}})";
constexpr char kShard2[] = R"({"__metadata__":{"k":"2","l":"x"},)"
                           R"("b":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})";

TEST_F(SafetensorsTest, AShardedIndexListsWhatItNames) {
  Put("model-1.safetensors", FileOf(kShard1, 6));
  Put("sub/model-2.safetensors", FileOf(kShard2, 3));
  const std::string index = Put(
      "model.safetensors.index.json",
      R"({"metadata":{"total_size":7},"weight_map":{"b":"sub/model-2.safetensors","a":"model-1.safetensors"}})");
  for (const std::string& path : {index, folder_.string()}) {
    auto checkpoint = OpenSafetensors(path);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    ASSERT_EQ(checkpoint->files.size(), 2u);
    EXPECT_EQ(checkpoint->files[0].path, Path("model-1.safetensors"));
    EXPECT_EQ(checkpoint->files[1].path, Path("sub/model-2.safetensors"));
    ASSERT_EQ(checkpoint->tensors.size(), 2u);
    EXPECT_EQ(checkpoint->tensors[0].name, "a");
    EXPECT_EQ(checkpoint->tensors[0].file, 0u);
    EXPECT_EQ(checkpoint->tensors[1].name, "b");
    EXPECT_EQ(checkpoint->tensors[1].file, 1u);
    EXPECT_EQ(checkpoint->tensors[1].offset, 8 + sizeof(kShard2) - 1);
    EXPECT_THAT(checkpoint->metadata, ElementsAre(Pair("k", "1"), Pair("l", "x")));
  }
}

TEST_F(SafetensorsTest, MalformedIndexesNameIndexAndTensor) {
  Put("s.safetensors", FileOf(kShard1, 6));
  const auto error = [this](const std::string& json) {
    return ErrorOf(Put("m.safetensors.index.json", json));
  };
  EXPECT_THAT(error("[]"), HasSubstr("m.safetensors.index.json: an index must be an object"));
  EXPECT_THAT(error("{}"), HasSubstr("object 'weight_map'"));
  EXPECT_THAT(error(R"({"weight_map":[]})"), HasSubstr("object 'weight_map'"));
  EXPECT_THAT(error(R"({"weight_map":{}})"), HasSubstr("names no tensor"));
  EXPECT_THAT(error("{"), HasSubstr("m.safetensors.index.json: the JSON is not valid"));
  EXPECT_THAT(error(R"({"weight_map":{"a":1}})"),
              HasSubstr("tensor 'a': its shard must be text, found number"));
  EXPECT_THAT(error(R"({"weight_map":{"a":"s.safetensors","a":"s.safetensors"}})"),
              HasSubstr("the name 'a' is given twice"));
  EXPECT_THAT(error(R"({"weight_map":{"lost":"s.safetensors"}})"),
              HasSubstr("s.safetensors: tensor 'lost' is not in this shard"));
  for (const char* escape : {"../s.safetensors", "/etc/passwd", "x/../../s.safetensors", "", "..",
                             "s.safetensors\\u0000"}) {
    EXPECT_THAT(error(std::string(R"({"weight_map":{"a":")") + escape + "\"}}"),
                HasSubstr("is not below the index's own directory"))
        << escape;
  }
}

TEST_F(SafetensorsTest, AMissingShardIsNamed) {
  auto missing = OpenSafetensors(
      Put("m.safetensors.index.json", R"({"weight_map":{"a":"gone.safetensors"}})"));
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("gone.safetensors"));
}

TEST_F(SafetensorsTest, AnOversizedIndexIsRefusedUnread) {
  const std::string path = Put("m.safetensors.index.json", "{}");
  std::filesystem::resize_file(path, kMaxSafetensorsHeaderBytes + 1);  // sparse
  EXPECT_THAT(ErrorOf(path), HasSubstr("above the limit"));
}

TEST_F(SafetensorsTest, ADirectoryMustHoldOneCheckpoint) {
  EXPECT_EQ(OpenSafetensors(folder_.string()).status().code(), absl::StatusCode::kNotFound);
  Put("a.safetensors", FileOf("{}", 0));
  EXPECT_TRUE(OpenSafetensors(folder_.string()).ok());
  Put("b.safetensors", FileOf("{}", 0));
  EXPECT_THAT(ErrorOf(folder_.string()), HasSubstr("0 indexes and 2 safetensors files; name the"));
}

TEST_F(SafetensorsTest, DamagedHeadersNeverCrashTheReader) {
  std::string json = kGood;
  for (size_t i = 0; i < json.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      json[i] ^= static_cast<char>(1 << bit);
      ParseSafetensorsHeader("m", json, 29).IgnoreError();
      json[i] ^= static_cast<char>(1 << bit);
    }
  }
}

}  // namespace
}  // namespace residency
