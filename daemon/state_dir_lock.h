// Keeps a second daemon out of a directory. The lock ends with the process, however it ends.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "movers/owned_fd.h"

namespace residency {

class StateDirLock {
 public:
  // Makes `directory` (mode 0700; its parent must exist) if there is none, and locks the file
  // "lock" in it. FailedPrecondition names the process that holds it already.
  static absl::StatusOr<StateDirLock> Acquire(const std::string& directory);

 private:
  explicit StateDirLock(OwnedFd fd) : fd_(std::move(fd)) {}
  OwnedFd fd_;
};

}  // namespace residency
