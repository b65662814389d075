// What is said on the side socket: one packet in, one answer out, and what the answer means for the
// connection. Knows nothing of sockets and waits for nothing. The side socket's thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/ids.h"
#include "daemon/session_registry.h"
#include "daemon/side_packet.h"
#include "movers/owned_fd.h"

namespace residency {

inline constexpr uint32_t kSideProtocolVersion = 1;

// A segment as an engine may map it.
struct RegionExport {
  OwnedFd fd;  // opened read-only
  PoolId pool;
  uint64_t segment_index = 0;
  uint64_t length = 0;  // bytes
};

enum class SessionEnd : uint8_t { kExited, kGoodbye, kOperator };

constexpr const char* Name(SessionEnd reason) {
  constexpr const char* kNames[] = {"exited", "goodbye", "operator"};
  return kNames[static_cast<int>(reason)];
}

// Called on the side socket's thread; none may block.
struct SideCallbacks {
  // Before the token is given out. An error refuses the session; then session_ended is not called.
  std::function<absl::Status(SessionId, DomainId, pid_t)> session_opened;
  // Once for every session opened, after its token has become invalid.
  std::function<void(SessionId, SessionEnd)> session_ended;
  // The descriptor is readable and of a regular file. The path may be empty and is only a claim.
  std::function<absl::StatusOr<FileId>(DomainId, OwnedFd, const std::string& path)> register_file;
  // Must refuse a region that is not of this domain.
  std::function<absl::StatusOr<RegionExport>(DomainId, RegionNumber)> export_region;
};

// One connection as the protocol sees it.
struct SidePeer {
  // Of the process that connected; moves into the session at the hello.
  absl::StatusOr<PeerProcess> process;
  SessionIdentity session;  // invalid id before the hello
};

struct SideAnswer {
  std::string bytes;  // a SideResponse
  OwnedFd fd;         // to be sent beside it
  bool ok = true;     // false: the peer made a mistake
  bool hang_up = false;
  // The session that the peer has entered with this packet.
  std::optional<SessionRegistry::Opened> entered;
  bool goodbye = false;  // end the session, then answer, then hang up
};

class SideProtocol {
 public:
  // `daemon_instance`: 16 bytes. The registry must outlive it.
  SideProtocol(SessionRegistry& registry, SideCallbacks callbacks, std::string daemon_instance);

  SideAnswer Handle(SidePacket packet, SidePeer& peer);
  // The answer to a peer that is refused before it says anything.
  static SideAnswer Refuse(const absl::Status& why);

  const SideCallbacks& callbacks() const { return callbacks_; }

 private:
  class Exchange;

  SessionRegistry& registry_;
  const SideCallbacks callbacks_;
  const std::string daemon_instance_;
};

}  // namespace residency
