// Runs a command once, or again and again for --watch.
#pragma once

#include "client/ctl/command.h"

namespace residency::ctl {

// Whether to colour what goes to stdout.
bool WantsColour(const GlobalOptions& options, const Environment& env);

// Prints answers to env.out and errors to env.err. A watch ends at an interrupt, with kOk, or if
// its first call fails; later failures are shown in place and the watch goes on, so that a restart
// of the daemon can be watched.
ExitCode RunCommand(const Command& command, const GlobalOptions& options, const Environment& env);

// The same for a command that repeats by itself. On a terminal that it takes whole, `q` ends it and
// the terminal is given back whatever happens; elsewhere it prints round after round.
ExitCode RunLive(const LiveCommand& live, const GlobalOptions& options, const Environment& env);

}  // namespace residency::ctl
