#include "sim/rtrace_input.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"

namespace residency {
namespace {

constexpr size_t kPieceBytes = size_t{1} << 17;
constexpr std::array<uint8_t, 4> kZstdMagic = {0x28, 0xb5, 0x2f, 0xfd};

}  // namespace

class TraceInput::Decompressor {
 public:
  ~Decompressor() { ZSTD_freeDStream(stream_); }

  ZSTD_DStream* stream() const { return stream_; }
  // Whether the frames so far are complete, as the library last said.
  bool between_frames = true;

 private:
  // Its window is bounded by the library's default (128 MiB); larger ones are refused.
  ZSTD_DStream* const stream_ = ZSTD_createDStream();
};

TraceInput::TraceInput(std::string name, Origin origin, uint64_t max_content_bytes)
    : name_(std::move(name)), max_content_bytes_(max_content_bytes), origin_(origin) {}

TraceInput::~TraceInput() {
  if (origin_.fd >= 0) close(origin_.fd);
}

absl::StatusOr<std::unique_ptr<TraceInput>> TraceInput::OpenFile(const std::string& path,
                                                                 uint64_t max_content_bytes) {
  // Non-blocking, so that a FIFO is refused below instead of waited for.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot open the trace"));
  std::unique_ptr<TraceInput> input(
      new TraceInput(path, {fd, nullptr, 0}, max_content_bytes));  // owns fd from here
  struct stat info;
  if (fstat(fd, &info) != 0) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot stat"));
  if (!S_ISREG(info.st_mode)) return input->Invalid(0, "is not a regular file");
  return Start(std::move(input));
}

absl::StatusOr<std::unique_ptr<TraceInput>> TraceInput::OpenBytes(const std::string& name,
                                                                  const std::string& content,
                                                                  uint64_t max_content_bytes) {
  return Start(
      std::unique_ptr<TraceInput>(new TraceInput(name, {-1, &content, 0}, max_content_bytes)));
}

absl::StatusOr<std::unique_ptr<TraceInput>> TraceInput::Start(std::unique_ptr<TraceInput> input) {
  auto status = input->FillRaw();
  if (!status.ok()) return status;
  const std::vector<uint8_t>& raw = input->raw_;
  if (raw.size() >= kZstdMagic.size() &&
      std::equal(kZstdMagic.begin(), kZstdMagic.end(), raw.begin())) {
    input->decompressor_ = std::make_unique<Decompressor>();
    if (input->decompressor_->stream() == nullptr) {
      return absl::ResourceExhaustedError(absl::StrCat(input->name_, ": no memory for zstd"));
    }
  }
  return input;
}

absl::Status TraceInput::Invalid(uint64_t offset, const std::string& problem) const {
  return absl::InvalidArgumentError(absl::StrCat(name_, ": byte ", offset, ": ", problem));
}

absl::Status TraceInput::FillRaw() {
  raw_at_ = 0;
  if (origin_.fd < 0) {
    const size_t size = std::min(kPieceBytes, origin_.memory->size() - origin_.memory_at);
    const char* begin = origin_.memory->data() + origin_.memory_at;
    raw_.assign(begin, begin + size);
    origin_.memory_at += size;
    return absl::OkStatus();
  }
  raw_.resize(kPieceBytes);
  ssize_t n;
  do {
    n = read(origin_.fd, raw_.data(), raw_.size());
  } while (n < 0 && errno == EINTR);
  raw_.resize(n < 0 ? 0 : static_cast<size_t>(n));
  if (n < 0) return absl::ErrnoToStatus(errno, absl::StrCat(name_, ": cannot read"));
  return absl::OkStatus();
}

absl::StatusOr<bool> TraceInput::TakePlain() {
  if (raw_.empty()) {  // the first piece is there already
    auto status = FillRaw();
    if (!status.ok()) return status;
  }
  content_.swap(raw_);
  raw_.clear();
  return content_.empty();
}

absl::StatusOr<bool> TraceInput::Decompress() {
  if (raw_at_ == raw_.size()) {
    auto status = FillRaw();
    if (!status.ok()) return status;
  }
  const bool raw_ended = raw_.empty();
  if (raw_ended && decompressor_->between_frames) return true;
  content_.resize(kPieceBytes);
  ZSTD_inBuffer in = {raw_.data(), raw_.size(), raw_at_};
  ZSTD_outBuffer out = {content_.data(), content_.size(), 0};
  // Called once more after the last input: a full output buffer may have left content inside.
  const size_t left = ZSTD_decompressStream(decompressor_->stream(), &out, &in);
  content_.resize(out.pos);
  raw_at_ = in.pos;
  if (ZSTD_isError(left)) {
    return Invalid(produced_, absl::StrCat("zstd: ", ZSTD_getErrorName(left)));
  }
  decompressor_->between_frames = left == 0;
  if (raw_ended && content_.empty() && left != 0) {
    return Invalid(produced_, "the file ends amidst a zstd frame: it is truncated");
  }
  return false;
}

absl::Status TraceInput::FillContent() {
  content_at_ = 0;
  content_.clear();
  for (bool ended = false; content_.empty() && !ended;) {
    auto step = decompressor_ == nullptr ? TakePlain() : Decompress();
    if (!step.ok()) return step.status();
    ended = *step;
  }
  produced_ += content_.size();
  if (produced_ > max_content_bytes_) {
    return Invalid(
        offset_, absl::StrCat("the content is above the limit of ", max_content_bytes_, " bytes"));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> TraceInput::AtEnd() {
  if (content_at_ < content_.size()) return false;
  auto status = FillContent();
  if (!status.ok()) return status;
  return content_.empty();
}

absl::Status TraceInput::Read(uint64_t bytes, const std::string& what, std::vector<uint8_t>* out) {
  out->clear();
  const uint64_t start = offset_;
  if (bytes > max_content_bytes_ - start) {
    return Invalid(start, absl::StrCat(what, " of ", bytes, " bytes would go above the limit of ",
                                       max_content_bytes_, " bytes of content"));
  }
  while (out->size() < bytes) {
    auto end = AtEnd();
    if (!end.ok()) return end.status();
    if (*end) {
      return Invalid(start, absl::StrCat(what, " is truncated: wanted ", bytes, " bytes, found ",
                                         out->size()));
    }
    const size_t size = std::min<uint64_t>(bytes - out->size(), content_.size() - content_at_);
    const auto begin = content_.begin() + static_cast<ptrdiff_t>(content_at_);
    out->insert(out->end(), begin, begin + static_cast<ptrdiff_t>(size));
    content_at_ += size;
    offset_ += size;
  }
  return absl::OkStatus();
}

}  // namespace residency
