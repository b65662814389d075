#include "movers/nvme_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "movers/direct_io.h"
#include "movers/io_alignment.h"

namespace residency {
namespace {

// Tries again until the deadline. The error is errno's.
int LockWithin(int fd, Micros wait) {
  constexpr std::chrono::milliseconds kRetryEvery(20);
  const auto deadline = std::chrono::steady_clock::now() + wait;
  while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK || std::chrono::steady_clock::now() >= deadline) return errno;
    std::this_thread::sleep_for(kRetryEvery);
  }
  return 0;
}

absl::StatusOr<OwnedFd> OpenLocked(const std::string& path, Micros lock_wait) {
  OwnedFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return IoError(errno, absl::StrCat("opening the block file ", path));
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return IoError(errno, absl::StrCat("fstat of ", path));
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is not a regular file"));
  }
  const int error = LockWithin(fd.get(), lock_wait);
  if (error == 0) return fd;
  if (error != EWOULDBLOCK) return IoError(error, absl::StrCat("locking ", path));
  return absl::FailedPreconditionError(absl::StrCat(
      "the block file ", path, " is in use by another daemon; stop it or name another file"));
}

absl::Status TooFull(const std::string& path, Bytes wanted, Bytes held, int error) {
  struct statvfs disk;
  std::string found = "an unknown amount";
  if (statvfs(path.c_str(), &disk) == 0) found = FormatBytes(Bytes(disk.f_bavail * disk.f_frsize));
  return absl::ResourceExhaustedError(
      absl::StrCat("the block file ", path, " needs ", FormatBytes(wanted), ", had ",
                   FormatBytes(held), " and its disk has ", found, " free (", strerror(error),
                   "); make the pool smaller or free space"));
}

// Asked first, because an allocation that fails takes the whole disk on its way there.
bool HasRoomFor(int fd, Bytes wanted, Bytes held) {
  struct statvfs disk;
  if (wanted <= held || fstatvfs(fd, &disk) != 0) return true;
  return wanted - held <= Bytes(disk.f_bavail * disk.f_frsize);
}

// Allocates without changing what the file holds; on failure leaves it as it was.
absl::Status Preallocate(int fd, const std::string& path, Bytes wanted) {
  struct stat before;
  if (fstat(fd, &before) != 0) return IoError(errno, absl::StrCat("fstat of ", path));
  const Bytes held(static_cast<uint64_t>(before.st_blocks) * 512);
  int error = HasRoomFor(fd, wanted, held) ? 0 : ENOSPC;
  if (error == 0 && fallocate(fd, 0, 0, static_cast<off_t>(wanted.count())) != 0) {
    error = errno;
    // Writes a byte in every block where the filesystem has no such operation: slow, once.
    if (error == EOPNOTSUPP) error = posix_fallocate(fd, 0, static_cast<off_t>(wanted.count()));
  }
  if (error == 0) return absl::OkStatus();
  const absl::Status too_full = TooFull(path, wanted, held, error);
  if (before.st_size == 0) {
    unlink(path.c_str());
  } else if (ftruncate(fd, before.st_size) != 0) {
    return IoError(errno, absl::StrCat("truncating ", path, " back to ", before.st_size, " B"));
  }
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) return too_full;
  return IoError(error, absl::StrCat("allocating ", wanted.count(), " B for ", path));
}

}  // namespace

absl::StatusOr<std::unique_ptr<NvmeStore>> NvmeStore::Open(const NvmeStoreOptions& options) {
  if (options.capacity.zero() || !IsAligned(options.capacity.count())) {
    return absl::InvalidArgumentError(
        absl::StrCat("pool ", options.name, ": capacity ", options.capacity.count(),
                     " B must be a positive multiple of ", kIoAlignment, " B"));
  }
  absl::StatusOr<OwnedFd> fd = OpenLocked(options.path, options.lock_wait);
  if (!fd.ok()) return fd.status();
  if (absl::Status s = Preallocate(fd->get(), options.path, options.capacity); !s.ok()) return s;
  std::string direct = "buffered (O_DIRECT: switched off)";
  if (options.allow_direct) {
    const absl::Status s = TurnOnDirectIo(fd->get());
    direct =
        s.ok() ? "O_DIRECT" : absl::StrCat("buffered (O_DIRECT: ", std::string(s.message()), ")");
  }
  return std::unique_ptr<NvmeStore>(new NvmeStore(options, *std::move(fd), std::move(direct)));
}

NvmeStore::NvmeStore(NvmeStoreOptions options, OwnedFd fd, std::string direct)
    : options_(std::move(options)), fd_(std::move(fd)) {
  IoQueueOptions io;
  io.name = absl::StrCat(options_.name, " (", options_.path, ", ", direct, ")");
  io.depth = options_.depth;
  io.registered_memory = options_.registered_memory;
  io.registered_files = {fd_.get()};
  io.allow_uring = options_.allow_uring;
  queue_ = OpenIoQueue(io);
  status_ = absl::StrCat(direct, ", ", queue_->status());
}

void NvmeStore::Read(uint64_t offset, std::span<std::byte> into, StoreDone done) {
  Transfer(IoRequest::Kind::kRead, offset, into.data(), into.size(), std::move(done));
}

void NvmeStore::Write(uint64_t offset, std::span<const std::byte> from, StoreDone done) {
  // IoRequest has one pointer for both ways; a write only reads from it.
  Transfer(IoRequest::Kind::kWrite, offset, const_cast<std::byte*>(from.data()), from.size(),
           std::move(done));
}

void NvmeStore::Transfer(IoRequest::Kind kind, uint64_t offset, std::byte* data, size_t size,
                         StoreDone done) {
  const uint64_t capacity = options_.capacity.count();
  const bool inside = size <= capacity && offset <= capacity - size;
  if (!inside || !IsAligned(offset) || !IsAligned(size) ||
      !IsAligned(reinterpret_cast<uintptr_t>(data))) {
    done(absl::InvalidArgumentError(absl::StrCat(
        options_.path, ": ", size, " B at ", offset, " is not an aligned range of its ", capacity,
        " B (alignment ", kIoAlignment, ", address included)")));
    return;
  }
  IoRequest request{kind, fd_.get(), offset, data, size, nullptr};
  request.done = [this, size, done = std::move(done)](absl::StatusOr<size_t> moved) {
    if (!moved.ok()) {
      done(absl::Status(moved.status().code(),
                        absl::StrCat(options_.path, ": ", moved.status().message())));
    } else if (*moved != size) {
      done(absl::DataLossError(absl::StrCat(options_.path, ": ", *moved, " of ", size,
                                            " B moved; was the file truncated?")));
    } else {
      done(absl::OkStatus());
    }
  };
  queue_->Submit(std::move(request));
}

void NvmeStore::Sync(StoreDone done) {
  {
    std::lock_guard lock(mu_);
    sync_waiters_.push_back(std::move(done));
    if (sync_running_) return;
    sync_running_ = true;
  }
  StartSync();
}

// REQUIRES: sync_running_ was set by the caller.
void NvmeStore::StartSync() {
  std::vector<StoreDone> waiters;
  {
    std::lock_guard lock(mu_);
    waiters.swap(sync_waiters_);
  }
  IoRequest request;
  request.kind = IoRequest::Kind::kSync;
  request.fd = fd_.get();
  request.done = [this, waiters = std::move(waiters)](absl::StatusOr<size_t> moved) {
    EndSync(moved.status(), waiters);
  };
  queue_->Submit(std::move(request));
}

void NvmeStore::EndSync(const absl::Status& status, std::vector<StoreDone> waiters) {
  for (StoreDone& done : waiters) {
    done(status.ok()
             ? status
             : absl::Status(status.code(), absl::StrCat(options_.path, ": ", status.message())));
  }
  {
    std::lock_guard lock(mu_);
    if (sync_waiters_.empty()) {
      sync_running_ = false;
      return;
    }
  }
  StartSync();
}

}  // namespace residency
