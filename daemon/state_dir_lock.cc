#include "daemon/state_dir_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace residency {
namespace {

std::string HolderOf(int fd) {
  std::array<char, 32> text;
  const ssize_t got = pread(fd, text.data(), text.size(), 0);
  if (got <= 0) return "unknown";
  return std::string(
      absl::StripAsciiWhitespace(absl::string_view(text.data(), static_cast<size_t>(got))));
}

}  // namespace

absl::StatusOr<StateDirLock> StateDirLock::Acquire(const std::string& directory) {
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::ErrnoToStatus(errno, absl::StrCat("making the directory ", directory));
  }
  const std::string path = directory + "/lock";
  OwnedFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", path));
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return absl::ErrnoToStatus(errno, absl::StrCat("locking ", path));
    return absl::FailedPreconditionError(
        absl::StrCat(directory, " is in use by another residencyd (process ", HolderOf(fd.get()),
                     "): stop it first, or choose another directory"));
  }
  const std::string pid = absl::StrCat(getpid(), "\n");
  // The number is for people; the lock holds without it.
  if (ftruncate(fd.get(), 0) != 0 ||
      pwrite(fd.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return absl::ErrnoToStatus(errno, absl::StrCat("writing ", path));
  }
  return StateDirLock(std::move(fd));
}

}  // namespace residency
