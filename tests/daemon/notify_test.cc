#include "daemon/notify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "daemon/logging.h"
#include "movers/owned_fd.h"
#include "tests/daemon/temp_dir.h"

namespace residency {
namespace {

using ::testing::MatchesRegex;

// A service manager: a datagram socket that reads what it is told.
class NotifyTest : public testing::Test {
 protected:
  NotifyTest() : fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    const std::string path = dir_.File("notify");
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    EXPECT_EQ(bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  ~NotifyTest() override {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) unsetenv(name);
  }
  // "" if nothing was said.
  std::string Heard() {
    std::array<char, 512> text;
    const ssize_t got = recv(fd_.get(), text.data(), text.size(), 0);
    return std::string(text.data(), got > 0 ? static_cast<size_t>(got) : 0);
  }

  TempDir dir_;
  OwnedFd fd_;
};

TEST_F(NotifyTest, StatesAreTold) {
  ServiceNotifier notifier;
  notifier.Ready("serving\nREADY=0");
  EXPECT_EQ(Heard(), "READY=1\nSTATUS=serving READY=0\n");
  notifier.Status("12 sessions");
  EXPECT_EQ(Heard(), "STATUS=12 sessions\n");
  notifier.Stopping("draining");
  EXPECT_EQ(Heard(), "STOPPING=1\nSTATUS=draining\n");
}

TEST_F(NotifyTest, SignsOfLifeComeTwiceInTheManagersPatience) {
  setenv("WATCHDOG_USEC", "1000000", 1);
  setenv("WATCHDOG_PID", absl::StrCat(getpid()).c_str(), 1);
  ServiceNotifier notifier;
  EXPECT_EQ(notifier.watchdog_period(), Micros(500'000));
  ManualClock clock;
  notifier.Alive(clock.Now());
  EXPECT_EQ(Heard(), "WATCHDOG=1\n");
  clock.Advance(Micros(499'999));
  notifier.Alive(clock.Now());
  EXPECT_EQ(Heard(), "");
  clock.Advance(Micros(1));
  notifier.Alive(clock.Now());
  EXPECT_EQ(Heard(), "WATCHDOG=1\n");
}

TEST_F(NotifyTest, NoWatchdogNoSigns) {
  ServiceNotifier notifier;
  EXPECT_EQ(notifier.watchdog_period(), Micros(0));
  notifier.Alive(TimePoint(Micros(5)));
  EXPECT_EQ(Heard(), "");
}

TEST(NotifyWithoutManagerTest, IsHarmless) {
  unsetenv("NOTIFY_SOCKET");
  ServiceNotifier notifier;
  notifier.Ready("serving");
}

std::string Formatted(bool for_journal, spdlog::level::level_enum level) {
  spdlog::memory_buf_t out;
  MakeLogFormatter(for_journal)->format(spdlog::details::log_msg("residencyd", level, "text"), out);
  return std::string(out.data(), out.size());
}

TEST(LoggingTest, JournalGetsPrioritiesAndNoTime) {
  EXPECT_EQ(Formatted(true, spdlog::level::debug), "<7>text\n");
  EXPECT_EQ(Formatted(true, spdlog::level::info), "<6>text\n");
  EXPECT_EQ(Formatted(true, spdlog::level::warn), "<4>text\n");
  EXPECT_EQ(Formatted(true, spdlog::level::err), "<3>text\n");
}

TEST(LoggingTest, PeopleGetTimeAndLevel) {
  EXPECT_THAT(Formatted(false, spdlog::level::warn),
              MatchesRegex("....-..-..T..:..:......  ?warning text\n"));
}

TEST(LoggingTest, JournalIsKnownByItsInode) {
  struct stat info = {};
  ASSERT_EQ(fstat(STDERR_FILENO, &info), 0);
  setenv("JOURNAL_STREAM", absl::StrCat(info.st_dev, ":", info.st_ino).c_str(), 1);
  EXPECT_TRUE(LogGoesToJournal());
  setenv("JOURNAL_STREAM", "1:1", 1);
  EXPECT_FALSE(LogGoesToJournal());
  unsetenv("JOURNAL_STREAM");
  EXPECT_FALSE(LogGoesToJournal());
}

}  // namespace
}  // namespace residency
