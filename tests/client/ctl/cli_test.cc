#include "client/ctl/cli.h"

#include <cstdlib>

#include "gmock/gmock.h"
#include "tests/client/ctl/fake_operator.h"

namespace residency::ctl {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

TEST(CliTest, UsageErrorsExitWithTwoAndSayWhatWasWrong) {
  const struct {
    std::vector<std::string> arguments;
    const char* message;
  } kCases[] = {
      {{}, "A subcommand is required"},
      {{"frobnicate"}, "no command or option frobnicate"},
      {{"status", "--frobnicate"}, "--frobnicate"},
      {{"block"}, "BLOCK is required"},
      {{"block", "1", "2"}, "not expected: 2"},
      {{"status", "-o", "yaml"}, "yaml not in"},
      {{"status", "--timeout", "soon"}, "\"soon\" is not a duration"},
      {{"status", "--color", "pink"}, "pink not in"},
      {{"status", "--watch", "1ms"}, "the shortest is 100ms"},
      {{"pin", "1", "--watch"}, "this one acts"},
      {{"blocks", "--state", "S9"}, "\"S9\" won't do: write S0 to S6"},
      {{"demote", "1"}, "--to is required"},
      {{"demote", "1", "--to", "S0"}, "S0 not in"},
      {{"promote", "1", "--to", "S6"}, "S6 not in"},
      {{"end-session", "seven"}, "seven"},
      {{"policy"}, "A subcommand is required"},
      {{"policy", "set"}, "KEY=VALUE is required"},
      {{"policy", "set", "alpha"}, "alpha is not KEY=VALUE"},
      {{"policy", "set", "a=1", "a=2"}, "a is given twice"},
  };
  for (const auto& c : kCases) {
    const Outcome outcome = RunWith(c.arguments);
    EXPECT_EQ(outcome.code, 2) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(c.message));
    EXPECT_THAT(outcome.err, HasSubstr("--help"));
    EXPECT_THAT(outcome.out, IsEmpty());
  }
}

TEST(CliTest, HelpGoesToStdoutAndDocumentsExitCodesAndJson) {
  const Outcome outcome = RunWith({"--help"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("3 residencyd unreachable"));
  EXPECT_THAT(outcome.out, HasSubstr("64-bit integers are\nstrings"));
  EXPECT_THAT(outcome.err, IsEmpty());
}

TEST(CliTest, AnUnreachableDaemonExitsWithThree) {
  TempDir dir;
  const Outcome outcome = RunWith({"status", "--socket", dir.Path("none.sock")});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.out, IsEmpty());
  EXPECT_THAT(outcome.err, HasSubstr("is residencyd running?"));
}

TEST(CliTest, TheSocketMayComeFromTheEnvironment) {
  FakeOperator daemon;
  ASSERT_EQ(setenv("RESIDENCYD_OPERATOR_SOCKET", daemon.socket().c_str(), 1), 0);
  const Outcome outcome = RunWith({"health"});
  unsetenv("RESIDENCYD_OPERATOR_SOCKET");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
}

TEST(CliTest, ColourIsForTerminalsUnlessAskedForOrForbidden) {
  FakeOperator daemon;
  const std::vector<std::string> health = {"health", "--socket", daemon.socket()};
  const auto terminal = [](Environment& env) { env.out_is_terminal = true; };
  const auto no_color = [](Environment& env) {
    env.out_is_terminal = true;
    env.no_colour = true;
  };
  const auto with = [&health](const std::string& when) {
    std::vector<std::string> arguments = health;
    arguments.insert(arguments.end(), {"--color", when});
    return arguments;
  };
  EXPECT_THAT(RunWith(health).out, Not(HasSubstr("\x1b")));
  EXPECT_THAT(RunWith(health, terminal).out, HasSubstr("\x1b[32m"));
  EXPECT_THAT(RunWith(health, no_color).out, Not(HasSubstr("\x1b")));
  EXPECT_THAT(RunWith(with("always"), no_color).out, HasSubstr("\x1b[32m"));
  EXPECT_THAT(RunWith(with("never"), terminal).out, Not(HasSubstr("\x1b")));
}

TEST(CliTest, OnlyATerminalCutsTables) {
  FakeOperator daemon;
  v1::BlockInfo block;
  block.set_name(std::string(60, 'n'));
  daemon.blocks.push_back(block);
  const std::vector<std::string> blocks = {"blocks", "--socket", daemon.socket()};
  const auto size = [](Environment& env) { env.size = [] { return TerminalSize{40, 20}; }; };
  const auto terminal = [&size](Environment& env) {
    size(env);
    env.out_is_terminal = true;
  };
  EXPECT_THAT(RunWith(blocks, size).out, HasSubstr(block.name()));
  EXPECT_THAT(RunWith(blocks, terminal).out, Not(HasSubstr(block.name())));
}

TEST(CliTest, WithoutHeadersOnlyRowsRemain) {
  FakeOperator daemon;
  daemon.policy.add_values()->set_key("k");
  const Outcome outcome = RunWith({"policy", "get", "--no-headers", "--socket", daemon.socket()});
  EXPECT_EQ(outcome.out, "k    -\n");
}

}  // namespace
}  // namespace residency::ctl
