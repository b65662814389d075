#include "movers/file_identity.h"

#include <sys/stat.h>

#include <cerrno>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace residency {
namespace {

int64_t Nanoseconds(const timespec& t) { return t.tv_sec * 1'000'000'000 + t.tv_nsec; }

}  // namespace

absl::StatusOr<FileIdentity> IdentityOf(int fd) {
  struct stat info;
  if (fstat(fd, &info) != 0) return absl::ErrnoToStatus(errno, "fstat");
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError("not a regular file; only regular files and memfds are read");
  }
  FileIdentity id;
  id.device = info.st_dev;
  id.inode = info.st_ino;
  id.size = static_cast<uint64_t>(info.st_size);
  id.mtime_ns = Nanoseconds(info.st_mtim);
  id.ctime_ns = Nanoseconds(info.st_ctim);
  return id;
}

std::string DescribeChange(const FileIdentity& wanted, const FileIdentity& found) {
  std::vector<std::string> parts;
  if (wanted.device != found.device || wanted.inode != found.inode) {
    parts.push_back("it is another file");
  }
  if (wanted.size != found.size) {
    parts.push_back(absl::StrCat("it had ", wanted.size, " B and has ", found.size, " B"));
  }
  if (wanted.mtime_ns != found.mtime_ns) parts.push_back("it was written");
  if (parts.empty()) parts.push_back("it was replaced, or its attributes were changed");
  return absl::StrJoin(parts, ", ");
}

}  // namespace residency
