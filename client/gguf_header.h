// The header of one GGUF file: bytes to checked metadata and tensors. No I/O.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "client/gguf.h"

namespace residency {

// Of a metadata array, only that it is well formed is looked at: what a checkpoint's arrays hold
// (its vocabulary, mostly) concerns engines alone.
struct GgufArray {
  uint32_t element_type = 0;  // as in the file
  uint64_t count = 0;
};
using GgufValue = std::variant<uint64_t, int64_t, double, bool, std::string, GgufArray>;

struct GgufHeader {
  std::map<std::string, GgufValue> metadata;
  std::vector<GgufTensor> tensors;  // by offset, then name; offsets from the file's start
  uint64_t bytes = 0;               // of the header: magic to the last tensor's description
};

inline constexpr uint64_t kMaxGgufMetadata = 65'536;
inline constexpr uint64_t kMaxGgufTensors = 1'000'000;
inline constexpr uint64_t kMaxGgufTextBytes =
    16'000'000;  // keys and names have bounds of their own
inline constexpr int kMaxGgufArrayDepth = 4;

// `file` is only for messages. `prefix` is the start of a file that has `file_bytes`: OutOfRange if
// the header goes on behind it. Promises that the tensors lie within the file behind the header,
// aligned, and do not overlap; the bytes between them may be anything.
absl::StatusOr<GgufHeader> ParseGgufHeader(const std::string& file, std::string_view prefix,
                                           uint64_t file_bytes);

}  // namespace residency
