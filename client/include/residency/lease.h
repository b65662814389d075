// A claim on a resident copy of a block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "residency/lowbit.h"
#include "residency/types.h"

namespace residency::inline client {

namespace internal {
struct LeaseEntry;
}  // namespace internal

// While a Lease lives, data() stays mapped, read-only, at this address, and unless orphaned() or
// revoked() its bytes are those of the block. Any thread; moving one while another thread reads it
// is the caller's to order. Ends by destruction or Release(). Should not outlive its Client: the
// Client's end revokes it, though its address stays mapped.
class Lease {
 public:
  Lease() = default;  // holds nothing
  ~Lease() { Release(); }
  Lease(Lease&& other) noexcept
      : data_(other.data_), size_(other.size_), entry_(std::exchange(other.entry_, nullptr)) {}
  Lease& operator=(Lease&& other) noexcept {
    if (this != &other) {
      Release();
      data_ = other.data_;
      size_ = other.size_;
      entry_ = std::exchange(other.entry_, nullptr);
    }
    return *this;
  }

  bool held() const { return entry_ != nullptr; }
  void Release();

  // REQUIRES, here and below: held().
  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }  // of the copy in its encoding
  std::span<const std::byte> bytes() const { return {data_, size_}; }

  BlockId block() const;
  LeaseMode mode() const;
  Encoding encoding() const;
  Tier tier() const;
  uint64_t checksum() const;  // XXH3-64 of bytes()
  uint32_t generation() const;
  std::string_view layout() const;  // as registered
  ElementType element() const;      // as registered
  uint64_t full_bytes() const;      // of the block; size() where the copy is full
  // As of the grant; a hit in the cache repeats them.
  ResidencyState served_from() const;
  absl::Duration stall() const;

  // Set where encoding() is kLowbit: how the bytes are laid out.
  std::optional<LowbitFormat> lowbit_format() const;
  // The relative error, root mean square, that the daemon measured on a sample of the block.
  float lowbit_error() const;
  // The block's elements as floats. FailedPrecondition unless the copy is low-bit.
  absl::StatusOr<std::vector<float>> DecodeLowbit() const;
  // The greatest error that any element of a low-bit copy can have; 0 for a full one.
  absl::StatusOr<float> ErrorBound() const;

  // The bytes can't be trusted any more: read nothing more, release.
  bool revoked() const;
  // The daemon that granted it is gone. The bytes stay readable and unchanged; acquire anew.
  bool orphaned() const;

 private:
  friend struct internal::LeaseEntry;
  explicit Lease(internal::LeaseEntry* entry);

  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  internal::LeaseEntry* entry_ = nullptr;
};

}  // namespace residency::inline client
