#include "client/ctl/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string_view>

namespace residency::ctl {
namespace {

// A pipe that the signal handler writes to, so that a wait ends whichever thread took the signal.
int interrupt_pipe[2] = {-1, -1};

void OnInterrupt(int) {
  const char byte = 1;
  [[maybe_unused]] const ssize_t written = write(interrupt_pipe[1], &byte, 1);
}

void CatchInterrupts() {
  if (interrupt_pipe[0] < 0 && pipe2(interrupt_pipe, O_CLOEXEC | O_NONBLOCK) != 0) return;
  struct sigaction action = {};
  action.sa_handler = OnInterrupt;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool Wait(absl::Duration duration) {
  const absl::Time deadline = absl::Now() + duration;
  pollfd interrupted = {interrupt_pipe[0], POLLIN, 0};  // A negative descriptor is ignored.
  for (;;) {
    const int64_t left_ms = absl::ToInt64Milliseconds(deadline - absl::Now());
    const int ready =
        poll(&interrupted, 1, static_cast<int>(std::clamp<int64_t>(left_ms, 0, 60000)));
    if (ready > 0) {
      char byte;
      [[maybe_unused]] const ssize_t taken = read(interrupt_pipe[0], &byte, 1);
      return false;
    }
    if (absl::Now() >= deadline) return true;
  }
}

TerminalSize AskSize() {
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return {};
  return {size.ws_col, size.ws_row};
}

bool ColourUnwanted() {
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  return (no_color != nullptr && *no_color != '\0') ||
         (term != nullptr && std::string_view(term) == "dumb");
}

}  // namespace

Environment ProcessEnvironment() {
  Environment env;
  env.out = &std::cout;
  env.err = &std::cerr;
  env.out_is_terminal = isatty(STDOUT_FILENO) == 1;
  env.err_is_terminal = isatty(STDERR_FILENO) == 1;
  env.no_colour = ColourUnwanted();
  env.size = AskSize;
  env.catch_interrupts = CatchInterrupts;
  env.wait = Wait;
  return env;
}

}  // namespace residency::ctl
