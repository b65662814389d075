// Reads little-endian values from the start of a file. The first problem sticks: from then on reads
// give zeros, so that a parser looks at ok() where it matters, at least once in every loop.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace residency {

class GgufCursor {
 public:
  // `prefix` is what has been read of a file of `file_bytes`; the header may take `limit` of it.
  GgufCursor(const std::string& file, std::string_view prefix, uint64_t file_bytes, uint64_t limit)
      : file_(file), prefix_(prefix), file_bytes_(file_bytes), limit_(limit) {}

  uint8_t U8() { return static_cast<uint8_t>(Little(1)); }
  uint32_t U32() { return static_cast<uint32_t>(Little(4)); }
  uint64_t U64() { return Little(8); }
  uint64_t Little(uint64_t bytes);  // at most 8
  // A length of 64 bits and as many bytes; `bytes_max` bounds what is accepted.
  std::string_view Text(uint64_t bytes_max);
  std::string_view Bytes(uint64_t bytes);

  // "FILE: PROBLEM", or "FILE: tensor 'NAME': PROBLEM" between SetTensor and the next. Returns
  // false.
  bool Fail(std::string_view problem);
  void SetTensor(std::string_view name) { tensor_ = name; }

  bool ok() const { return status_.ok(); }
  // InvalidArgument; OutOfRange if nothing is wrong but that `prefix` ends amidst the header.
  const absl::Status& status() const { return status_; }
  uint64_t offset() const { return offset_; }
  // How many things of at least `bytes_each` the rest of the file, or of the limit, can hold.
  uint64_t RoomFor(uint64_t bytes_each) const;

 private:
  bool Need(uint64_t bytes);

  const std::string& file_;
  const std::string_view prefix_;
  const uint64_t file_bytes_;
  const uint64_t limit_;
  uint64_t offset_ = 0;
  std::string_view tensor_;
  absl::Status status_;
};

}  // namespace residency
