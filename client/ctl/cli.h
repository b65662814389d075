// The command line of residencyctl, from arguments to exit status.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/ctl/terminal.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace residency::ctl {

// Returns the exit status; see ExitCode.
int RunCtl(int argc, const char* const* argv, const Environment& env);

// "30s", "500ms", "2m", and plain "30" for seconds. InvalidArgument unless above zero.
absl::StatusOr<absl::Duration> ParseDuration(std::string_view text);

// An option that takes such a duration; anything else is a usage error.
CLI::Option* AddDuration(CLI::App& app, const std::string& name, absl::Duration& target,
                         const std::string& description);

}  // namespace residency::ctl
