// Packets on the side socket, as a peer sends them one after the other on two connections. The kind
// of a frame: bit 7 the connection, bit 6 "cut", bits 4 and 5 which descriptors are beside it.
#include <fcntl.h>
#include <google/protobuf/stubs/logging.h>
#include <sys/mman.h>
#include <unistd.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "daemon/side_protocol.h"
#include "residency/v1/side.pb.h"
#include "tests/fuzz/fuzz_input.h"

namespace residency {
namespace {

using fuzz::Check;

OwnedFd MemoryFd() { return OwnedFd(::memfd_create("fuzz", MFD_CLOEXEC)); }

std::vector<OwnedFd> Descriptors(int which) {
  std::vector<OwnedFd> fds;
  if (which == 1 || which == 2) fds.push_back(MemoryFd());
  if (which == 2) fds.push_back(MemoryFd());
  if (which == 3) fds.push_back(OwnedFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
  return fds;
}

// The daemon behind the protocol, and what it must be told.
class FuzzDaemon {
 public:
  FuzzDaemon() : protocol_(registry_, Callbacks(), std::string(16, 'i')) { Reset(0), Reset(1); }

  void Send(int connection, SidePacket packet) {
    SidePeer& peer = peers_[connection];
    SideAnswer answer = protocol_.Handle(std::move(packet), peer);
    v1::SideResponse response;
    Check(answer.bytes.size() <= kSidePacketBytesMax, "an answer fits into a packet");
    Check(response.ParseFromString(answer.bytes), "an answer is a SideResponse");
    Check((response.code() == 0) == answer.ok, "an answer's code says whether it is one");
    Check(!answer.entered || peer.session.id.valid(), "who has entered has a session");
    if (answer.goodbye) {
      registry_.Close(peer.session.id);
      open_.erase(peer.session.id);
    }
    if (answer.hang_up || answer.goodbye) Reset(connection);
    Check(registry_.size() == open_.size(), "sessions are those that were opened and not ended");
  }

 private:
  SideCallbacks Callbacks() {
    SideCallbacks callbacks;
    callbacks.session_opened = [this](SessionId session, DomainId, pid_t) {
      if (session.value() % 5 == 4) return absl::ResourceExhaustedError("full");
      open_.insert(session);
      return absl::OkStatus();
    };
    callbacks.session_ended = [](SessionId, SessionEnd) {};
    callbacks.register_file = [this](DomainId, OwnedFd fd,
                                     const std::string& path) -> absl::StatusOr<FileId> {
      Check(fd.get() >= 0, "a file is a descriptor");
      if (path == "/refused") return absl::PermissionDeniedError("refused");
      return FileId(++files_);
    };
    callbacks.export_region = [](DomainId, RegionNumber region) -> absl::StatusOr<RegionExport> {
      if (region.value() > 3) return absl::NotFoundError("no such region");
      return RegionExport{MemoryFd(), PoolId(0), region.value(), 4096};
    };
    return callbacks;
  }
  void Reset(int connection) {
    peers_[connection].process =
        PeerProcess{.uid = 1000, .pid = 11 + connection, .name = "engine", .pidfd = OwnedFd()};
    peers_[connection].session = SessionIdentity();
  }

  SessionRegistry registry_{SessionLimits{.sessions_max = 3, .files_per_session_max = 4}};
  std::set<SessionId> open_;
  uint32_t files_ = 0;
  SideProtocol protocol_;
  SidePeer peers_[2] = {{absl::UnknownError("unset"), {}}, {absl::UnknownError("unset"), {}}};
};

}  // namespace
}  // namespace residency

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // It complains of every text that is not UTF-8.
  [[maybe_unused]] static auto* const loud = google::protobuf::SetLogHandler(nullptr);
  residency::FuzzDaemon daemon;
  residency::fuzz::Frames frames(data, size);
  residency::fuzz::Frame frame;
  while (frames.Next(&frame)) {
    residency::SidePacket packet;
    packet.bytes = std::move(frame.payload);
    packet.truncated = (frame.kind & 0x40) != 0;
    packet.fds = residency::Descriptors(frame.kind >> 4 & 3);
    daemon.Send(frame.kind >> 7, std::move(packet));
  }
  return 0;
}
