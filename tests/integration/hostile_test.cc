// Bytes that mean harm or are merely broken: whatever comes in on the three sockets, the daemon
// lives, keeps nothing of it, and serves the next engine the right bytes.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <random>
#include <string>
#include <vector>

#include "tests/integration/hostile_fixture.h"
#include "tests/integration/hostile_peer.h"

namespace residency::testing {
namespace {

constexpr uint64_t kSeed = 20'260;
constexpr int kGarbageRounds = 150;

std::string RandomBytes(std::mt19937_64& random, size_t bytes_max) {
  std::string bytes(1 + random() % bytes_max, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

// What every packet of the protocol begins as, one byte or more of it changed.
std::string MangledRequest(std::mt19937_64& random) {
  v1::SideRequest request;
  switch (random() % 4) {
    case 0:
      request.mutable_hello()->set_protocol_version(static_cast<uint32_t>(random()));
      request.mutable_hello()->set_resume_token(RandomBytes(random, 64));
      break;
    case 1:
      request.mutable_offer_file()->set_path(std::string(random() % 3000, '/'));
      break;
    case 2:
      request.mutable_get_region()->set_region(random());
      break;
    default:
      request.mutable_goodbye();
  }
  std::string bytes = request.SerializeAsString();
  for (uint64_t i = random() % 4; i > 0; --i) bytes[random() % bytes.size()] ^= 1 << random() % 8;
  return bytes;
}

TEST_F(HostileTest, GarbageOnTheGrpcSocketsEndsNothing) {
  const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  std::mt19937_64 random(kSeed);
  for (const char* name : {"engine.sock", "operator.sock"}) {
    for (int round = 0; round < kGarbageRounds; ++round) {
      SCOPED_TRACE(::testing::Message() << name << " seed " << kSeed << " round " << round);
      const Fd fd = ConnectUnix(Socket(name), SOCK_STREAM);
      ASSERT_TRUE(fd.valid()) << std::strerror(errno);
      std::string bytes = RandomBytes(random, 32'768);
      if (random() % 2 == 0) bytes = preface + bytes;
      // The daemon may hang up at any byte.
      (void)!send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (random() % 4 == 0) shutdown(fd.get(), SHUT_WR);
    }
  }
}

TEST_F(HostileTest, GarbageOnTheSideSocketEndsNothing) {
  std::mt19937_64 random(kSeed);
  Fd fd;
  for (int round = 0; round < 10 * kGarbageRounds; ++round) {
    SCOPED_TRACE(::testing::Message() << "seed " << kSeed << " round " << round);
    if (!fd.valid()) fd = ConnectUnix(Socket("side.sock"), SOCK_SEQPACKET);
    ASSERT_TRUE(fd.valid()) << std::strerror(errno);
    const bool mangled = random() % 2 == 0;
    const std::string packet = mangled ? MangledRequest(random) : RandomBytes(random, 4096);
    if (!SendPacket(fd.get(), packet) || ReceiveAnswer(fd.get()).closed) fd.reset();
  }
}

TEST_F(HostileTest, MisshapenSidePacketsAreRefused) {
  const Fd memfd = MakeMemfd(4096, 'x');
  int pipe_fds[2];
  ASSERT_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
  const Fd reading(pipe_fds[0]);
  const Fd writing(pipe_fds[1]);
  const Fd directory(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const std::string path = node_.directory() + "/write-only";
  const Fd write_only(open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  const Fd path_only(open(path.c_str(), O_PATH | O_CLOEXEC));
  const Fd device(open("/dev/zero", O_RDONLY | O_CLOEXEC));
  v1::SideRequest offer;
  offer.mutable_offer_file();
  v1::SideRequest hello;
  hello.mutable_hello()->set_protocol_version(1);
  v1::SideRequest region;
  region.mutable_get_region()->set_region(1);
  const std::vector<std::pair<std::string, std::vector<int>>> packets = {
      {offer.SerializeAsString(), {}},
      {offer.SerializeAsString(), {memfd.get(), memfd.get()}},
      {offer.SerializeAsString(), std::vector<int>(5, memfd.get())},
      {offer.SerializeAsString(), std::vector<int>(253, memfd.get())},
      {offer.SerializeAsString(), {reading.get()}},
      {offer.SerializeAsString(), {writing.get()}},
      {offer.SerializeAsString(), {directory.get()}},
      {offer.SerializeAsString(), {write_only.get()}},
      {offer.SerializeAsString(), {path_only.get()}},
      {offer.SerializeAsString(), {device.get()}},
      {region.SerializeAsString(), {memfd.get()}},
      {hello.SerializeAsString(), {}},
      {hello.SerializeAsString(), {memfd.get()}},
      {std::string(4097, '\x0a'), {}},
      {std::string(65'536, '\x0a'), {}},
      {std::string(150'000, 'x'), std::vector<int>(8, memfd.get())},
  };
  for (size_t i = 0; i < packets.size(); ++i) {
    SCOPED_TRACE(::testing::Message() << "packet " << i);
    const Fd fd = ConnectUnix(Socket("side.sock"), SOCK_SEQPACKET);
    ASSERT_TRUE(fd.valid());
    ASSERT_TRUE(SendPacket(fd.get(), hello.SerializeAsString()));
    ASSERT_EQ(ReceiveAnswer(fd.get()).response.code(), 0);
    ASSERT_TRUE(SendPacket(fd.get(), packets[i].first, packets[i].second)) << std::strerror(errno);
    const SideAnswer answer = ReceiveAnswer(fd.get());
    EXPECT_TRUE(answer.closed || answer.response.code() != 0) << answer.response.ShortDebugString();
    EXPECT_FALSE(answer.fd.valid());
    v1::SideRequest goodbye;
    goodbye.mutable_goodbye();
    SendPacket(fd.get(), goodbye.SerializeAsString());
  }
  // A session of this process lasts as long as the process where no goodbye came through.
  const auto listed = CtlJson<v1::ListSessionsResponse>(node_, {"sessions"});
  for (const v1::SessionInfo& session : listed.sessions()) {
    node_.Ctl({"end-session", std::to_string(session.session_id())});
  }
}

TEST_F(HostileTest, NothingButHelloIsAnsweredBeforeHello) {
  v1::SideRequest offer;
  offer.mutable_offer_file();
  v1::SideRequest region;
  region.mutable_get_region()->set_region(1);
  v1::SideRequest goodbye;
  goodbye.mutable_goodbye();
  v1::SideRequest version;
  version.mutable_hello()->set_protocol_version(999);
  v1::SideRequest resume;
  resume.mutable_hello()->set_protocol_version(1);
  resume.mutable_hello()->set_resume_token(std::string(16, 'r'));
  const Fd memfd = MakeMemfd(4096, 'x');
  for (const v1::SideRequest* request : {&offer, &region, &goodbye, &version, &resume}) {
    const Fd fd = ConnectUnix(Socket("side.sock"), SOCK_SEQPACKET);
    ASSERT_TRUE(SendPacket(fd.get(), request->SerializeAsString(), {memfd.get()}));
    const SideAnswer answer = ReceiveAnswer(fd.get());
    EXPECT_TRUE(answer.closed || answer.response.code() != 0) << request->ShortDebugString();
  }
  EXPECT_EQ(node_.Status().sessions(), 0u);
}

TEST_F(HostileTest, HalfOpenConnectionsAreBoundedAndCleared) {
  std::vector<Fd> open;
  int refused = 0;
  for (int i = 0; i < 400; ++i) {
    Fd fd = ConnectUnix(Socket("side.sock"), SOCK_SEQPACKET);
    if (fd.valid()) {
      open.push_back(std::move(fd));
    } else {
      ++refused;
    }
    Fd stream = ConnectUnix(Socket("engine.sock"), SOCK_STREAM);
    if (stream.valid()) open.push_back(std::move(stream));
  }
  EXPECT_GT(open.size(), 100u);
  // Of one user at most 128 connections of the side socket stay.
  const size_t streams = open.size() / 2 + 16;
  EXPECT_TRUE(WaitFor([&] { return OpenDescriptors(node_.pid()) <= descriptors_ + streams + 200; }))
      << OpenDescriptors(node_.pid());
  // Those without a hello are closed while we still hold our ends; others get in then.
  EXPECT_TRUE(WaitFor([&] {
    const Fd fd = ConnectUnix(Socket("side.sock"), SOCK_SEQPACKET);
    v1::SideRequest hello;
    hello.mutable_hello()->set_protocol_version(1);
    if (!fd.valid() || !SendPacket(fd.get(), hello.SerializeAsString())) return false;
    const SideAnswer answer = ReceiveAnswer(fd.get());
    if (answer.closed || answer.response.code() != 0) return false;
    v1::SideRequest goodbye;
    goodbye.mutable_goodbye();
    EXPECT_TRUE(SendPacket(fd.get(), goodbye.SerializeAsString()));
    ReceiveAnswer(fd.get());
    return true;
  }));
}

}  // namespace
}  // namespace residency::testing
