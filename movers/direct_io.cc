#include "movers/direct_io.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "movers/io_alignment.h"

namespace residency {

absl::Status TurnOnDirectIo(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_DIRECT) != 0) {
    return absl::ErrnoToStatus(errno, "open");
  }
  const AlignedMemory page = AllocateAligned(kIoAlignment);
  if (page == nullptr) errno = ENOMEM;
  if (page != nullptr && pread(fd, page.get(), kIoAlignment, 0) >= 0) return absl::OkStatus();
  const int error = errno;
  fcntl(fd, F_SETFL, flags & ~O_DIRECT);
  return absl::ErrnoToStatus(error, "read");
}

}  // namespace residency
