// The fake daemon's side socket.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/client/fake_daemon.h"

namespace residency::client_test {
namespace {

using client::internal::UniqueFd;

void SendPacket(int socket, const std::string& packet, int fd) {
  iovec part{const_cast<char*>(packet.data()), packet.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof(int));
  }
  ::sendmsg(socket, &message, MSG_NOSIGNAL);
}

// False at the peer's end.
bool ReceivePacket(int socket, std::string* packet, UniqueFd* file) {
  packet->resize(4096);
  iovec part{packet->data(), packet->size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  if (got <= 0) return false;
  packet->resize(static_cast<size_t>(got));
  if (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header), sizeof(int));
    *file = UniqueFd(fd);
  }
  return true;
}

}  // namespace

void FakeDaemon::Listen() {
  while (true) {
    int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    absl::MutexLock lock(&mu_);
    peers_.insert(fd);
    if (stopping_) ::shutdown(fd, SHUT_RDWR);
    peer_threads_.emplace_back([this, fd] { Serve(fd); });
  }
}

void FakeDaemon::Serve(int fd) {
  std::string packet;
  UniqueFd file;
  while (ReceivePacket(fd, &packet, &file)) {
    v1::SideRequest request;
    EXPECT_TRUE(request.ParseFromString(packet));
    int fd_out = -1;
    v1::SideResponse response = AnswerSide(request, file.get(), &fd_out);
    SendPacket(fd, response.SerializeAsString(), fd_out);
    if (fd_out >= 0) ::close(fd_out);
    file.Reset();
  }
  absl::MutexLock lock(&mu_);
  peers_.erase(fd);
  ::close(fd);
}

v1::SideResponse FakeDaemon::AnswerSide(const v1::SideRequest& request, int fd_in, int* fd_out) {
  v1::SideResponse response;
  absl::MutexLock lock(&mu_);
  if (request.has_hello()) {
    if (++log_.hellos <= options_.refuse_hellos) {
      response.set_code(grpc::StatusCode::UNAVAILABLE);
      response.set_message("still starting");
      return response;
    }
    const std::string& resumed = request.hello().resume_token();
    if (!resumed.empty() && resumed != Token()) {
      response.set_code(grpc::StatusCode::NOT_FOUND);
      response.set_message("that session has ended");
      return response;
    }
    response.mutable_welcome()->set_session_token(Token());
    response.mutable_welcome()->set_session_id(session_id_);
    response.mutable_welcome()->set_daemon_instance(options_.instance);
  } else if (request.has_offer_file()) {
    log_.offered_paths.push_back(request.offer_file().path());
    uint32_t handle = static_cast<uint32_t>(log_.offered_paths.size());
    files_[handle] = UniqueFd(::fcntl(fd_in, F_DUPFD_CLOEXEC, 0));
    response.mutable_file_accepted()->set_file_handle(handle);
  } else if (request.has_get_region()) {
    uint64_t index = request.get_region().region() - kRegionBase;
    std::string path = absl::StrCat("/proc/self/fd/", segments_.at(index).get());
    *fd_out = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    response.mutable_region()->set_region(request.get_region().region());
    response.mutable_region()->set_pool_id(1);
    response.mutable_region()->set_segment_index(index);
    response.mutable_region()->set_length(options_.segment_bytes);
  } else if (request.has_goodbye()) {
    ++log_.goodbyes;
    log_.leases.clear();
    response.mutable_farewell();
  }
  return response;
}

}  // namespace residency::client_test
