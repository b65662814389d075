#include "client/gguf_cursor.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "client/safetensors_json.h"

namespace residency {
namespace {

// Abseil's string_view is a type of its own here.
absl::string_view ToText(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

bool GgufCursor::Fail(std::string_view problem) {
  if (!ok()) return false;
  status_ = absl::InvalidArgumentError(
      tensor_.empty() ? absl::StrCat(file_, ": ", ToText(problem))
                      : absl::StrCat(file_, ": tensor ", QuotedForMessage(std::string(tensor_)),
                                     ": ", ToText(problem)));
  return false;
}

uint64_t GgufCursor::RoomFor(uint64_t bytes_each) const {
  const uint64_t end = std::min(file_bytes_, limit_);
  return end > offset_ ? (end - offset_) / bytes_each : 0;
}

bool GgufCursor::Need(uint64_t bytes) {
  if (!ok()) return false;
  if (bytes <= prefix_.size() - offset_) return true;
  if (bytes > file_bytes_ - offset_) {
    return Fail(absl::StrCat("the file ends at byte ", file_bytes_, " amidst the header: ", bytes,
                             " bytes were expected at byte ", offset_, "; it is truncated"));
  }
  if (offset_ + bytes > limit_) {
    return Fail(absl::StrCat("the header is above the limit of ", limit_, " bytes"));
  }
  status_ = absl::OutOfRangeError(absl::StrCat(file_, ": more of the header is needed"));
  return false;
}

std::string_view GgufCursor::Bytes(uint64_t bytes) {
  if (!Need(bytes)) return {};
  const std::string_view taken = prefix_.substr(offset_, bytes);
  offset_ += bytes;
  return taken;
}

uint64_t GgufCursor::Little(uint64_t bytes) {
  uint64_t value = 0;
  const std::string_view raw = Bytes(bytes);
  for (size_t i = raw.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(raw[i]);
  return value;
}

std::string_view GgufCursor::Text(uint64_t bytes_max) {
  const uint64_t length = U64();
  if (ok() && length > bytes_max) {
    Fail(absl::StrCat("a text of ", length, " bytes at byte ", offset_, " is above the limit of ",
                      bytes_max));
  }
  return ok() ? Bytes(length) : std::string_view();
}

}  // namespace residency
