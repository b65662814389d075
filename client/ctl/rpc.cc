#include "client/ctl/rpc.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace residency::ctl {
namespace {

// After a restart of the daemon a watching client is to be back within a redraw or two.
constexpr int kReconnectBackoffMsMin = 100;
constexpr int kReconnectBackoffMsMax = 1000;
// Above what a page of 1,000 blocks or a full explanation takes.
constexpr int kMaxMessageBytes = 64 << 20;
// gRPC's clock is another one and rounds: its deadline may pass a little before ours.
constexpr absl::Duration kDeadlineSlack = absl::Milliseconds(20);

// Who may open it besides root, as far as that can be seen from outside.
std::string Allowed(const std::string& path) {
  struct stat info = {};
  if (stat(path.c_str(), &info) != 0) return "a member of its group";
  std::array<char, 4096> buffer;
  if ((info.st_mode & S_IWGRP) != 0) {
    group entry = {};
    group* found = nullptr;
    const int rc = getgrgid_r(info.st_gid, &entry, buffer.data(), buffer.size(), &found);
    return rc == 0 && found != nullptr ? absl::StrCat("a member of group ", found->gr_name)
                                       : absl::StrCat("a member of group ", info.st_gid);
  }
  passwd entry = {};
  passwd* found = nullptr;
  const int rc = getpwuid_r(info.st_uid, &entry, buffer.data(), buffer.size(), &found);
  return rc == 0 && found != nullptr ? absl::StrCat("user ", found->pw_name)
                                     : absl::StrCat("user ", info.st_uid);
}

absl::Status Unreachable(const std::string& path, int error) {
  std::string message =
      absl::StrCat("cannot reach residencyd: tried unix:", path, ": ", std::strerror(error), "\n");
  switch (error) {
    case ENOENT:
      absl::StrAppend(&message,
                      "is residencyd running? try --socket PATH if its operator socket "
                      "is elsewhere");
      break;
    case ECONNREFUSED:
      absl::StrAppend(&message,
                      "nothing listens there any more: is residencyd running? try "
                      "starting it; it replaces a stale socket");
      break;
    case EACCES:
    case EPERM:
      absl::StrAppend(&message, "your user may not open this socket: try as ", Allowed(path),
                      ", or as root");
      break;
    case EAGAIN:
      absl::StrAppend(&message, "residencyd accepts no connections: look at its log");
      break;
    default:
      absl::StrAppend(&message, "try --socket PATH");
  }
  return absl::UnavailableError(message);
}

// The daemon answered, but not for long, or not yet.
absl::Status SaidOfItself(absl::string_view said) {
  if (absl::StrContains(said, "draining")) {
    return absl::FailedPreconditionError(
        absl::StrCat(said,
                     ": it takes no new work and exits once its leases have ended\n"
                     "'residencyctl sessions' shows who holds leases; try again after the "
                     "restart"));
  }
  if (absl::StrContains(said, "ending")) {
    return absl::UnavailableError(absl::StrCat(said, "\ntry again after its restart"));
  }
  return absl::UnavailableError(absl::StrCat(said, "\ntry again in a moment"));
}

}  // namespace

// gRPC retries a missing socket until the deadline and then reports no errno: a plain connect
// says at once what is wrong.
absl::Status ProbeSocket(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return Unreachable(path, ENAMETOOLONG);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) {
    return absl::InternalError(absl::StrCat("cannot open a socket: ", std::strerror(errno)));
  }
  const int rc = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  const int error = errno;
  close(fd);
  return rc == 0 ? absl::OkStatus() : Unreachable(path, error);
}

OperatorClient::OperatorClient(std::string socket, absl::Duration timeout)
    : socket_(absl::StripPrefix(socket, "unix:")), timeout_(timeout) {}

absl::Status OperatorClient::EnsureReachable() {
  if (channel_ != nullptr && channel_->GetState(false) == GRPC_CHANNEL_READY) {
    return absl::OkStatus();
  }
  if (absl::Status probed = ProbeSocket(socket_); !probed.ok()) return probed;
  if (channel_ != nullptr) return absl::OkStatus();
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectBackoffMsMin);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectBackoffMsMax);
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  // A proxy named in the environment has no business with a local socket.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  channel_ = grpc::CreateCustomChannel(absl::StrCat("unix:", socket_),
                                       grpc::InsecureChannelCredentials(), arguments);
  stub_ = v1::OperatorService::NewStub(channel_);
  return absl::OkStatus();
}

absl::Status OperatorClient::Explain(const grpc::Status& status, absl::Time deadline) const {
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED &&
      absl::Now() + kDeadlineSlack >= deadline) {
    return absl::UnavailableError(absl::StrCat(
        "residencyd at unix:", socket_, " did not answer within ", absl::FormatDuration(timeout_),
        "\ntry a longer --timeout, or look at its log"));
  }
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
    return absl::UnimplementedError(absl::StrCat(
        "residencyd at unix:", socket_, " does not offer this call: ", status.error_message(),
        "\nis this its operator socket, and is it as new as this residencyctl? try "
        "'residencyctl version'"));
  }
  const std::string said = status.error_message();
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE &&
      absl::StartsWith(said, "the daemon ")) {
    return SaidOfItself(said);
  }
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    return absl::UnavailableError(
        absl::StrCat("residencyd at unix:", socket_, " went away: ", status.error_message(),
                     "\nis it restarting? look at its log, then try again"));
  }
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

}  // namespace residency::ctl
