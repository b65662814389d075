#include <fcntl.h>
#include <unistd.h>
#include <zstd.h>

#include <cerrno>
#include <cstdio>
#include <unordered_set>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "sim/rtrace.h"
#include "sim/rtrace_header.h"

namespace residency {
namespace {

constexpr char kMagic[] = "RTRACE01";
constexpr int kZstdLevel = 12;

void Append32(uint32_t value, std::string* out) {
  for (int i = 0; i < 4; ++i) out->push_back(static_cast<char>(value >> (8 * i)));
}

void AppendValues(const std::vector<uint16_t>& values, size_t width, std::string* out) {
  for (uint16_t value : values) {
    out->push_back(static_cast<char>(value));
    if (width == 2) out->push_back(static_cast<char>(value >> 8));
  }
}

absl::StatusOr<std::string> Compress(const std::string& content) {
  std::string out(ZSTD_compressBound(content.size()), '\0');
  const size_t size =
      ZSTD_compress(out.data(), out.size(), content.data(), content.size(), kZstdLevel);
  if (ZSTD_isError(size)) {
    return absl::InternalError(absl::StrCat("zstd: ", ZSTD_getErrorName(size)));
  }
  out.resize(size);
  return out;
}

absl::Status WriteAll(const std::string& path, const std::string& content) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot create"));
  const auto closer = absl::MakeCleanup([fd] { close(fd); });
  for (size_t done = 0; done < content.size();) {
    const ssize_t n = write(fd, content.data() + done, content.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": write"));
    done += static_cast<size_t>(n);
  }
  if (fsync(fd) != 0) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": fsync"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> EncodeTrace(const Trace& trace) {
  auto json = FormatTraceHeader({trace.header, trace.requests.size(), trace.tokens()});
  if (!json.ok()) return json.status();
  std::string out = kMagic;
  Append32(static_cast<uint32_t>(json->size()), &out);
  out += *json;
  const size_t width = trace.header.experts <= 256 ? 1 : 2;
  std::unordered_set<uint32_t> ids;
  for (const TraceRequest& request : trace.requests) {
    auto status = CheckRequest(trace.header, request);
    if (!status.ok()) return status;
    if (!ids.insert(request.id).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("request ", request.id, ": the id appears twice"));
    }
    Append32(request.id, &out);
    Append32(request.tokens, &out);
    Append32(request.prompt_tokens, &out);
    AppendValues(request.experts, width, &out);
    AppendValues(request.gates, 2, &out);
  }
  return out;
}

absl::Status WriteTrace(const Trace& trace, const std::string& path) {
  auto content = EncodeTrace(trace);
  if (content.ok() && absl::EndsWith(path, ".zst")) content = Compress(*content);
  if (!content.ok()) return content.status();
  const std::string partial = absl::StrCat(path, ".partial-", getpid());
  auto status = WriteAll(partial, *content);
  if (status.ok() && std::rename(partial.c_str(), path.c_str()) != 0) {
    status = absl::ErrnoToStatus(errno, absl::StrCat(partial, ": rename to ", path));
  }
  if (!status.ok()) unlink(partial.c_str());
  return status;
}

}  // namespace residency
