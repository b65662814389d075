#include "client/header_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"

namespace residency {

absl::StatusOr<HeaderFile> OpenHeaderFile(const std::string& path) {
  HeaderFile file;
  file.path = path;
  // Non-blocking, so that a FIFO is refused below instead of waited for.
  file.fd = client::internal::UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.fd.valid()) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot open"));
  struct stat info;
  if (::fstat(file.fd.get(), &info) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot stat"));
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is not a regular file"));
  }
  file.bytes = static_cast<uint64_t>(info.st_size);
  return file;
}

absl::Status ReadAt(const std::string& path, int fd, uint64_t offset, uint64_t bytes, char* out) {
  for (uint64_t done = 0; done < bytes;) {
    const ssize_t n = ::pread(fd, out + done, bytes - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot read"));
    if (n == 0) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": ends at byte ", offset + done,
                                                     " while it is read; ", offset + bytes,
                                                     " bytes were expected"));
    }
    done += static_cast<uint64_t>(n);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadAt(const HeaderFile& file, uint64_t offset, uint64_t bytes) {
  std::string out(bytes, '\0');
  if (absl::Status read = ReadAt(file.path, file.fd.get(), offset, bytes, out.data()); !read.ok()) {
    return read;
  }
  return out;
}

}  // namespace residency
