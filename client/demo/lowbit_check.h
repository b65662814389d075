// Whether a low-bit lease stands for the weights of its block: every element, decoded, is as near
// to the one in the checkpoint as the format promises.
#pragma once

#include <cstdint>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "residency/client.h"

namespace residency::demo {

class LowbitCheck {
 public:
  // Kept by reference.
  explicit LowbitCheck(const Model& model) : model_(model) {}

  // Bytes of the block, in full, whose element is further off than its group's bound; all of them
  // if the lease or the file can't be read. REQUIRES: the lease is low-bit.
  uint64_t WrongBytes(const Lease& lease);

 private:
  // The block's elements as the checkpoint has them; empty if it can't be read.
  std::vector<float> Original(const Block& block);

  const Model& model_;
  std::map<std::string, std::ifstream> files_;
};

}  // namespace residency::demo
