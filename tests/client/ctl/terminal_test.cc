#include "client/ctl/terminal.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <sstream>

#include "gtest/gtest.h"

namespace residency::ctl {
namespace {

void DefaultSignals() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) {
    std::signal(signal, SIG_DFL);
  }
}

TEST(TerminalTest, AnInterruptEndsAWaitInsteadOfTheProcess) {
  const Environment env = ProcessEnvironment();
  EXPECT_TRUE(env.wait(absl::Milliseconds(1)));
  env.catch_interrupts();
  EXPECT_TRUE(env.wait(absl::Milliseconds(1)));
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    ASSERT_EQ(std::raise(signal), 0);
    EXPECT_FALSE(env.wait(absl::Hours(1)));
    ASSERT_EQ(std::raise(signal), 0);
    EXPECT_FALSE(env.wait_key(absl::Hours(1)).has_value());
  }
  DefaultSignals();
}

// This process on a terminal of its own, whose other end is `master`.
class OnTerminal {
 public:
  OnTerminal() : stdin_before_(dup(STDIN_FILENO)), cout_before_(std::cout.rdbuf(out.rdbuf())) {
    master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) std::abort();
    const int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    if (slave < 0 || dup2(slave, STDIN_FILENO) < 0) std::abort();
    close(slave);
  }
  ~OnTerminal() {
    std::cout.rdbuf(cout_before_);
    dup2(stdin_before_, STDIN_FILENO);
    close(stdin_before_);
    close(master);
  }
  static termios Settings() {
    termios settings = {};
    EXPECT_EQ(tcgetattr(STDIN_FILENO, &settings), 0);
    return settings;
  }

  int master = -1;
  std::ostringstream out;

 private:
  const int stdin_before_;
  std::streambuf* const cout_before_;
};

TEST(TerminalTest, AScreenThatWasTakenIsGivenBackAsItWas) {
  OnTerminal terminal;
  const Environment env = ProcessEnvironment();
  const termios before = OnTerminal::Settings();
  env.leave_screen();  // Not taken: nothing to give back.
  EXPECT_EQ(terminal.out.str(), "");

  env.enter_screen();
  EXPECT_EQ(OnTerminal::Settings().c_lflag & static_cast<tcflag_t>(ICANON | ECHO), 0u);
  EXPECT_EQ(terminal.out.str(), "\x1b[?1049h\x1b[?25l");
  ASSERT_EQ(write(terminal.master, "s", 1), 1);
  EXPECT_EQ(env.wait_key(absl::Hours(1)), 's');
  EXPECT_EQ(env.wait_key(absl::Milliseconds(1)), kNoKey);

  env.leave_screen();
  env.leave_screen();
  const termios after = OnTerminal::Settings();
  EXPECT_EQ(std::memcmp(&after, &before, sizeof(before)), 0);
  EXPECT_EQ(terminal.out.str(), "\x1b[?1049h\x1b[?25l\x1b[?25h\x1b[?1049l");
  ASSERT_EQ(write(terminal.master, "x\n", 2), 2);
  EXPECT_EQ(env.wait_key(absl::Milliseconds(1)), kNoKey);  // Keys are nobody's again.
}

TEST(TerminalTest, ATerminalThatGoesAwayEndsAWait) {
  OnTerminal terminal;
  const Environment env = ProcessEnvironment();
  env.catch_interrupts();
  env.enter_screen();
  close(terminal.master);
  terminal.master = -1;
  EXPECT_FALSE(env.wait_key(absl::Hours(1)).has_value());
  env.leave_screen();
  DefaultSignals();
}

}  // namespace
}  // namespace residency::ctl
