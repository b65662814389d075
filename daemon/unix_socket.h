// Unix sockets in the file system: made without ever taking one away from a live daemon, and with
// their access set before anybody can connect.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "movers/owned_fd.h"

namespace residency {

// The number of a group by name; NotFound if the system knows none.
absl::StatusOr<gid_t> GroupId(const std::string& group);

// Makes `path` free to bind. A socket that somebody listens on stays: AlreadyExists. One that is
// left over is removed; anything else there stays: FailedPrecondition. `type` is that of the
// listener expected there (SOCK_STREAM, SOCK_SEQPACKET).
// REQUIRES: the caller holds the lock of the directory, so that no other daemon does the same.
absl::Status PrepareUnixPath(const std::string& path, int type);

// Permission bits and group (empty: unchanged) of an existing socket file.
absl::Status SetSocketAccess(const std::string& path, uint32_t mode, const std::string& group);

struct UnixListenOptions {
  std::string path;
  int type = 0;  // SOCK_STREAM or SOCK_SEQPACKET
  uint32_t mode = 0600;
  std::string group;
  int backlog = 128;
};

// Prepares the path, binds, sets the access, then listens; non-blocking, close-on-exec. Nobody
// can connect before the access is set.
absl::StatusOr<OwnedFd> ListenUnix(const UnixListenOptions& options);

}  // namespace residency
