#include <filesystem>
#include <fstream>
#include <iterator>

#include "sim/rtrace.h"
#include "tests/client/gguf_file.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/seeds.h"

namespace residency::fuzz {
namespace {

using client_test::GgufTestFile;
using client_test::GgufText;
using client_test::Little;

std::string Safetensors(const std::string& json, uint64_t data_bytes) {
  return Little(data_bytes, 2) + Little(json.size(), 8) + json;
}

void AddSafetensors(std::vector<Seed>* seeds) {
  seeds->push_back({"safetensors", "two",
                    Safetensors(R"({"__metadata__":{"format":"pt"},)"
                                R"("a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
                                R"("b":{"dtype":"BF16","shape":[],"data_offsets":[16,18]}})",
                                18)});
  seeds->push_back({"safetensors", "empty", Safetensors("{}  ", 0)});
  seeds->push_back({"safetensors", "hole",
                    Safetensors(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2)});
  seeds->push_back({"safetensors_index", "both",
                    R"({"metadata":{"total_size":12},"weight_map":{"x":"a.safetensors",)"
                    R"("y":"b.safetensors","z":"./b.safetensors"}})"});
  seeds->push_back({"safetensors_index", "outside", R"({"weight_map":{"x":"../a.safetensors"}})"});
}

void AddGguf(std::vector<Seed>* seeds) {
  GgufTestFile file;
  file.AddText("general.architecture", "toy");
  file.AddU32("general.alignment", 32);
  file.Add("f", 6, Little(0x3f800000, 4));
  file.Add("b", 7, Little(1, 1));
  file.Add("nested", 9,
           Little(9, 4) + Little(1, 8) + Little(8, 4) + Little(1, 8) + GgufText("token"));
  file.tensors = {{"blk.0.ffn_up_exps.weight", {32, 2, 2}, 2, 0},
                  {"blk.0.ffn_down.0.weight", {8}, 0, 96},
                  {"blk.0.attn_norm.weight", {4, 2}, 1, 128},
                  {"token_embd.weight", {256}, 12, 160}};
  // The first byte of an input is the logarithm of how much data follows.
  seeds->push_back({"gguf", "experts", Little(9, 1) + file.Header()});
  file.AddU16("split.no", 0);
  file.AddU16("split.count", 2);
  seeds->push_back({"gguf", "part", Little(9, 1) + file.Header()});
  seeds->push_back({"gguf", "empty", Little(0, 1) + GgufTestFile().Header()});
  file.version = 0x03000000;
  seeds->push_back({"gguf", "big-endian", Little(9, 1) + file.Header()});
}

// A file of the repository, or what was read of it.
std::string Content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

void AddTraces(std::vector<Seed>* seeds) {
  Trace trace;
  trace.header.model = "toy";
  trace.header.layers = 2;
  trace.header.experts = 4;
  trace.header.top_k = 2;
  trace.header.expert_bytes = {64, 64};
  trace.header.dense_bytes_per_layer = {32, 32};
  trace.header.phase = "decode";
  trace.header.gates = "softmax";
  TraceRequest request;
  request.id = 1;
  request.tokens = 2;
  request.prompt_tokens = 1;
  request.layers = 2;
  request.top_k = 2;
  request.experts = {0, 1, 2, 3, 1, 0, 3, 2};
  request.gates.assign(8, 0);
  trace.requests = {request};
  const auto encoded = EncodeTrace(trace);
  Check(encoded.ok(), "the trace of the seeds is well formed");
  seeds->push_back({"rtrace", "plain", *encoded});
  const std::string path =
      (std::filesystem::temp_directory_path() / "fuzz_seeds.rtrace.zst").string();
  Check(WriteTrace(trace, path).ok(), "a trace can be written");
  seeds->push_back({"rtrace", "zstd", Content(path)});
  std::filesystem::remove(path);
}

void AddConfig(std::vector<Seed>* seeds) {
  seeds->push_back({"config", "empty", ""});
  seeds->push_back({"config", "shipped", Content("config/residencyd.toml")});
  seeds->push_back({"config", "small",
                    "[pools.hbm]\ncapacity = \"16MiB\"\nbackend = \"host\"\n"
                    "[pools.dram]\ncapacity = \"32MiB\"\n"
                    "[[pools.nvme]]\nname = \"d0\"\npath = \"/d/0\"\ncapacity = \"8MiB\"\n"
                    "[policy]\nw1 = 0.25\nw2 = 0.25\nw3 = 0.25\nw4 = 0.25\n"
                    "[limits]\nsessions = 4\ndrain_deadline = \"1s\"\n"});
  seeds->push_back({"config", "wrong",
                    "[limits]\nsessions = -1\nsesions = 2\n[pools.dram]\ncapacity = 1.5\n"
                    "[policy]\nw1 = \"x\"\n[daemon]\nrecipe_roots = [1, \"/a\"]\n"});
}

}  // namespace

void AddFileSeeds(std::vector<Seed>* seeds) {
  AddSafetensors(seeds);
  AddGguf(seeds);
  AddTraces(seeds);
  AddConfig(seeds);
}

}  // namespace residency::fuzz
