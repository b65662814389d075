// A checkpoint's file while its header is read.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/unique_fd.h"

namespace residency {

struct HeaderFile {
  std::string path;
  client::internal::UniqueFd fd;
  uint64_t bytes = 0;  // of the file, when it was opened
};

// Refuses what is not a regular file, and never waits for one (a FIFO, say).
absl::StatusOr<HeaderFile> OpenHeaderFile(const std::string& path);

// Fills `out`. InvalidArgument if the file ends before; `path` is only for messages.
absl::Status ReadAt(const std::string& path, int fd, uint64_t offset, uint64_t bytes, char* out);
absl::StatusOr<std::string> ReadAt(const HeaderFile& file, uint64_t offset, uint64_t bytes);

}  // namespace residency
