#include "client/ctl/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
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
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) sigaction(signal, &action, nullptr);
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, nullptr);
}

// The terminal's settings before the screen was taken; none while it is not.
std::optional<termios> settings_before;
bool screen_taken = false;

std::optional<char> WaitKey(absl::Duration duration) {
  const absl::Time deadline = absl::Now() + duration;
  for (;;) {
    const int64_t left_ms =
        absl::ToInt64Milliseconds(deadline - absl::Now() + absl::Microseconds(999));
    // A negative descriptor is ignored.
    pollfd ends[] = {{interrupt_pipe[0], POLLIN, 0},
                     {settings_before.has_value() ? STDIN_FILENO : -1, POLLIN, 0}};
    const int ready = poll(ends, 2, static_cast<int>(std::clamp<int64_t>(left_ms, 0, 60000)));
    char byte = kNoKey;
    if (ready > 0 && ends[0].revents != 0) {
      [[maybe_unused]] const ssize_t taken = read(interrupt_pipe[0], &byte, 1);
      return std::nullopt;
    }
    if (ready > 0 && ends[1].revents != 0) {
      if (read(STDIN_FILENO, &byte, 1) != 1) return std::nullopt;  // The terminal has gone.
      if (byte != kNoKey) return byte;
    }
    if (absl::Now() >= deadline) return kNoKey;
  }
}

bool Wait(absl::Duration duration) {
  const absl::Time deadline = absl::Now() + duration;
  for (;;) {  // Keys don't end this one.
    const std::optional<char> key = WaitKey(deadline - absl::Now());
    if (!key.has_value()) return false;
    if (*key == kNoKey) return true;
  }
}

void Send(std::string_view escapes) { std::cout << escapes << std::flush; }

void EnterScreen() {
  if (screen_taken) return;
  screen_taken = true;
  termios settings = {};
  if (tcgetattr(STDIN_FILENO, &settings) == 0) {
    settings_before = settings;
    settings.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    settings.c_cc[VMIN] = 1;
    settings.c_cc[VTIME] = 0;
    settings.c_cc[VSUSP] = _POSIX_VDISABLE;  // A stopped process could not give the screen back.
    tcsetattr(STDIN_FILENO, TCSANOW, &settings);
  }
  Send("\x1b[?1049h\x1b[?25l");
}

void LeaveScreen() {
  if (!screen_taken) return;
  screen_taken = false;
  if (settings_before.has_value()) tcsetattr(STDIN_FILENO, TCSAFLUSH, &*settings_before);
  settings_before.reset();
  Send("\x1b[?25h\x1b[?1049l");
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
  env.enter_screen = EnterScreen;
  env.leave_screen = LeaveScreen;
  env.wait_key = WaitKey;
  return env;
}

}  // namespace residency::ctl
