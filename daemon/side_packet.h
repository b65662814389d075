// One packet of a SOCK_SEQPACKET socket with the descriptors beside it. Never blocks.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "movers/owned_fd.h"

namespace residency {

inline constexpr size_t kSidePacketBytesMax = 4096;
// More than any request carries, so that one too many is noticed as such.
inline constexpr size_t kSidePacketFdsMax = 4;

struct SidePacket {
  std::string bytes;
  std::vector<OwnedFd> fds;  // close-on-exec
  // The sender sent more bytes or descriptors than a packet may have; what is here is a part.
  bool truncated = false;
};

// Unavailable if there is none now, OutOfRange at the end of the connection (also after an empty
// packet, which can't be told from it), Aborted if it is broken.
absl::StatusOr<SidePacket> ReceiveSidePacket(int socket);

// `fd` is sent beside it unless it is -1. Unavailable if the peer's queue is full.
absl::Status SendSidePacket(int socket, const std::string& bytes, int fd = -1);

}  // namespace residency
