// Who is at the other end of a Unix socket, beyond doubt.
#pragma once

#include "absl/status/statusor.h"
#include "daemon/session_registry.h"

namespace residency {

// Reads the credentials of the connecting process and opens a pidfd of it: from the socket itself
// where the kernel offers that, else by number, checked against the number's reuse.
// PermissionDenied says why a peer can't be pinned down (another pid namespace, exited already).
absl::StatusOr<PeerProcess> PinPeer(int connected_socket);

// Whether the process of a pidfd has exited. Zombies have.
bool HasExited(int pidfd);

}  // namespace residency
