#include "daemon/unix_socket.h"

#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"

namespace residency {
namespace {

absl::Status SystemError(const std::string& what) { return absl::ErrnoToStatus(errno, what); }

absl::StatusOr<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("socket path \"", path, "\" has ", path.size(),
                                                   " bytes, allowed are 1 to ",
                                                   sizeof(address.sun_path) - 1));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// Whether somebody listens there. Only a refused connection says for certain that nobody does.
absl::StatusOr<bool> IsLive(const std::string& path, const sockaddr_un& address, int type) {
  const OwnedFd fd(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return SystemError("socket");
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
    return true;
  }
  switch (errno) {
    case ECONNREFUSED:
      return false;
    case EAGAIN:      // its queue is full
    case EPROTOTYPE:  // a listener of another type
      return true;
    default:
      return SystemError(absl::StrCat("connect to ", path));
  }
}

}  // namespace

absl::StatusOr<gid_t> GroupId(const std::string& group) {
  constexpr size_t kBufferMax = 1 << 20;
  struct group entry = {};
  struct group* found = nullptr;
  for (std::vector<char> buffer(4096); buffer.size() <= kBufferMax;
       buffer.resize(buffer.size() * 2)) {
    const int error = getgrnam_r(group.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (error == ERANGE) continue;
    if (found != nullptr) return found->gr_gid;
    if (error != 0) return absl::ErrnoToStatus(error, absl::StrCat("looking up group ", group));
    break;
  }
  return absl::NotFoundError(
      absl::StrCat("found \"", group, "\", which is no group of this system"));
}

absl::Status PrepareUnixPath(const std::string& path, int type) {
  const absl::StatusOr<sockaddr_un> address = AddressOf(path);
  if (!address.ok()) return address.status();
  struct stat info = {};
  if (lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? absl::OkStatus() : SystemError(absl::StrCat("stat ", path));
  }
  if (!S_ISSOCK(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " exists and is no socket: remove it or choose another directory"));
  }
  const absl::StatusOr<bool> live = IsLive(path, *address, type);
  if (!live.ok()) return live.status();
  if (*live) {
    return absl::AlreadyExistsError(absl::StrCat("another daemon listens on ", path,
                                                 ": stop it first, or choose another "
                                                 "runtime_dir"));
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return SystemError(absl::StrCat("removing the leftover socket ", path));
  }
  return absl::OkStatus();
}

absl::Status SetSocketAccess(const std::string& path, uint32_t mode, const std::string& group) {
  if (!group.empty()) {
    const absl::StatusOr<gid_t> gid = GroupId(group);
    if (!gid.ok()) return gid.status();
    if (chown(path.c_str(), static_cast<uid_t>(-1), *gid) != 0) {
      return SystemError(absl::StrCat("giving ", path, " to group ", group));
    }
  }
  if (chmod(path.c_str(), mode) != 0) {
    return SystemError(absl::StrCat("setting the mode of ", path));
  }
  return absl::OkStatus();
}

absl::StatusOr<OwnedFd> ListenUnix(const UnixListenOptions& options) {
  if (const absl::Status free = PrepareUnixPath(options.path, options.type); !free.ok()) {
    return free;
  }
  const absl::StatusOr<sockaddr_un> address = AddressOf(options.path);
  if (!address.ok()) return address.status();
  OwnedFd fd(socket(AF_UNIX, options.type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return SystemError("socket");
  // Until listen() every connection is refused, whatever the mode; so the mode may follow the bind.
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0) {
    return SystemError(absl::StrCat("binding ", options.path));
  }
  absl::Status ready = SetSocketAccess(options.path, options.mode, options.group);
  if (ready.ok() && listen(fd.get(), options.backlog) != 0) {
    ready = SystemError(absl::StrCat("listening on ", options.path));
  }
  if (ready.ok()) return fd;
  unlink(options.path.c_str());
  return ready;
}

}  // namespace residency
