// The header of one safetensors file: JSON text to checked tensors. No I/O.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/safetensors.h"

namespace residency {

struct SafetensorsHeader {
  std::vector<SafetensorsTensor> tensors;  // by offset, then name; offsets from the data's start
  std::map<std::string, std::string> metadata;
};

// `file` is only for messages; `data_bytes` is what the file holds after its header. Promises that
// the tensors' ranges do not overlap and cover the data from 0 to `data_bytes` without a hole.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(const std::string& file,
                                                         const std::string& json,
                                                         uint64_t data_bytes);

}  // namespace residency
