#include <deque>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "tests/client/ctl/fake_operator.h"

namespace residency::ctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using Json = nlohmann::json;

// A terminal whose keys are known beforehand; when they are out, it is interrupted.
struct Keys {
  std::deque<char> keys;
  std::vector<std::string> events;
  std::function<void()> before_each = [] {};

  std::function<void(Environment&)> Tune(bool terminal) {
    return [this, terminal](Environment& env) {
      env.out_is_terminal = terminal;
      env.size = [] { return TerminalSize{80, 24}; };
      env.enter_screen = [this] { events.push_back("enter"); };
      env.leave_screen = [this] { events.push_back("leave"); };
      env.wait_key = [this](absl::Duration) -> std::optional<char> {
        before_each();
        if (keys.empty()) return std::nullopt;
        const char key = keys.front();
        keys.pop_front();
        return key;
      };
    };
  }
};

int CountOf(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(LiveTest, TheTerminalIsGivenBackHoweverTopEnds) {
  FakeOperator daemon;
  for (const std::deque<char>& keys :
       {std::deque<char>{'q'}, std::deque<char>{}, std::deque<char>{kNoKey, 's', 'Q'}}) {
    Keys terminal{.keys = keys, .events = {}};
    const Outcome outcome = RunWith({"top", "--socket", daemon.socket()}, terminal.Tune(true));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(terminal.events, ElementsAre("enter", "leave"));
  }
}

TEST(LiveTest, ADaemonThatIsNotThereNeverTakesTheScreen) {
  TempDir dir;
  Keys terminal;
  const Outcome outcome = RunWith({"top", "--socket", dir.Path("none.sock")}, terminal.Tune(true));
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(terminal.events, IsEmpty());
  EXPECT_THAT(outcome.err, HasSubstr("is residencyd running?"));
}

TEST(LiveTest, ADaemonThatGoesAwayIsShownAndWaitedFor) {
  FakeOperator daemon;
  Keys terminal{.keys = {kNoKey, 'q'}, .events = {}};
  terminal.before_each = [&daemon] { daemon.Stop(); };
  const Outcome outcome =
      RunWith({"top", "--timeout", "1s", "--socket", daemon.socket()}, terminal.Tune(true));
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("trying again; q quits"));
  EXPECT_THAT(terminal.events, ElementsAre("enter", "leave"));
}

TEST(LiveTest, TheLastOfSoManyFramesStaysOnTheTerminal) {
  FakeOperator daemon;
  Keys terminal{.keys = {kNoKey}, .events = {}};
  const Outcome outcome = RunWith(
      {"top", "-n", "2", "--color", "never", "--socket", daemon.socket()}, terminal.Tune(true));
  EXPECT_EQ(CountOf(outcome.out, "residencyd 9.9.9"), 3);
  EXPECT_EQ(CountOf(outcome.out, "\x1b[H"), 2);
  EXPECT_THAT(outcome.out.substr(outcome.out.rfind("residencyd 9.9.9")), Not(HasSubstr("\x1b")));
}

TEST(LiveTest, AKeyChangesTheOrderWithoutAskingTheDaemonAgain) {
  FakeOperator daemon;
  Keys terminal{.keys = {'s', 'x', 'q'}, .events = {}};
  const Outcome outcome = RunWith({"top", "--socket", daemon.socket()}, terminal.Tune(true));
  EXPECT_THAT(daemon.calls(), ElementsAre("GetStatus"));
  EXPECT_EQ(CountOf(outcome.out, "now by stall"), 1);
  EXPECT_EQ(CountOf(outcome.out, "now by misses"), 2);
}

TEST(LiveTest, IntoAPipeFramesFollowEachOther) {
  FakeOperator daemon;
  Keys pipe{.keys = {kNoKey}, .events = {}};
  const Outcome outcome =
      RunWith({"top", "-n", "2", "-d", "200ms", "--socket", daemon.socket()}, pipe.Tune(false));
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(CountOf(outcome.out, "residencyd 9.9.9"), 2);
  EXPECT_THAT(outcome.out, Not(HasSubstr("\x1b")));
  EXPECT_THAT(outcome.out, Not(HasSubstr("q quit")));
  EXPECT_THAT(pipe.events, IsEmpty());
}

TEST(LiveTest, AReaderThatHasSeenEnoughEndsIt) {
  FakeOperator daemon;
  Keys pipe{.keys = {kNoKey, kNoKey}, .events = {}};
  const Outcome outcome = RunWith({"top", "--socket", daemon.socket()}, [&](Environment& env) {
    pipe.Tune(false)(env);
    env.out->setstate(std::ios::badbit);
  });
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(pipe.keys.size(), 2u);
}

TEST(LiveTest, IostatReportsOnceOrAsOftenAsAsked) {
  FakeOperator daemon;
  Keys pipe;
  EXPECT_EQ(CountOf(RunWith({"iostat", "--socket", daemon.socket()}, pipe.Tune(false)).out,
                    "nothing moved"),
            1);
  pipe.keys = {kNoKey, kNoKey, kNoKey};
  const Outcome outcome =
      RunWith({"iostat", "1", "3", "-o", "json", "--socket", daemon.socket()}, pipe.Tune(false));
  EXPECT_EQ(CountOf(outcome.out, "\n"), 3);
  EXPECT_TRUE(Json::parse(outcome.out.substr(0, outcome.out.find('\n')))["since_start"]);
  EXPECT_EQ(pipe.keys.size(), 1u);
}

TEST(LiveTest, WatchingAndTooShortIntervalsAreUsageErrors) {
  EXPECT_EQ(RunWith({"top", "--watch"}).code, 2);
  EXPECT_EQ(RunWith({"top", "-d", "1ms"}).code, 2);
  EXPECT_EQ(RunWith({"top", "--sort", "size"}).code, 2);
  EXPECT_EQ(RunWith({"iostat", "0"}).code, 2);
}

}  // namespace
}  // namespace residency::ctl
