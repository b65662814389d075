// Inputs from which fuzzing starts: one or more well-formed ones for each target.
#pragma once

#include <string>
#include <vector>

namespace residency::fuzz {

struct Seed {
  std::string target;
  std::string name;
  std::string bytes;
};

void AddFileSeeds(std::vector<Seed>* seeds);     // files that are parsed
void AddRequestSeeds(std::vector<Seed>* seeds);  // what is said on sockets

}  // namespace residency::fuzz
