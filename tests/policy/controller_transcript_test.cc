// Every story in the transcripts folder, line by line. With RESIDENCY_REWRITE=1 in the environment
// the files are written anew instead, to be reviewed as a diff.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/policy/transcript.h"

namespace residency {
namespace {

std::vector<std::filesystem::path> Stories() {
  std::vector<std::filesystem::path> stories;
  for (const auto& entry : std::filesystem::directory_iterator(RESIDENCY_TRANSCRIPTS)) {
    if (entry.path().extension() == ".txt") stories.push_back(entry.path());
  }
  std::sort(stories.begin(), stories.end());
  return stories;
}

std::string Read(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class ControllerStory : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(ControllerStory, GoesAsWritten) {
  const std::string written = Read(GetParam());
  const std::string told = Transcript().Run(written);
  if (std::getenv("RESIDENCY_REWRITE") != nullptr) {
    std::ofstream(GetParam()) << told;
  } else {
    EXPECT_EQ(written, told);
  }
}

INSTANTIATE_TEST_SUITE_P(All, ControllerStory, testing::ValuesIn(Stories()),
                         [](const auto& story) { return story.param.stem().string(); });

}  // namespace
}  // namespace residency
