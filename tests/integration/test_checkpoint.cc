#include "tests/integration/test_checkpoint.h"

#include <gtest/gtest.h>

#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/synthetic_checkpoint.h"

namespace residency::testing {

std::string WriteTestCheckpoint(const std::string& directory, const std::string& name,
                                const TestCheckpoint& checkpoint) {
  const std::string path = directory + "/" + name;
  SyntheticCheckpointOptions options;
  options.layers = checkpoint.layers;
  options.experts = checkpoint.experts;
  options.hidden = 128;
  options.expert_bytes = checkpoint.expert_bytes;
  options.seed = checkpoint.seed;
  const absl::Status status = WriteSyntheticCheckpoint(path, options);
  EXPECT_TRUE(status.ok()) << status;
  return path;
}

std::string ExpertName(uint32_t layer, uint32_t expert) {
  return absl::StrCat("model.layers.", layer, ".mlp.experts.", expert);
}

uint64_t NumberIn(const std::string& answer, std::string_view key) {
  const std::string wanted = absl::StrCat(absl::string_view(key.data(), key.size()), "=");
  for (const absl::string_view word : absl::StrSplit(answer, ' ')) {
    uint64_t number = 0;
    if (word.substr(0, wanted.size()) == wanted &&
        absl::SimpleAtoi(word.substr(wanted.size()), &number)) {
      return number;
    }
  }
  ADD_FAILURE() << "no number \"" << wanted << "\" in the answer \"" << answer << "\"";
  return std::numeric_limits<uint64_t>::max();
}

std::vector<std::string> NamesIn(const std::string& answer) {
  std::vector<std::string> words = absl::StrSplit(answer, ' ', absl::SkipEmpty());
  if (words.empty() || words.front() != "ok") {
    ADD_FAILURE() << "wanted names, got \"" << answer << "\"";
    return {};
  }
  words.erase(words.begin());
  return words;
}

}  // namespace residency::testing
