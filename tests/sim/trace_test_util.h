// Traces small enough to check by hand, and folders of a test's own.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

#include "gtest/gtest.h"
#include "sim/trace.h"

namespace residency {

// One request of 6 tokens, 2 layers, 4 experts, top-1.
inline Trace TinyTrace() {
  Trace trace;
  trace.header.model = "tiny";
  trace.header.layers = 2;
  trace.header.experts = 4;
  trace.header.top_k = 1;
  trace.header.expert_bytes = {1'000'000, 1'000'000};
  trace.header.phase = "decode only";
  trace.header.gates = "softmax over the selected top_k";
  trace.header.source = "handmade";
  trace.header.licence = "Apache-2.0";
  TraceRequest request;
  request.tokens = 6;
  request.layers = 2;
  request.top_k = 1;
  request.experts = {0, 0, 1, 0, 2, 1, 0, 0, 1, 2, 2, 0};
  request.gates.assign(12, kGateOne);
  trace.requests.push_back(request);
  return trace;
}

// A folder that is removed with its content at the end of the test.
class TempFolder {
 public:
  TempFolder() {
    std::string name = testing::TempDir() + "/residency_XXXXXX";
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string File(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

inline void PutFile(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

inline std::string GetFile(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

// The recorded trace, where the environment names the folder that holds it.
inline std::optional<std::string> RecordedTracePath() {
  const char* folder = std::getenv("RESIDENCY_TRACES");
  if (folder == nullptr) return std::nullopt;
  const auto path = std::filesystem::path(folder) / "gptoss20b-mmlu.rtr.zst";
  if (!std::filesystem::exists(path)) return std::nullopt;
  return path.string();
}

}  // namespace residency
