// Small checkpoints for engines to attach, and the words that engines answer with.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace residency::testing {

struct TestCheckpoint {
  uint32_t layers = 4;
  uint32_t experts = 8;
  uint64_t expert_bytes = uint64_t{512} << 10;
  uint64_t seed = 1;
};

// Writes it as NAME in `directory` and returns its path; a test failure if it can't.
std::string WriteTestCheckpoint(const std::string& directory, const std::string& name,
                                const TestCheckpoint& checkpoint = {});

// The block that EXPERT of LAYER is in such a checkpoint.
std::string ExpertName(uint32_t layer, uint32_t expert);

// The number behind "KEY=" in an engine's answer; a test failure and UINT64_MAX if there is none.
uint64_t NumberIn(const std::string& answer, std::string_view key);

// What comes after "ok " in an engine's answer to "names"; a test failure if it is an error.
std::vector<std::string> NamesIn(const std::string& answer);

}  // namespace residency::testing
