#include "sim/rtrace.h"

#include <sys/stat.h>

#include <functional>

#include "gmock/gmock.h"
#include "tests/sim/sha256.h"
#include "tests/sim/trace_test_util.h"

namespace residency {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr size_t kRecordStart = 252;  // of the tiny trace: 12 + 240 of header

std::string Tiny() { return *EncodeTrace(TinyTrace()); }

std::string Error(const std::string& content, const TraceLimits& limits = {}) {
  auto trace = ParseTrace("t.rtr", content, limits);
  if (trace.ok()) return "OK";
  EXPECT_EQ(trace.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(trace.status().message());
}

std::string Little32(uint32_t value) {
  std::string out;
  for (int i = 0; i < 4; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

// The tiny file with another header text.
std::string WithJson(const std::string& json) {
  return "RTRACE01" + Little32(static_cast<uint32_t>(json.size())) + json +
         Tiny().substr(kRecordStart);
}

// The tiny file with one part of its header text replaced.
std::string WithJsonEdit(const std::string& from, const std::string& to) {
  std::string json = Tiny().substr(12, kRecordStart - 12);
  const size_t at = json.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return WithJson(json.replace(at, from.size(), to));
}

// The tiny trace, with 4 experts of 2 ranks, so that ranks can disagree.
Trace TwoRanks() {
  Trace trace = TinyTrace();
  trace.header.top_k = 2;
  TraceRequest& request = trace.requests[0];
  request.tokens = 1;
  request.top_k = 2;
  request.experts = {0, 1, 2, 3};
  request.gates = {40000, 20000, 40000, 20000};
  return trace;
}

TEST(RtraceTest, Sha256OfTheTestIsRight) {
  EXPECT_EQ(Sha256::Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(RtraceTest, TinyTraceIsTheReferenceFileByteForByte) {
  const std::string content = Tiny();
  EXPECT_EQ(content.size(), 300u);
  EXPECT_EQ(Sha256::Hex(content),
            "ec842fa3a15ef51571f0196306381945790ce8f3a645a1b260d7e15d21401f23");
}

TEST(RtraceTest, ReadsBackWhatItWrote) {
  auto trace = ParseTrace("t.rtr", Tiny());
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ(trace->header.model, "tiny");
  EXPECT_EQ(trace->header.layers, 2u);
  EXPECT_EQ(trace->header.experts, 4u);
  EXPECT_EQ(trace->header.top_k, 1u);
  EXPECT_THAT(trace->header.expert_bytes, ElementsAre(1'000'000, 1'000'000));
  EXPECT_FALSE(trace->header.dense_bytes_per_layer.has_value());
  EXPECT_TRUE(trace->header.has_gates());
  ASSERT_EQ(trace->requests.size(), 1u);
  const TraceRequest& request = trace->requests[0];
  EXPECT_EQ(request.tokens, 6u);
  EXPECT_THAT(request.Experts(4, 1), ElementsAre(2));
  EXPECT_THAT(request.Experts(5, 0), ElementsAre(2));
  EXPECT_THAT(request.Gates(5, 1), ElementsAre(kGateOne));
}

TEST(RtraceTest, ManyExpertsAreStoredInTwoBytes) {
  Trace trace = TinyTrace();
  trace.header.experts = 300;
  trace.header.expert_bytes = {7, 8};
  trace.header.dense_bytes_per_layer = {{5, 5}};
  trace.requests[0].experts[3] = 299;
  trace.requests[0].prompt_tokens = 2;
  auto back = ParseTrace("t.rtr", *EncodeTrace(trace));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->requests[0].experts, trace.requests[0].experts);
  EXPECT_EQ(back->requests[0].prompt_tokens, 2u);
  EXPECT_THAT(back->header.expert_bytes, ElementsAre(7, 8));
  EXPECT_THAT(*back->header.dense_bytes_per_layer, ElementsAre(5, 5));
}

TEST(RtraceTest, CompressedFilesAreKnownByTheirBytesNotTheirName) {
  TempFolder folder;
  ASSERT_TRUE(WriteTrace(TinyTrace(), folder.File("a.rtr")).ok());
  ASSERT_TRUE(WriteTrace(TinyTrace(), folder.File("a.rtr.zst")).ok());
  EXPECT_EQ(GetFile(folder.File("a.rtr")), Tiny());
  const std::string packed = GetFile(folder.File("a.rtr.zst"));
  EXPECT_EQ(packed.substr(0, 4), "\x28\xb5\x2f\xfd");
  PutFile(folder.File("renamed.bin"), packed);
  auto trace = ReadTrace(folder.File("renamed.bin"));
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ(trace->requests[0].experts, TinyTrace().requests[0].experts);
  EXPECT_TRUE(ParseTrace("memory", packed).ok());
  EXPECT_TRUE(ReadTrace(folder.File("a.rtr")).ok());
}

TEST(RtraceTest, EveryTruncationIsAnErrorThatNamesTheByte) {
  const std::string content = Tiny();
  for (size_t size = 0; size < content.size(); ++size) {
    const std::string error = Error(content.substr(0, size));
    EXPECT_THAT(error, HasSubstr("t.rtr: byte ")) << size;
  }
  EXPECT_THAT(Error(content.substr(0, 270)),
              HasSubstr("t.rtr: byte 264: request 0: experts is truncated: wanted 12 bytes"));
  EXPECT_THAT(Error(content.substr(0, 290)), HasSubstr("request 0: gates is truncated"));
  EXPECT_THAT(Error(content + "x"), HasSubstr("byte 300: a request's header is truncated"));
}

TEST(RtraceTest, EveryTruncationOfACompressedFileIsAnError) {
  TempFolder folder;
  ASSERT_TRUE(WriteTrace(TinyTrace(), folder.File("a.zst")).ok());
  const std::string packed = GetFile(folder.File("a.zst"));
  for (size_t size = 0; size < packed.size(); ++size) {
    EXPECT_NE(Error(packed.substr(0, size)), "OK") << size;
  }
  EXPECT_THAT(Error(packed + "\x28\xb5"), HasSubstr("truncated"));
  EXPECT_THAT(Error(packed + "no frame"), HasSubstr("byte 300: zstd: "));
}

TEST(RtraceTest, DamagedFilesNeverCrashTheReader) {
  TempFolder folder;
  ASSERT_TRUE(WriteTrace(TinyTrace(), folder.File("a.zst")).ok());
  for (std::string content : {Tiny(), GetFile(folder.File("a.zst"))}) {
    for (size_t i = 0; i < content.size(); ++i) {
      for (int bit = 0; bit < 8; ++bit) {
        content[i] ^= static_cast<char>(1 << bit);
        ParseTrace("t.rtr", content).IgnoreError();
        content[i] ^= static_cast<char>(1 << bit);
      }
    }
  }
}

TEST(RtraceTest, ForeignFilesAreRefused) {
  std::string content = Tiny();
  content[7] = '2';
  EXPECT_THAT(Error(content), HasSubstr("byte 0: does not begin with RTRACE01"));
}

TEST(RtraceTest, LengthsAreLimited) {
  TraceLimits limits;
  limits.json_bytes = 239;
  EXPECT_THAT(Error(Tiny(), limits), HasSubstr("byte 8: a header of 240 bytes is above the limit"));
  limits = {};
  limits.content_bytes = 299;
  EXPECT_THAT(Error(Tiny(), limits), HasSubstr("above the limit of 299 bytes"));
  limits.content_bytes = 300;
  EXPECT_EQ(Error(Tiny(), limits), "OK");
  TempFolder folder;
  ASSERT_TRUE(WriteTrace(TinyTrace(), folder.File("a.zst")).ok());
  limits.content_bytes = 200;
  EXPECT_THAT(Error(GetFile(folder.File("a.zst")), limits), HasSubstr("above the limit of 200"));
}

TEST(RtraceTest, AHugeTokenCountIsRefusedWithoutTheMemory) {
  std::string content = Tiny();
  content.replace(kRecordStart + 4, 4, Little32(0xffffffff));
  EXPECT_THAT(Error(content), HasSubstr("request 0: experts of 8589934590 bytes would go above"));
  content.replace(kRecordStart + 4, 4, Little32(1'000'000'000));
  EXPECT_THAT(Error(content), HasSubstr("request 0: experts is truncated"));
}

TEST(RtraceTest, ATokenCountWhoseSizeOverflowsIsRefused) {
  Trace trace = TinyTrace();
  trace.requests.clear();
  trace.header.layers = 65536;
  trace.header.experts = 65536;
  trace.header.top_k = 65536;
  trace.header.expert_bytes.assign(65536, 1);
  std::string content = *EncodeTrace(trace);
  content += Little32(3) + Little32(0xffffffff) + Little32(0);
  EXPECT_THAT(Error(content), HasSubstr("request 3: the size of 4294967295 tokens overflows"));
}

struct HeaderCase {
  const char* from;
  const char* to;
  const char* error;
};

TEST(RtraceTest, MalformedHeadersAreErrorsThatNameTheKey) {
  const HeaderCase kCases[] = {
      {"{\"model", "[\"model", "not valid UTF-8 JSON"},
      {"\"tiny\"", "\"\xff\"", "not valid UTF-8 JSON"},
      {"\"tiny\"", "7", "'model' must be text"},
      {"\"model\":\"tiny\",", "", "lacks 'model'"},
      {"\"model\":\"tiny\"", "\"model\":\"tiny\",\"model\":\"b\"", "'model' is given twice"},
      {"\"n_layers\":2,", "", "lacks 'n_layers'"},
      {"\"n_layers\":2", "\"n_layers\":0", "'n_layers' must be an integer from 1 to 65536, is 0"},
      {"\"n_layers\":2", "\"n_layers\":-2", "'n_layers' must be an integer from 1 to 65536, is -2"},
      {"\"n_layers\":2", "\"n_layers\":2.0", "'n_layers' must be an integer"},
      {"\"n_layers\":2", "\"n_layers\":true", "'n_layers' must be an integer"},
      {"\"n_layers\":2", "\"n_layers\":65537", "'n_layers' must be an integer"},
      {"\"n_experts\":4", "\"n_experts\":65537", "'n_experts' must be an integer"},
      {"\"n_experts\":4", "\"n_experts\":null", "'n_experts' must be an integer"},
      {"\"top_k\":1", "\"top_k\":5", "'top_k' must be an integer from 1 to 4, is 5"},
      {"\"top_k\":1", "\"top_k\":0", "'top_k' must be"},
      {"1000000", "-1", "'expert_bytes' must be a byte count"},
      {"1000000", "null", "'expert_bytes' must be a byte count"},
      {"1000000", "[1]", "'expert_bytes' must be a byte count or a list of 2"},
      {"1000000", "[1,2,3]", "'expert_bytes' must be"},
      {"1000000", "[1,-2]", "'expert_bytes' must be"},
      {"1000000", "[1,2,\"x\"]", "'expert_bytes' must be"},
      {":null", ":\"x\"", "'dense_bytes_per_layer' must be"},
      {"\"dense_bytes_per_layer\":null,", "", "lacks 'dense_bytes_per_layer'"},
      {"\"phase\":\"decode only\",", "", "lacks 'phase'"},
      {"\"gates\":\"softmax over the selected top_k\",", "", "lacks 'gates'"},
      {"\"source\":\"handmade\",", "", "lacks 'source'"},
      {"\"licence\":\"Apache-2.0\",", "", "lacks 'licence'"},
      {"\"n_requests\":1,", "", "lacks 'n_requests'"},
      {"\"n_tokens\":6", "\"n_tokens\":-6", "'n_tokens' must be"},
  };
  for (const HeaderCase& c : kCases) {
    EXPECT_THAT(Error(WithJsonEdit(c.from, c.to)),
                AllOf(HasSubstr("t.rtr: byte 12: header: "), HasSubstr(c.error)))
        << c.from << " -> " << c.to;
  }
  EXPECT_THAT(Error(WithJson("[]")), HasSubstr("header: must be an object, is array"));
  EXPECT_THAT(Error(WithJson(Tiny().substr(12, kRecordStart - 12) + std::string("\0x", 2))),
              HasSubstr("a NUL byte"));
  EXPECT_THAT(Error(WithJson("")), HasSubstr("not valid UTF-8 JSON"));
  EXPECT_THAT(Error(WithJson(std::string(100'000, '['))), HasSubstr("not valid UTF-8 JSON"));
}

TEST(RtraceTest, FurtherHeaderKeysAreIgnored) {
  EXPECT_EQ(Error(WithJsonEdit("\"top_k\"", "\"groups\":[{\"a\":1},{\"a\":2}],\"top_k\"")), "OK");
}

TEST(RtraceTest, TotalsMustMatchTheRecords) {
  EXPECT_THAT(Error(WithJsonEdit("\"n_requests\":1", "\"n_requests\":2")),
              HasSubstr("the header says 2 requests and 6 tokens, the file has 1 and 6"));
  EXPECT_THAT(Error(WithJsonEdit("\"n_tokens\":6", "\"n_tokens\":7")),
              HasSubstr("the header says 1 requests and 7 tokens"));
}

TEST(RtraceTest, ARequestIdMayAppearOnce) {
  std::string content =
      WithJsonEdit("\"n_requests\":1,\"n_tokens\":6", "\"n_requests\":2,\"n_tokens\":12");
  const std::string at = std::to_string(content.size());
  content += Tiny().substr(kRecordStart);
  EXPECT_THAT(Error(content), HasSubstr("byte " + at + ": request 0: the id appears twice"));
}

TEST(RtraceTest, BrokenRecordsNameRequestTokenAndLayer) {
  std::string content = Tiny();
  content[kRecordStart + 12 + 5] = 4;
  EXPECT_THAT(Error(content),
              HasSubstr("t.rtr: byte 252: request 0: token 2 layer 1: expert 4 of 4"));
  content = Tiny();
  content.replace(kRecordStart + 8, 4, Little32(7));
  EXPECT_THAT(Error(content), HasSubstr("request 0: 7 prompt tokens of 6 tokens"));
  content = WithJsonEdit("softmax over the selected top_k", "none");
  EXPECT_THAT(Error(content), HasSubstr("token 0 layer 0: a gate is not 0"));
  content = WithJsonEdit("\"n_tokens\":6", "\"n_tokens\":0");
  content.resize(content.size() - 48);
  content += Little32(9) + Little32(0) + Little32(0);
  EXPECT_THAT(Error(content), HasSubstr("request 9: has no tokens"));
}

// The writer applies the rules of a request that the reader applies.
TEST(RtraceTest, TheWriterRefusesWhatTheReaderWould) {
  const auto error = [](const std::function<void(Trace&)>& edit) {
    Trace trace = TwoRanks();
    edit(trace);
    auto encoded = EncodeTrace(trace);
    return encoded.ok() ? "OK" : std::string(encoded.status().message());
  };
  EXPECT_EQ(error([](Trace&) {}), "OK");
  EXPECT_THAT(error([](Trace& t) {
                t.requests[0].experts = {0, 1, 3, 3};
              }),
              HasSubstr("token 0 layer 1: expert 3 is chosen twice"));
  EXPECT_THAT(error([](Trace& t) { t.requests[0].gates[1] = 40001; }),
              HasSubstr("token 0 layer 0: gates increase with rank"));
  EXPECT_THAT(error([](Trace& t) {
                t.requests[0].gates = {40000, 20000, 40000, 27000};
              }),
              HasSubstr("token 0 layer 1: gates sum to 67000"));
  EXPECT_THAT(error([](Trace& t) { t.requests[0].gates.pop_back(); }), HasSubstr("must have 4"));
  EXPECT_THAT(error([](Trace& t) { t.requests[0].layers = 3; }), HasSubstr("differ"));
  EXPECT_THAT(error([](Trace& t) { t.requests.push_back(t.requests[0]); }),
              HasSubstr("the id appears twice"));
  EXPECT_THAT(error([](Trace& t) { t.header.expert_bytes = {1}; }), HasSubstr("'expert_bytes'"));
  EXPECT_THAT(error([](Trace& t) { t.header.expert_bytes = {}; }), HasSubstr("'expert_bytes'"));
  EXPECT_THAT(error([](Trace& t) { t.header.top_k = 9; }), HasSubstr("'top_k'"));
}

TEST(RtraceTest, FilesThatCannotBeReadNameThePath) {
  TempFolder folder;
  auto missing = ReadTrace(folder.File("none.rtr"));
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("none.rtr"));
  EXPECT_THAT(std::string(ReadTrace(folder.File(".")).status().message()),
              HasSubstr("not a regular file"));
  ASSERT_EQ(mkfifo(folder.File("fifo").c_str(), 0600), 0);
  EXPECT_THAT(std::string(ReadTrace(folder.File("fifo")).status().message()),
              HasSubstr("not a regular file"));
}

TEST(RtraceTest, AFailedWriteLeavesNothingBehind) {
  TempFolder folder;
  std::filesystem::create_directory(folder.File("a.rtr"));
  EXPECT_FALSE(WriteTrace(TinyTrace(), folder.File("a.rtr")).ok());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.File(".")), {}), 1);
}

}  // namespace
}  // namespace residency
