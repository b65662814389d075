// What direct I/O asks of offsets, lengths and addresses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

namespace residency {

// Covers every logical block size in use (512 and 4096) and is the page size of the arenas.
inline constexpr uint64_t kIoAlignment = 4096;

constexpr uint64_t AlignDown(uint64_t n) { return n / kIoAlignment * kIoAlignment; }
constexpr uint64_t AlignUp(uint64_t n) { return AlignDown(n + kIoAlignment - 1); }
constexpr bool IsAligned(uint64_t n) { return n % kIoAlignment == 0; }

struct FreeDeleter {
  void operator()(std::byte* p) const { std::free(p); }
};
using AlignedMemory = std::unique_ptr<std::byte[], FreeDeleter>;

// Uninitialised, aligned for direct I/O; null when memory is exhausted.
inline AlignedMemory AllocateAligned(size_t size) {
  return AlignedMemory(static_cast<std::byte*>(std::aligned_alloc(kIoAlignment, AlignUp(size))));
}

}  // namespace residency
