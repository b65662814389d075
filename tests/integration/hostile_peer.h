// An engine without the client library's manners: it says on each port exactly what it is told to.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "residency/v1/engine.grpc.pb.h"
#include "residency/v1/side.pb.h"

namespace residency::testing {

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  ~Fd() { reset(); }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    reset();
    fd_ = std::exchange(other.fd_, -1);
    return *this;
  }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  void reset() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

// Of either kind of socket; errno tells why if it is not valid. Reads and writes end after 10 s.
inline Fd ConnectUnix(const std::string& path, int type) {
  Fd fd(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  const timeval wait{.tv_sec = 10, .tv_usec = 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) return fd;
  const int error = errno;
  fd.reset();
  errno = error;
  return fd;
}

// As many descriptors beside the packet as given; false if the kernel or the daemon refuses it.
inline bool SendPacket(int socket, const std::string& bytes, const std::vector<int>& fds = {}) {
  std::vector<char> control(CMSG_SPACE(fds.size() * sizeof(int)));
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
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  }
  return sendmsg(socket, &message, MSG_NOSIGNAL) >= 0;
}

struct SideAnswer {
  bool closed = false;  // no answer, the connection has ended
  v1::SideResponse response;
  Fd fd;
};

inline SideAnswer ReceiveAnswer(int socket) {
  char bytes[8192];
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  iovec part = {bytes, sizeof(bytes)};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  SideAnswer answer;
  const ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  answer.closed = got <= 0;
  EXPECT_FALSE(got < 0 && errno == EAGAIN) << "the side socket gave no answer in 10 s";
  if (got <= 0) return answer;
  EXPECT_TRUE(answer.response.ParseFromArray(bytes, static_cast<int>(got)));
  const cmsghdr* const header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_type == SCM_RIGHTS) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header), sizeof(fd));
    answer.fd = Fd(fd);
  }
  return answer;
}

// A memfd of so many bytes, each of the value given.
inline Fd MakeMemfd(size_t bytes, char value) {
  Fd fd(memfd_create("test", MFD_CLOEXEC));
  const std::string content(bytes, value);
  EXPECT_EQ(write(fd.get(), content.data(), bytes), static_cast<ssize_t>(bytes));
  return fd;
}

// With a session, after a hello.
class RawPeer {
 public:
  explicit RawPeer(const std::string& runtime_dir)
      : side_(ConnectUnix(runtime_dir + "/side.sock", SOCK_SEQPACKET)) {
    EXPECT_TRUE(side_.valid()) << std::strerror(errno);
    v1::SideRequest hello;
    hello.mutable_hello()->set_protocol_version(1);
    const SideAnswer welcome = Side(hello);
    EXPECT_EQ(welcome.response.code(), 0) << welcome.response.message();
    token_ = welcome.response.welcome().session_token();
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetMaxSendMessageSize(-1);
    arguments.SetMaxReceiveMessageSize(-1);
    stub_ = v1::EngineService::NewStub(grpc::CreateCustomChannel(
        "unix:" + runtime_dir + "/engine.sock", grpc::InsecureChannelCredentials(), arguments));
  }

  SideAnswer Side(const v1::SideRequest& request, const std::vector<int>& fds = {}) {
    EXPECT_TRUE(SendPacket(side_.get(), request.SerializeAsString(), fds)) << std::strerror(errno);
    return ReceiveAnswer(side_.get());
  }
  SideAnswer GetRegion(uint64_t region) {
    v1::SideRequest request;
    request.mutable_get_region()->set_region(region);
    return Side(request);
  }
  uint32_t OfferFile(int fd, const std::string& path = "") {
    v1::SideRequest request;
    request.mutable_offer_file()->set_path(path);
    const SideAnswer answer = Side(request, {fd});
    EXPECT_EQ(answer.response.code(), 0) << answer.response.message();
    return answer.response.file_accepted().file_handle();
  }

  v1::EngineService::Stub& stub() { return *stub_; }
  const std::string& token() const { return token_; }

  static std::unique_ptr<grpc::ClientContext> Context(const std::string& token) {
    auto context = std::make_unique<grpc::ClientContext>();
    if (!token.empty()) context->AddMetadata("residency-token-bin", token);
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    context->set_wait_for_ready(true);
    return context;
  }

  template <class Request, class Response>
  grpc::Status Call(grpc::Status (v1::EngineService::Stub::*method)(grpc::ClientContext*,
                                                                    const Request&, Response*),
                    const Request& request, Response* response) {
    const auto context = Context(token_);
    return (stub_.get()->*method)(context.get(), request, response);
  }

  v1::AttachModelResponse Attach(const std::string& fingerprint, uint64_t max_leased = 4 << 20) {
    v1::AttachModelRequest request;
    request.set_name("raw");
    request.set_fingerprint(fingerprint);
    request.set_max_leased_bytes(max_leased);
    request.set_max_batch_bytes(max_leased);
    v1::AttachModelResponse response;
    const grpc::Status status = Call(&v1::EngineService::Stub::AttachModel, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  // Synthetic blocks "b0", "b1", ...; their numbers.
  std::vector<uint32_t> Register(uint32_t model, int count, uint64_t bytes) {
    v1::RegisterBlocksRequest request;
    request.set_model_id(model);
    for (int i = 0; i < count; ++i) {
      v1::BlockSpec& block = *request.add_blocks();
      block.set_name("b" + std::to_string(i));
      block.set_bytes(bytes);
      block.set_layer(0);
      block.set_expert(i);
      block.set_role(v1::ROLE_EXPERT);
      block.mutable_synthetic()->set_seed(static_cast<uint64_t>(i) + 1);
    }
    v1::RegisterBlocksResponse response;
    const grpc::Status status = Call(&v1::EngineService::Stub::RegisterBlocks, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return {response.block_ids().begin(), response.block_ids().end()};
  }
  grpc::Status Acquire(uint64_t request_id, const std::vector<uint32_t>& blocks,
                       v1::AcquireResponse* response, uint64_t deadline_us = 10'000'000,
                       v1::LeaseMode mode = v1::LEASE_MODE_PINNED) {
    v1::AcquireRequest request;
    request.mutable_batch()->set_request_id(request_id);
    request.mutable_batch()->mutable_block_ids()->Add(blocks.begin(), blocks.end());
    request.mutable_batch()->set_deadline_us(deadline_us);
    request.mutable_batch()->set_mode(mode);
    return Call(&v1::EngineService::Stub::Acquire, request, response);
  }

 private:
  Fd side_;
  std::string token_;
  std::unique_ptr<v1::EngineService::Stub> stub_;
};

}  // namespace residency::testing
