// XXH3-64, the checksum of every copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace residency {

// Over bytes that arrive in pieces, in order.
class Checksum {
 public:
  Checksum();
  ~Checksum();
  Checksum(Checksum&&) noexcept = default;
  Checksum& operator=(Checksum&&) noexcept = default;

  void Add(std::span<const std::byte> bytes);
  uint64_t value() const;  // of all bytes added so far

 private:
  struct State;
  std::unique_ptr<State> state_;
};

uint64_t ChecksumOf(std::span<const std::byte> bytes);

}  // namespace residency
