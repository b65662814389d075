#include "client/checkpoint_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <set>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "client/safetensors_json.h"

namespace residency {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kMetadataKey[] = "__metadata__";
// The header is padded with spaces so that data begins aligned, as the format's own writer does.
constexpr uint64_t kDataAlignment = 8;
constexpr uint64_t kLengthFieldBytes = 8;
// Partial files that an earlier process of the same number may have left behind.
constexpr int kMaxNameAttempts = 100;

struct EncodedHeader {
  std::string bytes;  // length field, JSON, padding
  uint64_t data_bytes = 0;
};

absl::Status Invalid(const std::string& path, const std::string& tensor,
                     const std::string& problem) {
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": tensor ", QuotedForMessage(tensor), ": ", problem));
}

absl::StatusOr<EncodedHeader> EncodeHeader(const std::string& path,
                                           const std::vector<TensorSpec>& tensors,
                                           const std::map<std::string, std::string>& metadata) {
  EncodedHeader header;
  Json root = Json::object();
  std::set<std::string> used = {kMetadataKey};
  for (const auto& [key, value] : metadata) {
    if (!IsUtf8(key) || !IsUtf8(value)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": metadata ", QuotedForMessage(key), " is not UTF-8"));
    }
  }
  if (!metadata.empty()) root[kMetadataKey] = metadata;
  for (const TensorSpec& tensor : tensors) {
    if (!used.insert(tensor.name).second) {
      return Invalid(path, tensor.name, "the name is reserved or given twice");
    }
    if (!IsUtf8(tensor.name)) return Invalid(path, tensor.name, "the name is not UTF-8");
    const auto bytes = TensorBytes(tensor.dtype, tensor.shape);
    const uint64_t begin = header.data_bytes;
    if (!bytes || __builtin_add_overflow(begin, *bytes, &header.data_bytes)) {
      return Invalid(path, tensor.name, "the size overflows 64 bits");
    }
    Json entry = {{"dtype", Name(tensor.dtype)},
                  {"shape", tensor.shape},
                  {"data_offsets", {begin, header.data_bytes}}};
    // Not root[name], which searches linearly in an ordered object.
    root.get_ref<Json::object_t&>().push_back({tensor.name, std::move(entry)});
  }
  // Every text was checked to be UTF-8, so nothing is replaced; plain dump() could throw.
  std::string json = root.dump(-1, ' ', false, Json::error_handler_t::replace);
  json.resize((json.size() + kDataAlignment - 1) / kDataAlignment * kDataAlignment, ' ');
  if (json.size() > kMaxSafetensorsHeaderBytes) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": a header of ", json.size(),
                                                   " bytes is above the limit of ",
                                                   kMaxSafetensorsHeaderBytes));
  }
  for (size_t i = 0; i < kLengthFieldBytes; ++i) {
    header.bytes.push_back(static_cast<char>(json.size() >> (8 * i)));
  }
  header.bytes += json;
  return header;
}

struct PartialFile {
  std::string path;
  int fd = -1;
};

absl::StatusOr<PartialFile> OpenPartial(const std::string& path) {
  static std::atomic<uint64_t> next_number{0};
  for (int attempt = 0; attempt < kMaxNameAttempts; ++attempt) {
    PartialFile file;
    file.path = absl::StrCat(path, ".partial-", getpid(), "-", next_number++);
    file.fd = open(file.path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (file.fd >= 0) return file;
    if (errno != EEXIST) return absl::ErrnoToStatus(errno, absl::StrCat(file.path, ": create"));
  }
  return absl::AlreadyExistsError(absl::StrCat(path, ": ", kMaxNameAttempts,
                                               " names for a partial file are taken; remove ", path,
                                               ".partial-* if no writer is running"));
}

absl::Status SyncDirectoryOf(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const std::string directory = parent.empty() ? std::string(1, '.') : parent.string();
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat(directory, ": cannot open"));
  const auto closer = absl::MakeCleanup([fd] { close(fd); });
  if (fsync(fd) != 0) return absl::ErrnoToStatus(errno, absl::StrCat(directory, ": fsync"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<CheckpointWriter>> CheckpointWriter::Create(
    const std::string& path, const std::vector<TensorSpec>& tensors,
    const std::map<std::string, std::string>& metadata) {
  auto header = EncodeHeader(path, tensors, metadata);
  if (!header.ok()) return header.status();
  auto partial = OpenPartial(path);
  if (!partial.ok()) return partial.status();
  // The constructor is private, so make_unique cannot be used.
  std::unique_ptr<CheckpointWriter> writer(
      new CheckpointWriter(path, partial->path, partial->fd, header->data_bytes));
  auto status = writer->Write(std::as_bytes(std::span(header->bytes)));
  if (!status.ok()) return status;
  return writer;
}

CheckpointWriter::CheckpointWriter(std::string path, std::string partial_path, int fd,
                                   uint64_t data_bytes)
    : path_(std::move(path)),
      partial_path_(std::move(partial_path)),
      data_bytes_(data_bytes),
      fd_(fd) {}

CheckpointWriter::~CheckpointWriter() {
  if (fd_ >= 0) close(fd_);
  if (!finished_) unlink(partial_path_.c_str());
}

absl::Status CheckpointWriter::Fail(absl::Status status) {
  if (status_.ok()) status_ = status;
  return status;
}

absl::Status CheckpointWriter::Write(std::span<const std::byte> data) {
  while (!data.empty()) {
    const ssize_t n = write(fd_, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Fail(absl::ErrnoToStatus(errno, absl::StrCat(partial_path_, ": write")));
    data = data.subspan(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status CheckpointWriter::Append(std::span<const std::byte> data) {
  if (!status_.ok()) return status_;
  if (finished_) return absl::FailedPreconditionError(absl::StrCat(path_, ": is finished"));
  if (data.size() > data_bytes_ - appended_bytes_) {
    return Fail(absl::OutOfRangeError(absl::StrCat(
        path_, ": ", data.size(), " more bytes were given, but after ", appended_bytes_, " of ",
        data_bytes_, " declared only ", data_bytes_ - appended_bytes_, " are left")));
  }
  auto status = Write(data);
  if (status.ok()) appended_bytes_ += data.size();
  return status;
}

absl::Status CheckpointWriter::Finish() {
  if (!status_.ok()) return status_;
  if (finished_) return absl::FailedPreconditionError(absl::StrCat(path_, ": is finished"));
  if (appended_bytes_ != data_bytes_) {
    return Fail(absl::FailedPreconditionError(absl::StrCat(
        path_, ": ", appended_bytes_, " of ", data_bytes_, " declared bytes were given")));
  }
  if (fsync(fd_) != 0) {
    return Fail(absl::ErrnoToStatus(errno, absl::StrCat(partial_path_, ": fsync")));
  }
  const int fd = std::exchange(fd_, -1);
  if (close(fd) != 0) {
    return Fail(absl::ErrnoToStatus(errno, absl::StrCat(partial_path_, ": close")));
  }
  if (std::rename(partial_path_.c_str(), path_.c_str()) != 0) {
    return Fail(absl::ErrnoToStatus(errno, absl::StrCat(partial_path_, ": rename to ", path_)));
  }
  finished_ = true;
  return SyncDirectoryOf(path_);
}

}  // namespace residency
