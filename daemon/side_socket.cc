#include "daemon/side_socket.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/peer_process.h"

namespace residency {
namespace {

// What epoll's events are named by: these two, connections from kFirstConnection on, and the
// number of a session with the highest bit set.
constexpr uint64_t kListenerKey = 0;
constexpr uint64_t kWakeKey = 1;
constexpr uint64_t kFirstConnection = 2;
constexpr uint64_t kSessionBit = uint64_t{1} << 63;

constexpr int kEventsMax = 64;
// Without a deadline of its own the thread looks around this often; it is woken for everything.
constexpr int kIdleMilliseconds = 60'000;

uid_t UidOf(int socket) {
  ucred credentials = {};
  socklen_t length = sizeof(credentials);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
    return static_cast<uid_t>(-1);
  }
  return credentials.uid;
}

OwnedFd OpenSpare() { return OwnedFd(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

}  // namespace

absl::StatusOr<std::unique_ptr<SideSocket>> SideSocket::Start(SideSocketOptions options,
                                                              SessionRegistry& registry,
                                                              SideCallbacks callbacks) {
  OwnedFd epoll(epoll_create1(EPOLL_CLOEXEC));
  OwnedFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll.valid() || !wake.valid()) return absl::ErrnoToStatus(errno, "side socket");
  absl::StatusOr<OwnedFd> listener =
      ListenUnix({options.path, SOCK_SEQPACKET, options.mode, options.group});
  if (!listener.ok()) return listener.status();
  const std::string path = options.path;
  std::unique_ptr<SideSocket> socket(new SideSocket(std::move(options), registry,
                                                    std::move(callbacks), *std::move(listener),
                                                    std::move(epoll), std::move(wake)));
  if (!socket->Watch(socket->listener_.get(), kListenerKey) ||
      !socket->Watch(socket->wake_.get(), kWakeKey)) {
    return absl::ErrnoToStatus(errno, absl::StrCat("watching ", path));
  }
  socket->thread_ = std::thread([raw = socket.get()] { raw->Work(); });
  return socket;
}

SideSocket::SideSocket(SideSocketOptions options, SessionRegistry& registry,
                       SideCallbacks callbacks, OwnedFd listener, OwnedFd epoll, OwnedFd wake)
    : options_(std::move(options)),
      registry_(registry),
      protocol_(registry, std::move(callbacks), options_.daemon_instance),
      listener_(std::move(listener)),
      epoll_(std::move(epoll)),
      wake_(std::move(wake)),
      spare_(OpenSpare()),
      next_connection_(kFirstConnection) {}

SideSocket::~SideSocket() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  eventfd_write(wake_.get(), 1);
  if (thread_.joinable()) thread_.join();
  unlink(options_.path.c_str());
}

void SideSocket::EndSession(SessionId session) {
  const std::lock_guard lock(mutex_);
  to_end_.push_back(session);
  eventfd_write(wake_.get(), 1);
}

bool SideSocket::Watch(int fd, uint64_t key) {
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.u64 = key;
  return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

void SideSocket::Work() {
  std::array<epoll_event, kEventsMax> events;
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
    }
    const int count = epoll_wait(epoll_.get(), events.data(), kEventsMax, WaitMilliseconds());
    for (int i = 0; i < count; ++i) HandleEvent(events[i].data.u64);
    EndThoseAsked();
    CloseLateHellos(std::chrono::steady_clock::now());
  }
}

// Keys are never reused, so an event of something that ended a moment ago finds nothing.
void SideSocket::HandleEvent(uint64_t key) {
  if (key == kListenerKey) return Accept();
  if (key == kWakeKey) {
    eventfd_t unused = 0;
    eventfd_read(wake_.get(), &unused);
    return;
  }
  if ((key & kSessionBit) != 0) return End(SessionId(key & ~kSessionBit), SessionEnd::kExited);
  Receive(key);
}

void SideSocket::Accept() {
  OwnedFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd.valid()) {
    if (errno == EMFILE || errno == ENFILE) RefuseForWantOfDescriptors();
    return;
  }
  const uid_t uid = UidOf(fd.get());
  if (const absl::Status room = CheckRoom(uid); !room.ok()) {
    SendSidePacket(fd.get(), SideProtocol::Refuse(room).bytes).IgnoreError();
    return;
  }
  const uint64_t key = next_connection_++;
  auto connection = std::make_unique<Connection>(
      Connection{std::move(fd), uid, {absl::UnknownError(""), {}}, {}, 0});
  connection->peer.process = PinPeer(connection->fd.get());
  connection->hello_by = std::chrono::steady_clock::now() + options_.hello_deadline;
  if (Watch(connection->fd.get(), key)) connections_.emplace(key, std::move(connection));
}

void SideSocket::RefuseForWantOfDescriptors() {
  spdlog::error("side socket: out of file descriptors; a connection is refused: raise LimitNOFILE");
  spare_.Reset();
  const OwnedFd refused(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (refused.valid()) {
    const auto why = absl::ResourceExhaustedError("the daemon is out of file descriptors");
    SendSidePacket(refused.get(), SideProtocol::Refuse(why).bytes).IgnoreError();
  }
  spare_ = OpenSpare();
}

absl::Status SideSocket::CheckRoom(uid_t uid) const {
  if (connections_.size() >= options_.connections_max) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the side socket has ", connections_.size(),
        " connections, the limit is limits.side_connections = ", options_.connections_max));
  }
  const auto same_uid = static_cast<size_t>(std::ranges::count_if(
      connections_, [&](const auto& entry) { return entry.second->uid == uid; }));
  if (same_uid < options_.connections_per_uid_max) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("uid ", uid, " has ", same_uid,
                                                   " connections, the limit is ",
                                                   options_.connections_per_uid_max));
}

void SideSocket::Receive(uint64_t key) {
  const auto it = connections_.find(key);
  if (it == connections_.end()) return;
  // Stays put while others come and go.
  Connection& connection = *it->second;
  absl::StatusOr<SidePacket> packet = ReceiveSidePacket(connection.fd.get());
  if (!packet.ok()) {
    if (!absl::IsUnavailable(packet.status())) CloseConnection(key);
    return;
  }
  SideAnswer answer = protocol_.Handle(*std::move(packet), connection.peer);
  if (!Answer(connection, key, std::move(answer))) CloseConnection(key);
}

bool SideSocket::Answer(Connection& connection, uint64_t key, SideAnswer answer) {
  if (answer.entered.has_value() && !Enter(*answer.entered, key)) return false;
  if (answer.goodbye) EndBut(key, connection.peer.session.id, SessionEnd::kGoodbye);
  if (!answer.ok && ++connection.mistakes >= options_.mistakes_max) answer.hang_up = true;
  const absl::Status sent = SendSidePacket(connection.fd.get(), answer.bytes, answer.fd.get());
  return sent.ok() && !answer.hang_up;
}

bool SideSocket::Enter(const SessionRegistry::Opened& opened, uint64_t key) {
  const SessionId session = opened.identity.id;
  const auto [it, is_new] = sessions_.try_emplace(session, Attached{opened.pidfd, key});
  if (!is_new) {
    // A resumed session speaks through its new connection alone.
    CloseConnection(std::exchange(it->second.connection, key));
    return true;
  }
  if (Watch(opened.pidfd, session.value() | kSessionBit)) return true;
  spdlog::error("side socket: session {} can't be watched; it is ended", session.value());
  EndBut(key, session, SessionEnd::kOperator);
  return false;
}

void SideSocket::CloseConnection(uint64_t key) {
  // Closing takes it out of the epoll set: nobody else has a copy of the descriptor.
  connections_.erase(key);
}

void SideSocket::End(SessionId session, SessionEnd reason) {
  EndBut(kListenerKey, session, reason);
}

void SideSocket::EndBut(uint64_t spared, SessionId session, SessionEnd reason) {
  const auto it = sessions_.find(session);
  if (it == sessions_.end()) return;
  const Attached attached = it->second;
  sessions_.erase(it);
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, attached.pidfd, nullptr);
  if (attached.connection != spared) CloseConnection(attached.connection);
  registry_.Close(session);
  protocol_.callbacks().session_ended(session, reason);
}

void SideSocket::EndThoseAsked() {
  std::vector<SessionId> sessions;
  {
    const std::lock_guard lock(mutex_);
    sessions.swap(to_end_);
  }
  for (const SessionId session : sessions) End(session, SessionEnd::kOperator);
}

void SideSocket::CloseLateHellos(Deadline now) {
  absl::erase_if(connections_, [now](const auto& entry) {
    return !entry.second->peer.session.id.valid() && entry.second->hello_by <= now;
  });
}

int SideSocket::WaitMilliseconds() const {
  int64_t wait = kIdleMilliseconds;
  const Deadline now = std::chrono::steady_clock::now();
  for (const auto& [key, connection] : connections_) {
    if (connection->peer.session.id.valid()) continue;
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(connection->hello_by - now).count();
    wait = std::clamp<int64_t>(left, 0, wait);
  }
  return static_cast<int>(wait);
}

}  // namespace residency
