#include "client/put_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace residency::inline client::internal {

absl::StatusOr<UniqueFd> MakePutFile(std::span<const std::byte> bytes) {
  UniqueFd file(::memfd_create("residency-put", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file.valid()) return absl::ErrnoToStatus(errno, "put: memfd_create");
  size_t written = 0;
  while (written < bytes.size()) {
    ssize_t n = ::write(file.get(), bytes.data() + written, bytes.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return absl::ErrnoToStatus(errno, "put: writing to memory");
    written += static_cast<size_t>(n);
  }
  // Sealed, so that its reader need not fear that it shrinks.
  if (::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0) {
    return absl::ErrnoToStatus(errno, "put: sealing");
  }
  return file;
}

}  // namespace residency::inline client::internal
