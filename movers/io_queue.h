// Asynchronous reads and writes of files: io_uring where the kernel lets us have it, threads that
// call pread and pwrite where it does not (containers refuse io_uring by default).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace residency {

struct IoRequest {
  enum class Kind : uint8_t { kRead, kWrite, kSync };
  Kind kind = Kind::kRead;
  int fd = -1;  // stays open until `done`
  uint64_t offset = 0;
  std::byte* data = nullptr;  // stays valid until `done`; only read from by a write
  size_t size = 0;
  // Bytes moved: all of them, or fewer where a read met the end of the file. Runs on a thread of
  // the queue and must not block; inline only to say ResourceExhausted or that the queue is ending.
  std::function<void(absl::StatusOr<size_t>)> done;
};

// Thread-safe. Destruction waits for what was submitted.
class IoQueue {
 public:
  virtual ~IoQueue() = default;
  virtual void Submit(IoRequest request) = 0;  // does not block
  // Which engine runs and, where it is not the first choice, why: "io_uring, depth 64, registered
  // buffers" or "8 threads (io_uring: Operation not permitted)".
  virtual const std::string& status() const = 0;

  // Requests waiting or under way in one queue; ResourceExhausted beyond.
  static constexpr size_t kRequestsMax = 4096;
};

struct IoQueueOptions {
  std::string name;                        // for the log: "nvme0", "files"
  unsigned depth = 64;                     // requests given to the kernel at a time
  std::span<std::byte> registered_memory;  // pinned once; requests elsewhere work too
  std::vector<int> registered_files;
  bool allow_uring = true;
  int fallback_threads = 8;
};

// Picks the engine, says which once in the log, and always returns a queue that works.
std::unique_ptr<IoQueue> OpenIoQueue(const IoQueueOptions& options);

// The error of a failed call on a file, with the code that callers act on: ENOSPC and EDQUOT are
// ResourceExhausted, everything else follows errno.
absl::Status IoError(int error, const std::string& what);

}  // namespace residency
