// The IoQueue of last resort: threads that call pread, pwrite and fdatasync.
#pragma once

#include <memory>
#include <string>

#include "movers/io_queue.h"

namespace residency {

// `reason`: why this and not io_uring; part of status().
std::unique_ptr<IoQueue> StartIoThreads(const IoQueueOptions& options, const std::string& reason);

}  // namespace residency
