// Turning direct I/O on where the filesystem really has it.
#pragma once

#include "absl/status/status.h"

namespace residency {

// Sets O_DIRECT on a readable descriptor and tries a read; some filesystems accept the flag and
// refuse the read. On failure the descriptor is buffered again, and the status says why.
absl::Status TurnOnDirectIo(int fd);

}  // namespace residency
