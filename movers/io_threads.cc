#include "movers/io_threads.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "movers/worker_pool.h"

namespace residency {
namespace {

const char* CallOf(IoRequest::Kind kind) {
  constexpr const char* kNames[] = {"pread", "pwrite", "fdatasync"};
  return kNames[static_cast<int>(kind)];
}

ssize_t CallOnce(const IoRequest& request, size_t moved) {
  const off_t at = static_cast<off_t>(request.offset + moved);
  switch (request.kind) {
    case IoRequest::Kind::kRead:
      return pread(request.fd, request.data + moved, request.size - moved, at);
    case IoRequest::Kind::kWrite:
      return pwrite(request.fd, request.data + moved, request.size - moved, at);
    case IoRequest::Kind::kSync:
      return fdatasync(request.fd);
  }
  return -1;
}

absl::StatusOr<size_t> Perform(const IoRequest& request) {
  size_t moved = 0;
  while (true) {
    const ssize_t n = CallOnce(request, moved);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      return IoError(errno, absl::StrCat(CallOf(request.kind), " of ", request.size - moved,
                                         " B at ", request.offset + moved));
    }
    moved += static_cast<size_t>(n);
    if (n == 0 || moved >= request.size) return moved;
  }
}

class IoThreads final : public IoQueue {
 public:
  IoThreads(int threads, std::string status) : status_(std::move(status)), pool_(threads) {}

  void Submit(IoRequest request) override {
    if (queued_.fetch_add(1) >= kRequestsMax) {
      queued_.fetch_sub(1);
      request.done(absl::ResourceExhaustedError(
          absl::StrCat("more than ", kRequestsMax, " I/O requests queued")));
      return;
    }
    pool_.Post([this, request = std::move(request)] {
      absl::StatusOr<size_t> result = Perform(request);
      queued_.fetch_sub(1);
      request.done(std::move(result));
    });
  }

  const std::string& status() const override { return status_; }

 private:
  const std::string status_;
  std::atomic<size_t> queued_{0};
  WorkerPool pool_;
};

}  // namespace

std::unique_ptr<IoQueue> StartIoThreads(const IoQueueOptions& options, const std::string& reason) {
  return std::make_unique<IoThreads>(
      options.fallback_threads, absl::StrCat(options.fallback_threads, " threads (", reason, ")"));
}

}  // namespace residency
