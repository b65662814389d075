// What residencyctl's exit status means to scripts. Documented in --help; never renumbered.
#pragma once

#include "absl/status/status.h"

namespace residency::ctl {

enum class ExitCode {
  kOk = 0,
  kError = 1,
  kUsage = 2,
  kUnreachable = 3,
  kNotFound = 4,
  kUnhealthy = 5,
};

inline ExitCode ExitCodeFor(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return ExitCode::kOk;
    case absl::StatusCode::kUnavailable:
      return ExitCode::kUnreachable;
    case absl::StatusCode::kNotFound:
      return ExitCode::kNotFound;
    default:
      return ExitCode::kError;
  }
}

}  // namespace residency::ctl
