#include "movers/staging_ring.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "movers/io_alignment.h"

namespace residency {

StagingBuffer::StagingBuffer(StagingBuffer&& other) noexcept
    : ring_(std::exchange(other.ring_, nullptr)), data_(std::exchange(other.data_, nullptr)) {}

StagingBuffer& StagingBuffer::operator=(StagingBuffer&& other) noexcept {
  if (this != &other) {
    GiveBack();
    ring_ = std::exchange(other.ring_, nullptr);
    data_ = std::exchange(other.data_, nullptr);
  }
  return *this;
}

StagingBuffer::~StagingBuffer() { GiveBack(); }

void StagingBuffer::GiveBack() {
  if (ring_ != nullptr) ring_->GiveBack(data_);
  ring_ = nullptr;
}

absl::StatusOr<std::unique_ptr<StagingRing>> StagingRing::Create(
    const StagingRingOptions& options) {
  const uint64_t buffer = options.buffer.count();
  if (buffer < 2 * kIoAlignment || !IsAligned(buffer) || options.total < options.buffer) {
    return absl::InvalidArgumentError(absl::StrCat(
        "staging ring: buffers of ", buffer, " B in ", options.total.count(),
        " B; a buffer must be a multiple of ", kIoAlignment, " B, at least two of them, and fit"));
  }
  const size_t count = options.total / options.buffer;
  void* base =
      mmap(nullptr, buffer * count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "staging ring: no memory for ", FormatBytes(Bytes(buffer * count)), ": ", strerror(errno)));
  }
  madvise(base, buffer * count, MADV_HUGEPAGE);
  return std::unique_ptr<StagingRing>(
      new StagingRing(static_cast<std::byte*>(base), options.buffer, count));
}

StagingRing::StagingRing(std::byte* base, Bytes buffer_bytes, size_t buffer_count)
    : base_(base), buffer_bytes_(buffer_bytes), buffer_count_(buffer_count) {
  free_.reserve(buffer_count);
  for (size_t i = buffer_count; i > 0; --i) free_.push_back(base + (i - 1) * buffer_bytes.count());
}

StagingRing::~StagingRing() { munmap(base_, buffer_bytes_.count() * buffer_count_); }

std::optional<StagingBuffer> StagingRing::TryAcquire(LinkClass cls) {
  std::lock_guard lock(mu_);
  const size_t reserve = cls == LinkClass::kDemand ? 0 : buffer_count_ / 4;
  if (free_.size() <= reserve) return std::nullopt;
  std::byte* data = free_.back();
  free_.pop_back();
  return StagingBuffer(this, data);
}

void StagingRing::GiveBack(std::byte* data) {
  std::lock_guard lock(mu_);
  free_.push_back(data);
}

size_t StagingRing::free_count() const {
  std::lock_guard lock(mu_);
  return free_.size();
}

}  // namespace residency
