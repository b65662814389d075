#include "client/side_channel.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/wire.h"

namespace residency::inline client::internal {
namespace {

absl::Status SocketError(const std::string& path, const char* what) {
  return absl::UnavailableError(
      absl::StrCat("side socket ", path, ": ", what, ": ", std::strerror(errno)));
}

// Waits for `events`; DeadlineExceeded at the deadline.
absl::Status Await(int fd, short events, absl::Time deadline, const std::string& path) {
  while (true) {
    int64_t ms = absl::ToInt64Milliseconds(std::max(absl::ZeroDuration(), deadline - absl::Now()) +
                                           absl::Microseconds(999));
    pollfd waited{fd, events, 0};
    int ready = ::poll(&waited, 1, static_cast<int>(std::min<int64_t>(ms, 1 << 30)));
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return SocketError(path, "poll");
    if (absl::Now() >= deadline) {
      return absl::DeadlineExceededError(absl::StrCat("side socket ", path, ": no answer in time"));
    }
  }
}

UniqueFd TakeDescriptor(msghdr& message) {
  UniqueFd taken;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {  // keeps the first, closes what nobody asked for
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
      UniqueFd owned(fd);
      if (!taken.valid()) taken = std::move(owned);
    }
  }
  return taken;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SideChannel>> SideChannel::Connect(const std::string& path,
                                                                  absl::Time deadline) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("side socket ", path, ": a path of ",
                                                   path.size(), " bytes; at most ",
                                                   sizeof(address.sun_path) - 1, " fit"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return SocketError(path, "socket");
  // The send timeout also bounds connect() while the daemon's backlog is full.
  timeval timeout = absl::ToTimeval(
      std::max(absl::Milliseconds(1), std::min(deadline - absl::Now(), absl::Hours(1))));
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    return SocketError(path, "connect");
  }
  return std::unique_ptr<SideChannel>(new SideChannel(std::move(socket), path));
}

absl::StatusOr<Welcome> SideChannel::Hello(const std::string& resume_token, absl::Time deadline) {
  v1::SideRequest request;
  request.mutable_hello()->set_protocol_version(kProtocolVersion);
  request.mutable_hello()->set_resume_token(resume_token);
  absl::StatusOr<Answer> answer = Ask("hello", request, -1, deadline);
  if (!answer.ok()) return answer.status();
  const v1::SideWelcome& welcome = answer->response.welcome();
  if (welcome.session_token().empty() || welcome.daemon_instance().empty()) {
    return absl::InternalError(absl::StrCat("side socket ", path_, ": a welcome without a token"));
  }
  return Welcome{welcome.session_token(), welcome.session_id(), welcome.daemon_instance()};
}

absl::StatusOr<uint32_t> SideChannel::OfferFile(int fd, const std::string& path,
                                                absl::Time deadline) {
  v1::SideRequest request;
  request.mutable_offer_file()->set_path(path);
  absl::StatusOr<Answer> answer = Ask("offering a file", request, fd, deadline);
  if (!answer.ok()) return answer.status();
  return answer->response.file_accepted().file_handle();
}

absl::StatusOr<Region> SideChannel::GetRegion(uint64_t region, absl::Time deadline) {
  v1::SideRequest request;
  request.mutable_get_region()->set_region(region);
  absl::StatusOr<Answer> answer = Ask("getting a region", request, -1, deadline);
  if (!answer.ok()) return answer.status();
  if (!answer->file.valid()) {
    return absl::InternalError(
        absl::StrCat("side socket ", path_, ": region ", region, " came without a descriptor"));
  }
  const v1::RegionGranted& granted = answer->response.region();
  return Region{std::move(answer->file), granted.region(), granted.pool_id(),
                granted.segment_index(), granted.length()};
}

absl::Status SideChannel::Goodbye(absl::Time deadline) {
  v1::SideRequest request;
  request.mutable_goodbye();
  return Ask("goodbye", request, -1, deadline).status();
}

void SideChannel::Close() {
  broken_.store(true, std::memory_order_release);
  ::shutdown(socket_.get(), SHUT_RDWR);
}

absl::StatusOr<SideChannel::Answer> SideChannel::Ask(const char* what,
                                                     const v1::SideRequest& request, int fd,
                                                     absl::Time deadline) {
  std::string packet = request.SerializeAsString();
  if (packet.size() > kPacketBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(what, ": a packet of ", packet.size(),
                                                   " bytes; at most ", kPacketBytesMax, " fit"));
  }
  absl::MutexLock lock(&mu_);
  if (broken()) {
    return absl::UnavailableError(absl::StrCat(what, ": side socket ", path_, " was lost"));
  }
  absl::Status sent = Send(packet, fd, deadline);
  absl::StatusOr<Answer> answer = sent.ok() ? Receive(deadline) : absl::StatusOr<Answer>(sent);
  if (!answer.ok()) {
    Close();  // a late answer would be taken for that of the next request
    return absl::Status(answer.status().code(),
                        absl::StrCat(what, ": ", answer.status().message()));
  }
  const v1::SideResponse& response = answer->response;
  if (absl::Status refused = StatusFromCode(response.code(), what, response.message());
      !refused.ok()) {
    return refused;
  }
  // The answers' numbers follow the requests' by two.
  if (static_cast<int>(response.response_case()) != static_cast<int>(request.request_case()) + 2) {
    return absl::InternalError(absl::StrCat(what, ": side socket ", path_,
                                            " gave another answer than was asked for (",
                                            static_cast<int>(response.response_case()), ")"));
  }
  return answer;
}

absl::Status SideChannel::Send(const std::string& packet, int fd, absl::Time deadline) {
  iovec part{const_cast<char*>(packet.data()), packet.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof(int));
  }
  while (true) {
    if (::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) {
      return absl::OkStatus();
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return SocketError(path_, "send");
    if (absl::Status ready = Await(socket_.get(), POLLOUT, deadline, path_); !ready.ok()) {
      return ready;
    }
  }
}

absl::StatusOr<SideChannel::Answer> SideChannel::Receive(absl::Time deadline) {
  std::array<char, kPacketBytesMax> packet;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(8 * sizeof(int))> control;
  while (true) {
    if (absl::Status ready = Await(socket_.get(), POLLIN, deadline, path_); !ready.ok()) {
      return ready;
    }
    iovec part{packet.data(), packet.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ssize_t got = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) return SocketError(path_, "receive");
    Answer answer;
    answer.file = TakeDescriptor(message);
    if (got == 0) {
      return absl::UnavailableError(absl::StrCat("side socket ", path_, ": closed by the daemon"));
    }
    if ((message.msg_flags & MSG_TRUNC) != 0 ||
        !answer.response.ParseFromArray(packet.data(), static_cast<int>(got))) {
      return absl::InternalError(
          absl::StrCat("side socket ", path_, ": a packet of ", got, " bytes that is no answer"));
    }
    return answer;
  }
}

}  // namespace residency::inline client::internal
