// What a block would be in the other encodings, from a sample of its bytes on their way past.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/element.h"
#include "movers/lowbit_codec.h"

namespace residency {

// Encodes up to 64 KiB out of each MiB and keeps the sums: a small part of what a copy costs. Not
// thread-safe.
class ContentMeter {
 public:
  ContentMeter(ElementType element, LowbitFormat format) : element_(element), format_(format) {}

  // The bytes from `at` in the block. In order, in chunks of any size. Elements other than bf16,
  // f16 and f32 are not measured.
  void Add(uint64_t at, std::span<const std::byte> full);

  ContentFacts Result() const;

 private:
  ElementType element_;
  LowbitFormat format_;
  uint64_t next_ = 0;  // where the next sample may begin
  uint64_t sampled_bytes_ = 0;
  uint64_t compressed_bytes_ = 0;
  LowbitError error_;
};

}  // namespace residency
