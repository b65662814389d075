#include "daemon/side_protocol.h"

#include <fcntl.h>
#include <google/protobuf/stubs/logging.h>
#include <sys/stat.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "residency/v1/side.pb.h"

namespace residency {
namespace {

// An error's text must fit into a packet beside everything else.
constexpr size_t kMessageBytesMax = 1024;

SideAnswer ErrorAnswer(const absl::Status& error) {
  v1::SideResponse response;
  response.set_code(static_cast<int>(error.code()));
  response.set_message(std::string(error.message().substr(0, kMessageBytesMax)));
  SideAnswer answer;
  answer.bytes = response.SerializeAsString();
  answer.ok = false;
  return answer;
}

SideAnswer OkAnswer(const v1::SideResponse& response) {
  SideAnswer answer;
  answer.bytes = response.SerializeAsString();
  return answer;
}

absl::Status CheckFdCount(const SidePacket& packet, size_t wanted) {
  if (packet.fds.size() == wanted) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("found ", packet.fds.size(), " descriptors beside the packet, wanted ", wanted));
}

// A file system of the peer's own (FUSE) must not keep us waiting: no synchronisation.
absl::Status CheckReadableFile(int fd) {
  struct statx info = {};
  if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &info) != 0 ||
      !S_ISREG(info.stx_mode)) {
    return absl::InvalidArgumentError("the descriptor is not of a regular file or memfd");
  }
  const int flags = fcntl(fd, F_GETFL);
  const bool readable = flags >= 0 && (flags & O_PATH) == 0 && (flags & O_ACCMODE) != O_WRONLY;
  if (readable) return absl::OkStatus();
  return absl::InvalidArgumentError("the descriptor is not open for reading");
}

}  // namespace

// The handling of one packet.
class SideProtocol::Exchange {
 public:
  Exchange(SideProtocol& protocol, SidePacket packet, SidePeer& peer)
      : protocol_(protocol), packet_(std::move(packet)), peer_(peer) {}

  SideAnswer Run() {
    v1::SideRequest request;
    if (packet_.truncated) {
      return ErrorAnswer(absl::InvalidArgumentError(
          absl::StrCat("the packet is larger than ", kSidePacketBytesMax,
                       " bytes or has more than ", kSidePacketFdsMax, " descriptors")));
    }
    if (!request.ParseFromString(packet_.bytes)) {
      return ErrorAnswer(absl::InvalidArgumentError("the packet is no SideRequest"));
    }
    if (!request.has_hello() && !peer_.session.id.valid()) {
      return ErrorAnswer(
          absl::FailedPreconditionError("the first packet of a connection must be SideHello"));
    }
    switch (request.request_case()) {
      case v1::SideRequest::kHello:
        return Hello(request.hello());
      case v1::SideRequest::kOfferFile:
        return OfferFile(request.offer_file());
      case v1::SideRequest::kGetRegion:
        return GetRegion(request.get_region());
      case v1::SideRequest::kGoodbye:
        return Goodbye();
      case v1::SideRequest::REQUEST_NOT_SET:
        break;
    }
    return ErrorAnswer(absl::InvalidArgumentError("the SideRequest holds no known request"));
  }

 private:
  SideAnswer Hello(const v1::SideHello& hello) {
    if (absl::Status status = CheckFdCount(packet_, 0); !status.ok()) return ErrorAnswer(status);
    if (peer_.session.id.valid()) {
      return ErrorAnswer(absl::FailedPreconditionError("this connection has said hello already"));
    }
    if (hello.protocol_version() != kSideProtocolVersion) {
      return ErrorAnswer(absl::FailedPreconditionError(
          absl::StrCat("found protocol version ", hello.protocol_version(), ", this daemon speaks ",
                       kSideProtocolVersion)));
    }
    if (!peer_.process.ok()) return Refuse(peer_.process.status());
    const auto opened = hello.resume_token().empty() ? OpenSession() : Resume(hello);
    if (!opened.ok()) return ErrorAnswer(opened.status());
    peer_.session = opened->identity;
    v1::SideResponse response;
    v1::SideWelcome& welcome = *response.mutable_welcome();
    welcome.set_session_token(std::string(TokenBytes(opened->token)));
    welcome.set_session_id(opened->identity.id.value());
    welcome.set_daemon_instance(protocol_.daemon_instance_);
    SideAnswer answer = OkAnswer(response);
    answer.entered = *opened;
    return answer;
  }

  absl::StatusOr<SessionRegistry::Opened> Resume(const v1::SideHello& hello) {
    const auto token = ParseSessionToken(hello.resume_token());
    if (!token.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "resume_token: found ", hello.resume_token().size(), " bytes, wanted 16 or none"));
    }
    return protocol_.registry_.Resume(*token, peer_.process->pid);
  }

  absl::StatusOr<SessionRegistry::Opened> OpenSession() {
    const pid_t pid = peer_.process->pid;
    auto opened = protocol_.registry_.Open(std::move(*peer_.process));
    // Whatever comes of it, the descriptor of the process is no longer here.
    peer_.process = absl::FailedPreconditionError(
        "this connection was refused a session: connect "
        "anew to try again");
    if (!opened.ok()) return opened.status();
    const SessionIdentity& identity = opened->identity;
    const absl::Status accepted =
        protocol_.callbacks_.session_opened(identity.id, identity.domain, pid);
    if (accepted.ok()) return opened;
    protocol_.registry_.Close(identity.id);
    return accepted;
  }

  SideAnswer OfferFile(const v1::OfferFile& offer) {
    if (absl::Status status = CheckFdCount(packet_, 1); !status.ok()) return ErrorAnswer(status);
    if (offer.path().find('\0') != std::string::npos) {
      return ErrorAnswer(absl::InvalidArgumentError("offer_file.path holds a zero byte"));
    }
    if (absl::Status status = CheckReadableFile(packet_.fds[0].get()); !status.ok()) {
      return ErrorAnswer(status);
    }
    const auto file = protocol_.callbacks_.register_file(peer_.session.domain,
                                                         std::move(packet_.fds[0]), offer.path());
    if (!file.ok()) return ErrorAnswer(file.status());
    const auto handle = protocol_.registry_.AddFile(peer_.session.id, *file);
    if (!handle.ok()) return ErrorAnswer(handle.status());
    v1::SideResponse response;
    response.mutable_file_accepted()->set_file_handle(*handle);
    return OkAnswer(response);
  }

  SideAnswer GetRegion(const v1::GetRegion& get) {
    if (absl::Status status = CheckFdCount(packet_, 0); !status.ok()) return ErrorAnswer(status);
    auto region =
        protocol_.callbacks_.export_region(peer_.session.domain, RegionNumber(get.region()));
    if (!region.ok()) return ErrorAnswer(region.status());
    v1::SideResponse response;
    v1::RegionGranted& granted = *response.mutable_region();
    granted.set_region(get.region());
    granted.set_pool_id(region->pool.value());
    granted.set_segment_index(region->segment_index);
    granted.set_length(region->length);
    SideAnswer answer = OkAnswer(response);
    answer.fd = std::move(region->fd);
    return answer;
  }

  SideAnswer Goodbye() {
    if (absl::Status status = CheckFdCount(packet_, 0); !status.ok()) return ErrorAnswer(status);
    v1::SideResponse response;
    response.mutable_farewell();
    SideAnswer answer = OkAnswer(response);
    answer.goodbye = true;
    answer.hang_up = true;
    return answer;
  }

  SideProtocol& protocol_;
  SidePacket packet_;
  SidePeer& peer_;
};

SideProtocol::SideProtocol(SessionRegistry& registry, SideCallbacks callbacks,
                           std::string daemon_instance)
    : registry_(registry),
      callbacks_(std::move(callbacks)),
      daemon_instance_(std::move(daemon_instance)) {
  // It would print a line for every text of a peer's that is not UTF-8; the parse fails anyway.
  google::protobuf::SetLogHandler(nullptr);
}

SideAnswer SideProtocol::Handle(SidePacket packet, SidePeer& peer) {
  return Exchange(*this, std::move(packet), peer).Run();
}

SideAnswer SideProtocol::Refuse(const absl::Status& why) {
  SideAnswer answer = ErrorAnswer(why);
  answer.hang_up = true;
  return answer;
}

}  // namespace residency
