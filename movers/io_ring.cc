#include "movers/io_ring.h"

#include <liburing.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "movers/owned_fd.h"
#include "spdlog/spdlog.h"

namespace residency {
namespace {

// One request in the kernel's hands. Short transfers are continued until done or end of file.
struct Op {
  IoRequest request;
  size_t moved = 0;
  int retries = 0;
};

// The kernel may ask for a request again; one that is never accepted is a failure.
constexpr int kRetriesMax = 1000;

class IoRing final : public IoQueue {
 public:
  explicit IoRing(const IoQueueOptions& options) : options_(options) {}
  ~IoRing() override;

  absl::Status Start();
  void Submit(IoRequest request) override;
  const std::string& status() const override { return status_; }

 private:
  absl::Status CheckOperations();
  void Register();

  // Ring thread only.
  void Run();
  bool TakeInbox();
  void ArmWake();
  void Issue();
  void Prepare(io_uring_sqe* sqe, Op* op);
  void Reap(io_uring_cqe* cqe);
  void Complete(Op* op, int result);
  void Finish(Op* op, absl::StatusOr<size_t> result);
  int RegisteredFile(int fd) const;
  bool IsRegistered(const std::byte* data, size_t size) const;

  const IoQueueOptions options_;
  std::string status_;               // constant after Start()
  bool buffers_registered_ = false;  // constant after Start()
  bool files_registered_ = false;    // constant after Start()
  bool made_ = false;
  OwnedFd wake_;

  std::mutex mu_;
  std::deque<IoRequest> inbox_;  // guarded by mu_
  size_t accepted_ = 0;          // submitted and not finished; guarded by mu_
  bool stopping_ = false;        // guarded by mu_

  // Ring thread only, once it runs.
  io_uring ring_{};
  std::deque<Op*> backlog_;
  size_t in_kernel_ = 0;
  bool wake_armed_ = false;
  uint64_t wake_count_ = 0;  // where the kernel puts what it reads from wake_

  std::thread thread_;
};

// Rings come and go one at a time. A ring's memory is mapped by raw system calls, often where an
// ended one's was; this is the order between the two that ThreadSanitizer can see.
std::mutex& RingsMutex() {
  static std::mutex mu;
  return mu;
}

absl::Status Refused(const char* what, int error) {
  return absl::UnavailableError(absl::StrCat("io_uring: ", what, ": ", strerror(error)));
}

absl::Status IoRing::Start() {
  std::lock_guard lock(RingsMutex());
  wake_ = OwnedFd(eventfd(0, EFD_CLOEXEC));
  if (!wake_.valid()) return Refused("eventfd", errno);
  // One entry more than the depth: the read of wake_ is always pending.
  if (const int rc = io_uring_queue_init(options_.depth + 1, &ring_, 0); rc < 0) {
    return Refused("io_uring_setup", -rc);
  }
  made_ = true;
  if (absl::Status status = CheckOperations(); !status.ok()) return status;
  Register();
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

// Plain reads and writes came in Linux 5.6, after io_uring itself.
absl::Status IoRing::CheckOperations() {
  io_uring_probe* probe = io_uring_get_probe_ring(&ring_);
  if (probe == nullptr) return Refused("asking for its operations", ENOSYS);
  bool all = true;
  for (const int op : {IORING_OP_READ, IORING_OP_WRITE, IORING_OP_READ_FIXED, IORING_OP_WRITE_FIXED,
                       IORING_OP_FSYNC}) {
    all = all && io_uring_opcode_supported(probe, op) != 0;
  }
  io_uring_free_probe(probe);
  return all ? absl::OkStatus() : Refused("reads and writes", ENOSYS);
}

// Registration saves work per request; without it (RLIMIT_MEMLOCK is small by default) everything
// still works, so a refusal only shows in status().
void IoRing::Register() {
  std::string buffers = "no registered buffers";
  if (!options_.registered_memory.empty()) {
    const iovec all = {options_.registered_memory.data(), options_.registered_memory.size()};
    const int rc = io_uring_register_buffers(&ring_, &all, 1);
    buffers_registered_ = rc == 0;
    buffers =
        rc == 0 ? "registered buffers"
                : absl::StrCat("unregistered buffers (", strerror(-rc), "; raise RLIMIT_MEMLOCK)");
  }
  if (!options_.registered_files.empty()) {
    files_registered_ =
        io_uring_register_files(&ring_, options_.registered_files.data(),
                                static_cast<unsigned>(options_.registered_files.size())) == 0;
  }
  status_ = absl::StrCat("io_uring, depth ", options_.depth, ", ", buffers,
                         files_registered_ ? ", registered files" : "");
}

IoRing::~IoRing() {
  if (thread_.joinable()) {
    {
      std::lock_guard lock(mu_);
      stopping_ = true;
    }
    eventfd_write(wake_.get(), 1);
    thread_.join();
  }
  if (!made_) return;
  std::lock_guard lock(RingsMutex());
  // The kernel takes a ring apart in its own time and would hold the files, and their locks, until
  // then.
  if (files_registered_) io_uring_unregister_files(&ring_);
  if (buffers_registered_) io_uring_unregister_buffers(&ring_);
  io_uring_queue_exit(&ring_);
}

void IoRing::Submit(IoRequest request) {
  bool wake = false;
  {
    std::lock_guard lock(mu_);
    if (accepted_ < kRequestsMax && !stopping_) {
      wake = inbox_.empty();
      inbox_.push_back(std::move(request));
      ++accepted_;
      request.done = nullptr;
    }
  }
  if (request.done) {
    request.done(absl::ResourceExhaustedError(
        absl::StrCat(options_.name, ": more than ", kRequestsMax, " I/O requests queued")));
    return;
  }
  if (wake) eventfd_write(wake_.get(), 1);
}

void IoRing::Run() {
  while (true) {
    const bool stopping = TakeInbox();
    if (stopping && backlog_.empty() && in_kernel_ == 0) return;
    ArmWake();
    Issue();
    const int rc = io_uring_submit_and_wait(&ring_, 1);
    if (rc < 0 && rc != -EINTR && rc != -EAGAIN && rc != -EBUSY) {
      // Our own rings and descriptors make no such call; nothing sensible is left to be done.
      spdlog::critical("{}: io_uring_enter: {}", options_.name, strerror(-rc));
      std::abort();
    }
    io_uring_cqe* cqe = nullptr;
    while (io_uring_peek_cqe(&ring_, &cqe) == 0) {
      Reap(cqe);
    }
  }
}

bool IoRing::TakeInbox() {
  std::lock_guard lock(mu_);
  for (IoRequest& request : inbox_) backlog_.push_back(new Op{std::move(request)});
  inbox_.clear();
  return stopping_;
}

void IoRing::ArmWake() {
  if (wake_armed_) return;
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (sqe == nullptr) return;
  io_uring_prep_read(sqe, wake_.get(), &wake_count_, sizeof(wake_count_), 0);
  io_uring_sqe_set_data(sqe, nullptr);
  wake_armed_ = true;
}

void IoRing::Issue() {
  while (!backlog_.empty() && in_kernel_ < options_.depth) {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    if (sqe == nullptr) return;
    Prepare(sqe, backlog_.front());
    backlog_.pop_front();
    ++in_kernel_;
  }
}

void IoRing::Prepare(io_uring_sqe* sqe, Op* op) {
  const IoRequest& r = op->request;
  const int index = RegisteredFile(r.fd);
  const int fd = index >= 0 ? index : r.fd;
  std::byte* data = r.data + op->moved;
  const auto size = static_cast<unsigned>(std::min<size_t>(r.size - op->moved, 1u << 30));
  const uint64_t offset = r.offset + op->moved;
  const bool fixed = IsRegistered(data, size);
  switch (r.kind) {
    case IoRequest::Kind::kRead:
      fixed ? io_uring_prep_read_fixed(sqe, fd, data, size, offset, 0)
            : io_uring_prep_read(sqe, fd, data, size, offset);
      break;
    case IoRequest::Kind::kWrite:
      fixed ? io_uring_prep_write_fixed(sqe, fd, data, size, offset, 0)
            : io_uring_prep_write(sqe, fd, data, size, offset);
      break;
    case IoRequest::Kind::kSync:
      io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
      break;
  }
  if (index >= 0) io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
  io_uring_sqe_set_data(sqe, op);
}

void IoRing::Reap(io_uring_cqe* cqe) {
  Op* op = static_cast<Op*>(io_uring_cqe_get_data(cqe));
  const int result = cqe->res;
  io_uring_cqe_seen(&ring_, cqe);
  if (op == nullptr) {
    wake_armed_ = false;
    return;
  }
  --in_kernel_;
  Complete(op, result);
}

void IoRing::Complete(Op* op, int result) {
  if ((result == -EINTR || result == -EAGAIN) && ++op->retries <= kRetriesMax) {
    backlog_.push_back(op);
    return;
  }
  const IoRequest& r = op->request;
  if (result < 0) {
    constexpr const char* kNames[] = {"read", "write", "fdatasync"};
    Finish(op, IoError(-result, absl::StrCat(kNames[static_cast<int>(r.kind)], " of ",
                                             r.size - op->moved, " B at ", r.offset + op->moved)));
    return;
  }
  op->moved += static_cast<size_t>(result);
  if (result == 0 || op->moved >= r.size) {
    Finish(op, op->moved);
  } else {
    backlog_.push_front(op);
  }
}

void IoRing::Finish(Op* op, absl::StatusOr<size_t> result) {
  {
    std::lock_guard lock(mu_);
    --accepted_;
  }
  op->request.done(std::move(result));
  delete op;
}

int IoRing::RegisteredFile(int fd) const {
  if (!files_registered_) return -1;
  const auto it = std::find(options_.registered_files.begin(), options_.registered_files.end(), fd);
  return it == options_.registered_files.end()
             ? -1
             : static_cast<int>(it - options_.registered_files.begin());
}

bool IoRing::IsRegistered(const std::byte* data, size_t size) const {
  const std::span<std::byte> all = options_.registered_memory;
  return buffers_registered_ && data >= all.data() && data + size <= all.data() + all.size();
}

}  // namespace

absl::StatusOr<std::unique_ptr<IoQueue>> StartIoRing(const IoQueueOptions& options) {
  auto ring = std::make_unique<IoRing>(options);
  if (absl::Status status = ring->Start(); !status.ok()) return status;
  return std::unique_ptr<IoQueue>(std::move(ring));
}

}  // namespace residency
