// The decompressed content of a trace as a stream with a position: a file or bytes in memory, plain
// or zstd. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace residency {

class TraceInput {
 public:
  // At most `max_content_bytes` of decompressed content are given out; more is an error.
  static absl::StatusOr<std::unique_ptr<TraceInput>> OpenFile(const std::string& path,
                                                              uint64_t max_content_bytes);
  // `content` must outlive the input.
  static absl::StatusOr<std::unique_ptr<TraceInput>> OpenBytes(const std::string& name,
                                                               const std::string& content,
                                                               uint64_t max_content_bytes);
  ~TraceInput();
  TraceInput(const TraceInput&) = delete;
  TraceInput& operator=(const TraceInput&) = delete;

  // Replaces `out` with exactly the next `bytes`; `what` names them in messages. InvalidArgument
  // if the content ends before, is damaged or goes above the limit.
  absl::Status Read(uint64_t bytes, const std::string& what, std::vector<uint8_t>* out);

  // Whether all content was read. An error where it ends amidst a zstd frame.
  absl::StatusOr<bool> AtEnd();

  // "NAME: byte OFFSET: PROBLEM", at the given position of the decompressed content.
  absl::Status Invalid(uint64_t offset, const std::string& problem) const;
  uint64_t offset() const { return offset_; }

 private:
  class Decompressor;
  struct Origin {
    int fd = -1;                          // -1: memory
    const std::string* memory = nullptr;  // with fd -1
    size_t memory_at = 0;
  };

  TraceInput(std::string name, Origin origin, uint64_t max_content_bytes);
  static absl::StatusOr<std::unique_ptr<TraceInput>> Start(std::unique_ptr<TraceInput> input);
  absl::Status FillRaw();  // the next piece of the origin, once raw_ is used up
  // One step towards the next piece of content; true at the end of it.
  absl::StatusOr<bool> TakePlain();
  absl::StatusOr<bool> Decompress();
  absl::Status FillContent();  // leaves content_ empty only at the end

  const std::string name_;
  const uint64_t max_content_bytes_;
  Origin origin_;
  std::vector<uint8_t> raw_;  // a piece as stored
  size_t raw_at_ = 0;
  std::vector<uint8_t> content_;  // a piece decompressed
  size_t content_at_ = 0;
  uint64_t produced_ = 0;                       // bytes of content ever put into content_
  uint64_t offset_ = 0;                         // bytes of content given out
  std::unique_ptr<Decompressor> decompressor_;  // null: plain
};

}  // namespace residency
