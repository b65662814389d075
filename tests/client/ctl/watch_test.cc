#include "gmock/gmock.h"
#include "tests/client/ctl/fake_operator.h"

namespace residency::ctl {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

// Lets a watch draw so many frames before its interrupt, and keeps the interval it asked for.
struct Frames {
  int left;
  absl::Duration interval;
  std::function<void()> between = [] {};

  std::function<void(Environment&)> Tune(bool terminal) {
    return [this, terminal](Environment& env) {
      env.out_is_terminal = terminal;
      env.wait = [this](absl::Duration wait) {
        interval = wait;
        between();
        return --left > 0;
      };
    };
  }
};

TEST(WatchTest, RedrawsInPlaceUntilInterrupted) {
  FakeOperator daemon;
  Frames frames{3, {}};
  const Outcome outcome = RunWith(
      {"health", "--watch", "--color", "never", "--socket", daemon.socket()}, frames.Tune(true));
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(frames.interval, absl::Seconds(2));
  const std::string frame = "\x1b[Hhealthy\x1b[K\n\x1b[J";
  EXPECT_EQ(outcome.out, "\x1b[2J" + frame + frame + frame);
}

TEST(WatchTest, TheIntervalMayBeGiven) {
  FakeOperator daemon;
  Frames frames{1, {}};
  RunWith({"health", "--watch=500ms", "--socket", daemon.socket()}, frames.Tune(false));
  EXPECT_EQ(frames.interval, absl::Milliseconds(500));
}

TEST(WatchTest, IntoAPipeThereAreNoEscapesAndJsonIsOneLineEach) {
  FakeOperator daemon;
  Frames frames{2, {}};
  const Outcome outcome =
      RunWith({"--watch", "-o", "json", "health", "--socket", daemon.socket()}, frames.Tune(false));
  const std::string line = "{\"healthy\":true,\"draining\":false,\"problems\":[]}\n";
  EXPECT_EQ(outcome.out, line + line);
}

TEST(WatchTest, FramesTallerThanTheScreenAreCut) {
  FakeOperator daemon;
  for (int i = 0; i < 20; ++i) daemon.policy.add_values()->set_key("k" + std::to_string(i));
  Frames frames{1, {}};
  const Outcome outcome =
      RunWith({"policy", "get", "--watch", "--socket", daemon.socket()}, [&](Environment& env) {
        frames.Tune(true)(env);
        env.size = [] { return TerminalSize{80, 5}; };
      });
  EXPECT_THAT(outcome.out, HasSubstr("k2"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("k3")));
  EXPECT_THAT(outcome.out, HasSubstr("(more)"));
}

TEST(WatchTest, ADaemonThatGoesAwayIsShownAndWaitedFor) {
  FakeOperator daemon;
  Frames frames{2, {}};
  frames.between = [&daemon] { daemon.Stop(); };
  const Outcome outcome = RunWith(
      {"health", "--watch", "--timeout", "1s", "--color", "never", "--socket", daemon.socket()},
      frames.Tune(true));
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, StartsWith("\x1b[2J\x1b[Hhealthy"));
  EXPECT_THAT(outcome.out, HasSubstr("residencyctl: "));
  EXPECT_THAT(outcome.out, HasSubstr(daemon.socket()));
}

TEST(WatchTest, IfTheFirstCallFailsThereIsNothingToWatch) {
  TempDir dir;
  Frames frames{5, {}};
  const Outcome outcome =
      RunWith({"health", "--watch", "--socket", dir.Path("none.sock")}, frames.Tune(true));
  EXPECT_EQ(outcome.code, 3);
  EXPECT_EQ(frames.left, 5);
  EXPECT_THAT(outcome.out, IsEmpty());
}

}  // namespace
}  // namespace residency::ctl
