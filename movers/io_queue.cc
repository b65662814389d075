#include "movers/io_queue.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "movers/io_ring.h"
#include "movers/io_threads.h"
#include "spdlog/spdlog.h"

namespace residency {

std::unique_ptr<IoQueue> OpenIoQueue(const IoQueueOptions& options) {
  std::unique_ptr<IoQueue> queue;
  if (options.allow_uring) {
    absl::StatusOr<std::unique_ptr<IoQueue>> ring = StartIoRing(options);
    queue = ring.ok() ? *std::move(ring)
                      : StartIoThreads(options, std::string(ring.status().message()));
  } else {
    queue = StartIoThreads(options, "io_uring: switched off");
  }
  spdlog::info("{}: I/O by {}", options.name, queue->status());
  return queue;
}

absl::Status IoError(int error, const std::string& what) {
  if (error == ENOSPC || error == EDQUOT) {
    return absl::ResourceExhaustedError(absl::StrCat(what, ": ", strerror(error)));
  }
  return absl::ErrnoToStatus(error, what);
}

}  // namespace residency
