#include "daemon/peer_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace residency {
namespace {

// Linux 6.5; Debian 12's headers are older.
constexpr int kSoPeerPidfd = 77;

absl::Status CannotPin(const std::string& why) {
  return absl::PermissionDeniedError(
      absl::StrCat("the peer's process can't be pinned down: ", why));
}

bool Polls(int fd, short events) {
  pollfd entry = {fd, events, 0};
  return poll(&entry, 1, 0) > 0 && entry.revents != 0;
}

absl::StatusOr<ucred> CredentialsOf(int socket) {
  ucred credentials = {};
  socklen_t length = sizeof(credentials);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
    return absl::ErrnoToStatus(errno, "SO_PEERCRED");
  }
  return credentials;
}

// Without help from the socket, a number may have passed to another process between connect and
// now. Then the old process is gone, and with it (unless it left the connection to a child) its end
// of the socket; and whoever has the number now must at least be of the same user.
absl::StatusOr<OwnedFd> OpenByNumber(int socket, const ucred& credentials) {
  OwnedFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, credentials.pid, 0)));
  if (!pidfd.valid()) {
    return CannotPin(errno == ESRCH ? "it has exited" : "this kernel has no pidfd_open");
  }
  struct stat process = {};
  const std::string directory = absl::StrCat("/proc/", credentials.pid);
  if (stat(directory.c_str(), &process) != 0 || process.st_uid != credentials.uid) {
    return CannotPin(absl::StrCat(directory, " is not of uid ", credentials.uid));
  }
  if (Polls(socket, POLLRDHUP)) return CannotPin("it has closed the connection");
  return pidfd;
}

absl::StatusOr<OwnedFd> OpenPidfd(int socket, const ucred& credentials) {
  int fd = -1;
  socklen_t length = sizeof(fd);
  if (getsockopt(socket, SOL_SOCKET, kSoPeerPidfd, &fd, &length) == 0) {
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return OwnedFd(fd);
  }
  if (errno == ENOPROTOOPT) return OpenByNumber(socket, credentials);
  return CannotPin("it has exited");
}

// The process chose this text: nothing of it but plain letters may reach a terminal or a log.
std::string NameOf(pid_t pid) {
  const OwnedFd fd(open(absl::StrCat("/proc/", pid, "/comm").c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 32> text;
  const ssize_t got = fd.valid() ? read(fd.get(), text.data(), text.size()) : -1;
  std::string name(text.data(), got > 0 ? static_cast<size_t>(got) : 0);
  if (!name.empty() && name.back() == '\n') name.pop_back();
  for (char& c : name) {
    if (c < ' ' || c > '~') c = '?';
  }
  return name;
}

}  // namespace

absl::StatusOr<PeerProcess> PinPeer(int connected_socket) {
  const absl::StatusOr<ucred> credentials = CredentialsOf(connected_socket);
  if (!credentials.ok()) return credentials.status();
  if (credentials->pid <= 0) {
    return CannotPin(
        "it has no number here; it runs in another pid namespace: share the host's (for "
        "containers: --pid=host)");
  }
  absl::StatusOr<OwnedFd> pidfd = OpenPidfd(connected_socket, *credentials);
  if (!pidfd.ok()) return pidfd.status();
  if (HasExited(pidfd->get())) return CannotPin("it has exited");
  PeerProcess peer;
  peer.uid = credentials->uid;
  peer.pid = credentials->pid;
  peer.name = NameOf(peer.pid);
  peer.pidfd = *std::move(pidfd);
  return peer;
}

bool HasExited(int pidfd) { return Polls(pidfd, POLLIN); }

}  // namespace residency
