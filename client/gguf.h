// Reads where the tensors of a GGUF checkpoint (version 3, little endian) lie: names, types, shapes
// and byte ranges. Only headers are read; the data is never read or mapped. Strict: a file is
// refused whole when any part of its header is not as the format says, because a wrong range is a
// wrong weight.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/gguf_type.h"

namespace residency {

inline constexpr uint64_t kMaxGgufHeaderBytes = 100'000'000;
inline constexpr uint64_t kMaxGgufNameBytes = 255;  // of a tensor's name
inline constexpr size_t kMaxGgufDimensions = 4;     // the format's own
inline constexpr size_t kMaxGgufParts = 10'000;

struct GgufTensor {
  std::string name;                // UTF-8
  const GgmlType* type = nullptr;  // constant
  std::vector<uint64_t> shape;     // as in the file: fastest dimension first
  size_t file = 0;                 // index into GgufCheckpoint::files
  uint64_t offset = 0;             // bytes from the start of the file
  uint64_t bytes = 0;
};

struct GgufFile {
  std::string path;
  uint64_t bytes = 0;
  uint64_t header_bytes = 0;  // from the start of the file
};

struct GgufCheckpoint {
  std::vector<GgufFile> files;      // in order of their numbers
  std::vector<GgufTensor> tensors;  // by file, then by offset, then by name
};

// Opens a GGUF file with all its parts, if it is one of several: NAME-00001-of-00003.gguf, which
// names all of them; every part must be there.
// InvalidArgument names file and tensor and says what was expected; NotFound and other codes come
// from the file system.
absl::StatusOr<GgufCheckpoint> OpenGguf(const std::string& path);

}  // namespace residency
