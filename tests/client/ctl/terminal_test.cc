#include "client/ctl/terminal.h"

#include <csignal>

#include "gtest/gtest.h"

namespace residency::ctl {
namespace {

TEST(TerminalTest, AnInterruptEndsAWaitInsteadOfTheProcess) {
  const Environment env = ProcessEnvironment();
  EXPECT_TRUE(env.wait(absl::Milliseconds(1)));
  env.catch_interrupts();
  EXPECT_TRUE(env.wait(absl::Milliseconds(1)));
  ASSERT_EQ(std::raise(SIGINT), 0);
  EXPECT_FALSE(env.wait(absl::Hours(1)));
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

}  // namespace
}  // namespace residency::ctl
