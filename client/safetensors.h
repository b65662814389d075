// Reads where the tensors of a safetensors checkpoint lie: names, types, shapes and byte ranges.
// Only headers are read; the data is never read or mapped. Strict: a file is refused whole when
// any part of its header is not as the format says, because a wrong range is a wrong weight.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace residency {

// Headers and indexes above this are refused before they are read (the format's own limit).
inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;
inline constexpr uint64_t kSafetensorsHeaderOffset = 8;  // behind its own length
// Different shards that one index may name.
inline constexpr size_t kMaxSafetensorsShards = 10'000;

enum class Dtype : uint8_t {
  kBool,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kF64,
  kI64,
  kU64,
};
inline constexpr int kDtypeCount = 15;

const char* Name(Dtype dtype);  // As in the header: "BF16".
uint64_t ItemBytes(Dtype dtype);
std::optional<Dtype> DtypeFromName(const std::string& name);

// The bytes of a tensor of this type and shape; none if they do not fit 64 bits. An empty shape is
// a scalar.
std::optional<uint64_t> TensorBytes(Dtype dtype, const std::vector<uint64_t>& shape);

struct SafetensorsTensor {
  std::string name;
  Dtype dtype = Dtype::kU8;
  std::vector<uint64_t> shape;
  size_t file = 0;      // index into SafetensorsCheckpoint::files
  uint64_t offset = 0;  // bytes from the start of the file; any alignment
  uint64_t bytes = 0;
};

struct SafetensorsFile {
  std::string path;
  uint64_t bytes = 0;
  uint64_t header_bytes = 0;  // of the JSON text, which begins at kSafetensorsHeaderOffset
};

struct SafetensorsCheckpoint {
  std::vector<SafetensorsFile> files;
  std::vector<SafetensorsTensor> tensors;  // by file, then by offset, then by name
  // The files' metadata, joined. Where shards disagree, the first file wins.
  std::map<std::string, std::string> metadata;
};

// Opens a `*.safetensors` file, a `*.safetensors.index.json`, or a directory that holds exactly one
// index or else exactly one such file. The files of a sharded checkpoint are sorted by name; its
// index decides: what a shard holds beyond it is not listed.
// InvalidArgument names file and tensor and says what was expected; NotFound and other codes come
// from the file system.
absl::StatusOr<SafetensorsCheckpoint> OpenSafetensors(const std::string& path);

}  // namespace residency
