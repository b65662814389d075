// Everything residencyctl takes from its process: streams, terminal, signals. Tests bring their
// own.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
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
  // From here on SIGINT, SIGTERM, SIGHUP and SIGQUIT end a wait instead of the process, and a
  // closed pipe fails a write instead of ending it.
  std::function<void()> catch_interrupts;
  // False as soon as an interrupt was caught, otherwise true once the time is over.
  std::function<bool(absl::Duration)> wait;
  // Takes the whole screen: a page of its own without a cursor, keys read one by one, unechoed.
  std::function<void()> enter_screen;
  // Gives it back as it was. Harmless where it was not taken.
  std::function<void()> leave_screen;
  // Like `wait`, but a key on a screen that was taken ends it too. None: interrupted; kNoKey: the
  // time is over.
  std::function<std::optional<char>(absl::Duration)> wait_key;
};

inline constexpr char kNoKey = '\0';

// The real one. Call once.
Environment ProcessEnvironment();

}  // namespace residency::ctl
