// Writes one safetensors file as a stream: all tensors are declared first, then their data follows
// in that order, in pieces of any size. Nothing is held in memory but the header. The file appears
// under its name only when it is complete and on disk. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/safetensors.h"

namespace residency {

struct TensorSpec {
  std::string name;
  Dtype dtype = Dtype::kU8;
  std::vector<uint64_t> shape;
};

class CheckpointWriter {
 public:
  // Opens `path` + ".partial-*" beside `path` and writes the header. InvalidArgument if a name is
  // used twice, is reserved ("__metadata__") or is not UTF-8, if sizes overflow or the header is
  // above kMaxSafetensorsHeaderBytes.
  static absl::StatusOr<std::unique_ptr<CheckpointWriter>> Create(
      const std::string& path, const std::vector<TensorSpec>& tensors,
      const std::map<std::string, std::string>& metadata = {});

  // Removes the partial file unless Finish succeeded.
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // The next bytes of the data; a piece may span tensors. OutOfRange if it is more than declared.
  // After any error the writer only fails.
  absl::Status Append(std::span<const std::byte> data);

  // fsync, rename over `path`, fsync of the directory. FailedPrecondition if data is missing.
  absl::Status Finish();

  uint64_t data_bytes() const { return data_bytes_; }  // declared, of all tensors

 private:
  CheckpointWriter(std::string path, std::string partial_path, int fd, uint64_t data_bytes);
  absl::Status Write(std::span<const std::byte> data);
  absl::Status Fail(absl::Status status);

  const std::string path_;
  const std::string partial_path_;
  const uint64_t data_bytes_;
  int fd_;
  uint64_t appended_bytes_ = 0;
  bool finished_ = false;
  absl::Status status_;  // the first error
};

}  // namespace residency
