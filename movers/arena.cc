#include "movers/arena.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "movers/io_alignment.h"

namespace residency {
namespace {

absl::Status KernelRefused(const ArenaOptions& options, const char* call, uint64_t wanted) {
  const int error = errno;
  return absl::ResourceExhaustedError(absl::StrCat(
      "pool ", options.name, ": ", call, " for ", FormatBytes(Bytes(wanted)), " failed: ",
      strerror(error), "; make the pool smaller or raise the limits of memory and open files"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Arena>> Arena::Create(ArenaOptions options) {
  const uint64_t capacity = options.capacity.count();
  const uint64_t segment = options.segment_bytes.count();
  if (capacity == 0 || segment == 0 || !IsAligned(capacity) || !IsAligned(segment)) {
    return absl::InvalidArgumentError(
        absl::StrCat("pool ", options.name, ": capacity ", capacity, " B and segments of ", segment,
                     " B must both be positive multiples of ", kIoAlignment, " B"));
  }
  std::unique_ptr<Arena> arena(new Arena(std::move(options)));
  if (absl::Status status = arena->Reserve(); !status.ok()) return status;
  PretouchOptions touch;
  touch.name = arena->options_.name;
  touch.begin = arena->base_;
  touch.size = arena->options_.capacity;
  touch.threads = arena->options_.touch_threads;
  touch.lock = arena->options_.lock_memory;
  arena->pretoucher_ = std::make_unique<Pretoucher>(std::move(touch));
  return arena;
}

Arena::Arena(ArenaOptions options)
    : options_(std::move(options)),
      segments_((options_.capacity.count() + options_.segment_bytes.count() - 1) /
                options_.segment_bytes.count()) {}

Arena::~Arena() {
  pretoucher_.reset();
  if (base_ != nullptr) munmap(base_, options_.capacity.count());
}

absl::Status Arena::Reserve() {
  void* base = mmap(nullptr, options_.capacity.count(), PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return KernelRefused(options_, "mmap", options_.capacity.count());
  base_ = static_cast<std::byte*>(base);
  for (uint64_t i = 0; i < segments_.size(); ++i) {
    absl::StatusOr<OwnedFd> memory = MakeMemory(i);
    if (!memory.ok()) return memory.status();
    if (absl::Status status = MapMemory(i, memory->get()); !status.ok()) return status;
    segments_[i].memory = *std::move(memory);
  }
  return absl::OkStatus();
}

size_t Arena::LengthOf(uint64_t segment) const {
  const uint64_t begin = segment * options_.segment_bytes.count();
  return std::min(options_.segment_bytes.count(), options_.capacity.count() - begin);
}

absl::StatusOr<OwnedFd> Arena::MakeMemory(uint64_t segment) const {
  const std::string name = absl::StrCat("residency-", options_.name, "-", segment);
  OwnedFd memory(memfd_create(name.c_str(), MFD_CLOEXEC));
  if (!memory.valid()) return KernelRefused(options_, "memfd_create", LengthOf(segment));
  // A memfd starts with mode 0777, which would let whoever receives a read-only descriptor reopen
  // it for writing. Not even our own uid may.
  if (fchmod(memory.get(), 0400) != 0) {
    return KernelRefused(options_, "fchmod", LengthOf(segment));
  }
  if (ftruncate(memory.get(), static_cast<off_t>(LengthOf(segment))) != 0) {
    return KernelRefused(options_, "ftruncate", LengthOf(segment));
  }
  return memory;
}

absl::Status Arena::MapMemory(uint64_t segment, int memory) const {
  std::byte* at = base_ + segment * options_.segment_bytes.count();
  const size_t length = LengthOf(segment);
  if (mmap(at, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory, 0) == MAP_FAILED) {
    return KernelRefused(options_, "mmap", length);
  }
  // Neither matters for correctness: huge pages where the system has them, no weights in dumps.
  madvise(at, length, MADV_HUGEPAGE);
  madvise(at, length, MADV_DONTDUMP);
  return absl::OkStatus();
}

absl::Status Arena::Ensure(uint64_t segment, RegionNumber region) {
  if (segment >= segments_.size() || !region.valid()) {
    return absl::InvalidArgumentError(absl::StrCat("pool ", options_.name, ": no segment ", segment,
                                                   " of ", segments_.size(), " for region ",
                                                   region.value()));
  }
  if (segments_[segment].region.load(std::memory_order_acquire) == region.value()) {
    return absl::OkStatus();
  }
  absl::StatusOr<OwnedFd> retired = Relabel(segment, region);
  if (!retired.ok()) return retired.status();
  if (!retired->valid()) return absl::OkStatus();
  // Outside the lock: emptying a segment of 1 GiB takes tens of milliseconds. Our own mapping is
  // already the fresh memory, so nothing can fault pages back into the retired one.
  if (fallocate(retired->get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                static_cast<off_t>(LengthOf(segment))) != 0) {
    return KernelRefused(options_, "emptying a retired segment", LengthOf(segment));
  }
  return absl::OkStatus();
}

// Returns the memory that the segment had before, invalid if it was virgin.
absl::StatusOr<OwnedFd> Arena::Relabel(uint64_t segment, RegionNumber region) {
  std::lock_guard lock(mu_);
  Segment& s = segments_[segment];
  const uint64_t current = s.region.load(std::memory_order_relaxed);
  if (current == region.value()) return OwnedFd();  // another thread was first
  OwnedFd retired;
  if (current != kUnassigned) {
    if (region.value() < current) {
      return absl::FailedPreconditionError(
          absl::StrCat("pool ", options_.name, ": segment ", segment, " is region ", current,
                       " and was asked for as the older region ", region.value()));
    }
    absl::StatusOr<OwnedFd> fresh = MakeMemory(segment);
    if (!fresh.ok()) return fresh.status();
    if (absl::Status status = MapMemory(segment, fresh->get()); !status.ok()) return status;
    if (options_.lock_memory) {
      mlock2(Data(segment * options_.segment_bytes.count()), LengthOf(segment), MLOCK_ONFAULT);
    }
    retired = std::exchange(s.memory, *std::move(fresh));
    segment_of_.erase(RegionNumber(current));
  }
  segment_of_[region] = segment;
  s.region.store(region.value(), std::memory_order_release);
  return retired;
}

absl::Status Arena::EnsureExtent(const Extent& extent, std::span<const RegionNumber> regions) {
  const uint64_t unit = options_.segment_bytes.count();
  const bool inside = extent.length > 0 && extent.length <= options_.capacity.count() &&
                      extent.offset <= options_.capacity.count() - extent.length;
  const uint64_t first = extent.offset / unit;
  if (!inside || regions.size() != (extent.end() - 1) / unit - first + 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "pool ", options_.name, ": ", regions.size(), " regions named for [", extent.offset, ", ",
        extent.end(), ") of ", options_.capacity.count(), " B in segments of ", unit, " B"));
  }
  for (size_t i = 0; i < regions.size(); ++i) {
    if (absl::Status status = Ensure(first + i, regions[i]); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<OwnedFd> Arena::Export(RegionNumber region) const {
  std::lock_guard lock(mu_);
  const auto it = segment_of_.find(region);
  if (it == segment_of_.end()) {
    return absl::NotFoundError(absl::StrCat("pool ", options_.name, ": region ", region.value(),
                                            " is not assigned (any more)"));
  }
  const std::string path = absl::StrCat("/proc/self/fd/", segments_[it->second].memory.get());
  OwnedFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    return absl::ErrnoToStatus(errno, absl::StrCat("pool ", options_.name, ": opening region ",
                                                   region.value(), " read-only through ", path));
  }
  return fd;
}

}  // namespace residency
