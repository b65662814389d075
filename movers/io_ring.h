// The IoQueue on io_uring: one thread that submits and reaps, with registered buffers and files.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "movers/io_queue.h"

namespace residency {

// Unavailable, with the kernel's reason, where io_uring cannot be had: old kernels, seccomp,
// sysctl, memory lock limits.
absl::StatusOr<std::unique_ptr<IoQueue>> StartIoRing(const IoQueueOptions& options);

}  // namespace residency
