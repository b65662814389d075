// Everything residencyctl takes from its process: streams, terminal, signals. Tests bring their
// own.
#pragma once

#include <cstddef>
#include <functional>
#include <ostream>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace residency::ctl {

// In characters; 0 where unknown.
struct TerminalSize {
  size_t columns = 0;
  size_t rows = 0;
};

struct Environment {
  std::ostream* out;
  std::ostream* err;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  // NO_COLOR is set and not empty, or TERM is "dumb".
  bool no_colour = false;
  // Asked before every redraw: windows change size.
  std::function<TerminalSize()> size;
  // From here on SIGINT and SIGTERM end a wait instead of the process.
  std::function<void()> catch_interrupts;
  // False as soon as an interrupt was caught, otherwise true once the time is over.
  std::function<bool(absl::Duration)> wait;
};

// The real one. Call once.
Environment ProcessEnvironment();

}  // namespace residency::ctl
