#include "daemon/side_socket.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <optional>
#include <random>

#include "absl/strings/str_cat.h"
#include "daemon/peer_process.h"
#include "residency/v1/side.pb.h"
#include "tests/daemon/temp_dir.h"

namespace residency {
namespace {

using ::testing::HasSubstr;

constexpr int kPatienceMs = 20'000;

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  return address;
}

std::string HelloBytes(const std::string& resume = "") {
  v1::SideRequest request;
  request.mutable_hello()->set_protocol_version(kSideProtocolVersion);
  request.mutable_hello()->set_resume_token(resume);
  return request.SerializeAsString();
}

std::string OfferBytes() {
  v1::SideRequest request;
  request.mutable_offer_file()->set_path("/w/model.safetensors");
  return request.SerializeAsString();
}

std::string RegionBytes(uint64_t region) {
  v1::SideRequest request;
  request.mutable_get_region()->set_region(region);
  return request.SerializeAsString();
}

std::string GoodbyeBytes() {
  v1::SideRequest request;
  request.mutable_goodbye();
  return request.SerializeAsString();
}

size_t OpenDescriptors() {
  const auto entries = std::filesystem::directory_iterator("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(entries), end(entries)));
}

// One engine's end of the socket.
class Engine {
 public:
  explicit Engine(const std::string& path)
      : fd_(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    const sockaddr_un address = AddressOf(path);
    EXPECT_EQ(connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  }

  // False if the connection is gone.
  bool Send(const std::string& bytes, const std::vector<int>& fds = {}) {
    std::vector<char> control(CMSG_SPACE(sizeof(int) * fds.size()), '\0');
    iovec part = {const_cast<char*>(bytes.data()), bytes.size()};
    msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!fds.empty()) {
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      cmsghdr* const header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
      memcpy(CMSG_DATA(header), fds.data(), sizeof(int) * fds.size());
    }
    return sendmsg(fd_.get(), &message, MSG_NOSIGNAL) >= 0;
  }

  // None if the daemon hangs up; fails the test if neither comes in time.
  std::optional<v1::SideResponse> Receive() {
    pollfd entry = {fd_.get(), POLLIN, 0};
    if (poll(&entry, 1, kPatienceMs) != 1) {
      ADD_FAILURE() << "no answer in time";
      return std::nullopt;
    }
    auto packet = ReceiveSidePacket(fd_.get());
    if (!packet.ok()) return std::nullopt;
    received_fds = std::move(packet->fds);
    v1::SideResponse response;
    EXPECT_TRUE(response.ParseFromString(packet->bytes));
    return response;
  }

  v1::SideResponse Ask(const std::string& bytes, const std::vector<int>& fds = {}) {
    EXPECT_TRUE(Send(bytes, fds));
    const auto response = Receive();
    EXPECT_TRUE(response.has_value()) << "the daemon hung up";
    return response.value_or(v1::SideResponse());
  }

  bool HungUp() { return !Receive().has_value(); }
  void Close() { fd_.Reset(); }

  std::vector<OwnedFd> received_fds;  // of the last answer

 private:
  OwnedFd fd_;
};

// A process of its own that says hello and then lives until it is killed. Must be made before any
// thread is started: it makes nothing but system calls.
class EngineProcess {
 public:
  explicit EngineProcess(const std::string& path) {
    const sockaddr_un address = AddressOf(path);
    const std::string hello = HelloBytes();
    int go[2];
    EXPECT_EQ(pipe2(go, O_CLOEXEC), 0);
    pid_ = fork();
    if (pid_ == 0) {
      char byte = 0;
      if (read(go[0], &byte, 1) != 1) _exit(1);
      const int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
      if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) _exit(2);
      if (send(fd, hello.data(), hello.size(), 0) < 0) _exit(3);
      for (;;) pause();
    }
    close(go[0]);
    go_ = OwnedFd(go[1]);
  }
  ~EngineProcess() { Kill(); }

  void SayHello() { EXPECT_EQ(write(go_.get(), "x", 1), 1); }
  // Dead but not reaped: a zombie must count as exited.
  void KillWithoutReaping() { kill(pid_, SIGKILL); }
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  OwnedFd go_;
};

class SideSocketTest : public testing::Test {
 protected:
  void Start() {
    options_.path = path_;
    options_.daemon_instance = std::string(16, 'i');
    registry_.emplace(limits_);
    auto socket = SideSocket::Start(options_, *registry_, Callbacks());
    ASSERT_TRUE(socket.ok()) << socket.status();
    socket_ = *std::move(socket);
  }

  SideCallbacks Callbacks() {
    SideCallbacks callbacks;
    callbacks.session_opened = [this](SessionId, DomainId domain, pid_t pid) {
      const std::lock_guard lock(mutex_);
      EXPECT_EQ(domain, DomainId(getuid()));
      opened_pids_.push_back(pid);
      changed_.notify_all();
      return opening_;
    };
    callbacks.session_ended = [this](SessionId session, SessionEnd reason) {
      const std::lock_guard lock(mutex_);
      ended_.push_back({session, reason});
      changed_.notify_all();
    };
    callbacks.register_file = [this](DomainId, OwnedFd fd, const std::string& path) {
      EXPECT_TRUE(fd.valid());
      EXPECT_EQ(path, "/w/model.safetensors");
      const std::lock_guard lock(mutex_);
      return absl::StatusOr<FileId>(FileId(next_file_++));
    };
    callbacks.export_region = [](DomainId, RegionNumber region) -> absl::StatusOr<RegionExport> {
      if (region != RegionNumber(7)) return absl::NotFoundError("no such region of yours");
      return RegionExport{OwnedFd(open("/dev/zero", O_RDONLY | O_CLOEXEC)), PoolId(1), 3, 4096};
    };
    return callbacks;
  }

  // The first end that has not been waited for.
  std::optional<std::pair<SessionId, SessionEnd>> AwaitEnd() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::milliseconds(kPatienceMs),
                           [this] { return !ended_.empty(); })) {
      return std::nullopt;
    }
    const auto first = ended_.front();
    ended_.pop_front();
    return first;
  }
  pid_t AwaitOpened() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::milliseconds(kPatienceMs),
                      [this] { return !opened_pids_.empty(); });
    return opened_pids_.empty() ? -1 : opened_pids_.back();
  }

  TempDir dir_;
  const std::string path_ = dir_.File("side.sock");
  SideSocketOptions options_;
  SessionLimits limits_;
  std::optional<SessionRegistry> registry_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<pid_t> opened_pids_;
  std::deque<std::pair<SessionId, SessionEnd>> ended_;
  absl::Status opening_;
  uint32_t next_file_ = 40;

  std::unique_ptr<SideSocket> socket_;  // last: its thread uses all of the above
};

TEST_F(SideSocketTest, HelloOpensASession) {
  Start();
  Engine engine(path_);
  const auto response = engine.Ask(HelloBytes());
  ASSERT_EQ(response.code(), 0) << response.message();
  EXPECT_EQ(response.welcome().session_token().size(), 16u);
  EXPECT_EQ(response.welcome().daemon_instance(), std::string(16, 'i'));
  EXPECT_EQ(AwaitOpened(), getpid());
  const auto identity = registry_->Authenticate(response.welcome().session_token());
  ASSERT_TRUE(identity.ok());
  EXPECT_EQ(identity->id.value(), response.welcome().session_id());
  EXPECT_EQ(registry_->List()[0].pid, getpid());
}

TEST_F(SideSocketTest, GoodbyeEndsTheSession) {
  Start();
  Engine engine(path_);
  const auto welcome = engine.Ask(HelloBytes()).welcome();
  const auto farewell = engine.Ask(GoodbyeBytes());
  EXPECT_EQ(farewell.code(), 0);
  EXPECT_TRUE(farewell.has_farewell());
  EXPECT_EQ(AwaitEnd(), std::pair(SessionId(welcome.session_id()), SessionEnd::kGoodbye));
  EXPECT_FALSE(registry_->Authenticate(welcome.session_token()).ok());
  EXPECT_TRUE(engine.HungUp());
}

TEST_F(SideSocketTest, KilledProcessEndsItsSessionAtOnce) {
  EngineProcess process(path_);
  Start();
  process.SayHello();
  ASSERT_EQ(AwaitOpened(), process.pid());
  process.KillWithoutReaping();
  const auto end = AwaitEnd();
  ASSERT_TRUE(end.has_value()) << "the exit was not noticed";
  EXPECT_EQ(end->second, SessionEnd::kExited);
  EXPECT_EQ(registry_->size(), 0u);
}

TEST_F(SideSocketTest, StoppedProcessKeepsItsSession) {
  EngineProcess process(path_);
  Start();
  process.SayHello();
  ASSERT_EQ(AwaitOpened(), process.pid());
  kill(process.pid(), SIGSTOP);
  // Another session comes and goes meanwhile: the thread has looked at everything.
  Engine engine(path_);
  engine.Ask(HelloBytes());
  engine.Ask(GoodbyeBytes());
  EXPECT_EQ(AwaitEnd()->second, SessionEnd::kGoodbye);
  EXPECT_EQ(registry_->size(), 1u);
}

TEST_F(SideSocketTest, SessionOutlivesItsConnectionAndIsResumed) {
  Start();
  std::optional<Engine> first(path_);
  const auto welcome = first->Ask(HelloBytes()).welcome();
  first.reset();
  Engine second(path_);
  const auto again = second.Ask(HelloBytes(welcome.session_token()));
  ASSERT_EQ(again.code(), 0) << again.message();
  EXPECT_EQ(again.welcome().session_id(), welcome.session_id());
  EXPECT_EQ(again.welcome().session_token(), welcome.session_token());
  EXPECT_EQ(registry_->size(), 1u);
  second.Ask(GoodbyeBytes());
  EXPECT_EQ(AwaitEnd()->first, SessionId(welcome.session_id()));
}

TEST_F(SideSocketTest, ResumingTakesTheSessionFromTheOlderConnection) {
  Start();
  Engine first(path_);
  const auto welcome = first.Ask(HelloBytes()).welcome();
  Engine second(path_);
  EXPECT_EQ(second.Ask(HelloBytes(welcome.session_token())).code(), 0);
  EXPECT_TRUE(first.HungUp());
  EXPECT_EQ(second.Ask(RegionBytes(7)).code(), 0);
}

TEST_F(SideSocketTest, WrongResumeTokensAreRefused) {
  Start();
  Engine engine(path_);
  EXPECT_EQ(engine.Ask(HelloBytes(std::string(16, 'x'))).code(),
            static_cast<int>(absl::StatusCode::kNotFound));
  EXPECT_EQ(engine.Ask(HelloBytes("short")).code(),
            static_cast<int>(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(engine.Ask(HelloBytes()).code(), 0);  // and a new session is still to be had
}

TEST_F(SideSocketTest, OfferedFilesGetHandles) {
  Start();
  Engine engine(path_);
  const auto welcome = engine.Ask(HelloBytes()).welcome();
  const OwnedFd file(memfd_create("file", MFD_CLOEXEC));
  const auto response = engine.Ask(OfferBytes(), {file.get()});
  ASSERT_EQ(response.code(), 0) << response.message();
  const auto found =
      registry_->FindFile(SessionId(welcome.session_id()), response.file_accepted().file_handle());
  EXPECT_EQ(*found, FileId(40));
}

TEST_F(SideSocketTest, WhatIsNoReadableFileIsRefused) {
  Start();
  Engine engine(path_);
  engine.Ask(HelloBytes());
  const OwnedFd directory(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const OwnedFd device(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const std::string path = dir_.File("f");
  const OwnedFd writable(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  const OwnedFd path_only(open(path.c_str(), O_PATH | O_CLOEXEC));
  for (const OwnedFd* fd : {&directory, &device, &writable, &path_only}) {
    EXPECT_EQ(engine.Ask(OfferBytes(), {fd->get()}).code(),
              static_cast<int>(absl::StatusCode::kInvalidArgument));
  }
}

TEST_F(SideSocketTest, RegionsAreHandedOut) {
  Start();
  Engine engine(path_);
  engine.Ask(HelloBytes());
  const auto response = engine.Ask(RegionBytes(7));
  ASSERT_EQ(response.code(), 0) << response.message();
  EXPECT_EQ(response.region().segment_index(), 3u);
  EXPECT_EQ(response.region().length(), 4096u);
  ASSERT_EQ(engine.received_fds.size(), 1u);
  EXPECT_EQ(fcntl(engine.received_fds[0].get(), F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_EQ(engine.Ask(RegionBytes(8)).code(), static_cast<int>(absl::StatusCode::kNotFound));
  EXPECT_TRUE(engine.received_fds.empty());
}

TEST_F(SideSocketTest, NothingBeforeHello) {
  Start();
  Engine engine(path_);
  for (const std::string& bytes : {RegionBytes(7), GoodbyeBytes()}) {
    const auto response = engine.Ask(bytes);
    EXPECT_EQ(response.code(), static_cast<int>(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(response.message(), HasSubstr("SideHello"));
  }
  EXPECT_TRUE(engine.received_fds.empty());
}

TEST_F(SideSocketTest, BadPacketsAreAnsweredThenTheConnectionIsClosed) {
  Start();
  Engine engine(path_);
  engine.Ask(HelloBytes());
  const std::string large(kSidePacketBytesMax + 1, '\0');
  EXPECT_THAT(engine.Ask(large).message(), HasSubstr("larger than 4096 bytes"));
  EXPECT_THAT(engine.Ask("\xff\xff\xff").message(), HasSubstr("no SideRequest"));
  EXPECT_THAT(engine.Ask(HelloBytes()).message(), HasSubstr("hello already"));
  EXPECT_THAT(engine.Ask(OfferBytes()).message(), HasSubstr("found 0 descriptors"));
  for (int i = 0; i < 4; ++i) engine.Ask(RegionBytes(1));
  EXPECT_TRUE(engine.HungUp());
  EXPECT_EQ(registry_->size(), 1u);  // the session is the process's, not the connection's
}

TEST_F(SideSocketTest, OtherVersionsAreRefused) {
  Start();
  Engine engine(path_);
  v1::SideRequest request;
  request.mutable_hello()->set_protocol_version(9);
  EXPECT_THAT(engine.Ask(request.SerializeAsString()).message(),
              HasSubstr("found protocol version 9, this daemon speaks 1"));
}

TEST_F(SideSocketTest, DescriptorsNeverLeak) {
  Start();
  const OwnedFd file(memfd_create("file", MFD_CLOEXEC));
  size_t before = 0;
  for (int round = 0; round < 10; ++round) {
    {
      Engine engine(path_);
      const auto welcome = engine.Ask(HelloBytes());
      const std::vector<int> many(20, file.get());
      EXPECT_NE(engine.Ask(RegionBytes(7), {file.get()}).code(), 0);
      EXPECT_NE(engine.Ask(OfferBytes(), {file.get(), file.get()}).code(), 0);
      EXPECT_NE(engine.Ask(OfferBytes(), many).code(), 0);
      EXPECT_NE(engine.Ask("junk", {file.get()}).code(), 0);
      EXPECT_EQ(engine.Ask(OfferBytes(), {file.get()}).code(), 0);
      engine.Ask(GoodbyeBytes());
      EXPECT_TRUE(engine.HungUp());
      EXPECT_TRUE(AwaitEnd().has_value());
    }
    if (round == 0) before = OpenDescriptors();
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST_F(SideSocketTest, GarbageNeverEndsIt) {
  options_.mistakes_max = 1'000'000;
  Start();
  std::mt19937_64 random(20260101);
  Engine engine(path_);
  engine.Ask(HelloBytes());
  for (int i = 0; i < 3000; ++i) {
    std::string bytes = i % 2 == 0 ? OfferBytes() : std::string(1 + random() % 300, '\0');
    for (int flips = 0; flips < 4; ++flips) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    ASSERT_TRUE(engine.Send(bytes));
    if (!engine.Receive().has_value()) {  // a goodbye by chance
      engine = Engine(path_);
      engine.Ask(HelloBytes());
    }
  }
  Engine other(path_);
  EXPECT_EQ(other.Ask(HelloBytes()).code(), 0);
}

TEST_F(SideSocketTest, PeerThatNeverReadsIsCutOff) {
  Start();
  Engine slow(path_);
  slow.Ask(HelloBytes());
  Engine other(path_);
  EXPECT_EQ(other.Ask(HelloBytes()).code(), 0);
  bool cut_off = false;
  for (int i = 0; i < 100'000 && !cut_off; ++i) cut_off = !slow.Send(RegionBytes(7));
  EXPECT_TRUE(cut_off);
  EXPECT_EQ(other.Ask(RegionBytes(7)).code(), 0);
}

TEST_F(SideSocketTest, SilentPeerIsClosedAtItsDeadline) {
  options_.hello_deadline = Micros(20'000);
  Start();
  Engine silent(path_);
  EXPECT_TRUE(silent.HungUp());
}

TEST_F(SideSocketTest, ConnectionsAreBounded) {
  options_.connections_max = 2;
  Start();
  Engine first(path_);
  Engine second(path_);
  first.Ask(HelloBytes());
  second.Ask(HelloBytes());
  Engine third(path_);
  const auto refused = third.Receive();
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->code(), static_cast<int>(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(refused->message(), HasSubstr("limits.side_connections = 2"));
  EXPECT_TRUE(third.HungUp());
}

TEST_F(SideSocketTest, ConnectionsOfOneUidAreBounded) {
  options_.connections_per_uid_max = 1;
  Start();
  Engine first(path_);
  first.Ask(HelloBytes());
  Engine second(path_);
  EXPECT_THAT(second.Receive()->message(), HasSubstr("has 1 connections"));
}

TEST_F(SideSocketTest, SessionsAreBounded) {
  limits_.sessions_max = 1;
  Start();
  Engine first(path_);
  EXPECT_EQ(first.Ask(HelloBytes()).code(), 0);
  Engine second(path_);
  EXPECT_EQ(second.Ask(HelloBytes()).code(),
            static_cast<int>(absl::StatusCode::kResourceExhausted));
  EXPECT_NE(second.Ask(HelloBytes()).code(), 0);
}

TEST_F(SideSocketTest, RefusedSessionLeavesNothing) {
  opening_ = absl::UnavailableError("draining");
  Start();
  Engine engine(path_);
  const auto response = engine.Ask(HelloBytes());
  EXPECT_EQ(response.code(), static_cast<int>(absl::StatusCode::kUnavailable));
  EXPECT_EQ(response.message(), "draining");
  EXPECT_EQ(registry_->size(), 0u);
}

TEST_F(SideSocketTest, OperatorEndsASession) {
  Start();
  Engine engine(path_);
  const SessionId session(engine.Ask(HelloBytes()).welcome().session_id());
  socket_->EndSession(SessionId(999));
  socket_->EndSession(session);
  EXPECT_EQ(AwaitEnd(), std::pair(session, SessionEnd::kOperator));
  EXPECT_TRUE(engine.HungUp());
}

TEST_F(SideSocketTest, SecondDaemonIsRefusedAndTheFirstGoesOn) {
  Start();
  Engine engine(path_);
  engine.Ask(HelloBytes());
  SessionRegistry other({});
  EXPECT_EQ(SideSocket::Start(options_, other, Callbacks()).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(engine.Ask(RegionBytes(7)).code(), 0);
  Engine late(path_);
  EXPECT_EQ(late.Ask(HelloBytes()).code(), 0);
}

TEST_F(SideSocketTest, StopRemovesTheSocketAndHangsUp) {
  Start();
  Engine engine(path_);
  engine.Ask(HelloBytes());
  socket_.reset();
  EXPECT_TRUE(engine.HungUp());
  EXPECT_NE(access(path_.c_str(), F_OK), 0);
}

TEST(PeerProcessTest, PinsThePeerOfASocketPair) {
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
  const OwnedFd ours(fds[0]);
  const OwnedFd theirs(fds[1]);
  const auto peer = PinPeer(ours.get());
  ASSERT_TRUE(peer.ok()) << peer.status();
  EXPECT_EQ(peer->pid, getpid());
  EXPECT_EQ(peer->uid, getuid());
  EXPECT_FALSE(peer->name.empty());
  EXPECT_FALSE(HasExited(peer->pidfd.get()));
}

TEST(PeerProcessTest, PeerThatHasExitedIsRefused) {
  const TempDir dir;
  const auto listener = ListenUnix({dir.File("s"), SOCK_SEQPACKET, 0600, ""});
  ASSERT_TRUE(listener.ok()) << listener.status();
  const sockaddr_un address = AddressOf(dir.File("s"));
  const pid_t child = fork();
  if (child == 0) {
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    _exit(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  ASSERT_EQ(status, 0);
  const OwnedFd accepted(accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(accepted.valid());
  const auto peer = PinPeer(accepted.get());
  EXPECT_EQ(peer.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(peer.status().message()), HasSubstr("it has exited"));
}

}  // namespace
}  // namespace residency
