#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "tests/client/ctl/fake_operator.h"
#include "tests/client/ctl/sample_score.h"

namespace residency::ctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;
using Json = nlohmann::json;

class CommandsTest : public testing::Test {
 protected:
  Outcome Ctl(std::vector<std::string> arguments,
              const std::function<void(Environment&)>& tune = nullptr) {
    arguments.insert(arguments.end(), {"--socket", daemon_.socket()});
    return RunWith(std::move(arguments), tune);
  }

  void AddBlocks(int count) {
    for (int i = 0; i < count; ++i) {
      v1::BlockInfo block;
      block.set_block_id(static_cast<uint32_t>(i));
      block.set_name(absl::StrCat("b", i));
      daemon_.blocks.push_back(block);
    }
  }

  FakeOperator daemon_;
};

TEST_F(CommandsTest, StatusOfAHealthyDaemonExitsWithZero) {
  daemon_.sessions.add_sessions()->set_process("engine");
  const Outcome outcome = Ctl({"status"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, StartsWith("residencyd 9.9.9"));
  EXPECT_THAT(outcome.out, HasSubstr("engine"));
}

TEST_F(CommandsTest, AnUnhealthyDaemonExitsWithFiveAndItsProblems) {
  daemon_.status.set_healthy(false);
  daemon_.status.add_problems("the disk is full");
  for (const char* command : {"status", "health"}) {
    const Outcome outcome = Ctl({command});
    EXPECT_EQ(outcome.code, 5);
    EXPECT_THAT(outcome.out, HasSubstr("problem: the disk is full"));
  }
  const Json health = Json::parse(Ctl({"health", "-o", "json"}).out);
  EXPECT_EQ(health,
            (Json{{"healthy", false}, {"draining", false}, {"problems", {"the disk is full"}}}));
}

TEST_F(CommandsTest, JsonKeysAreFieldNamesDefaultsIncluded) {
  daemon_.status.set_uptime_us(uint64_t{1} << 60);
  const Json status = Json::parse(Ctl({"status", "-o", "json"}).out);
  EXPECT_EQ(status["uptime_us"], "1152921504606846976");
  EXPECT_EQ(status["draining"], false);
  EXPECT_EQ(status["last_tick_age_us"], "0");
  EXPECT_EQ(status["pools"], Json::array());
}

TEST_F(CommandsTest, VersionNamesBothSidesAndItsOwnWithoutADaemon) {
  EXPECT_THAT(Ctl({"version"}).out, HasSubstr("residencyd 9.9.9\n"));
  daemon_.Stop();
  const Outcome outcome = Ctl({"version"});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.out, StartsWith("residencyctl "));
  EXPECT_THAT(outcome.err, HasSubstr("cannot reach residencyd"));
}

TEST_F(CommandsTest, BlocksFollowPagesToTheLimit) {
  AddBlocks(2500);
  Outcome outcome = Ctl({"blocks", "--limit", "1500", "-o", "json"});
  EXPECT_EQ(Json::parse(outcome.out)["blocks"].size(), 1500u);
  EXPECT_THAT(outcome.err, HasSubstr("showed the first 1500 blocks; --limit 0 shows all"));
  EXPECT_THAT(daemon_.calls(), ElementsAre("ListBlocks size 1000", "ListBlocks size 500"));

  outcome = Ctl({"blocks", "--limit", "0", "-o", "json"});
  EXPECT_EQ(Json::parse(outcome.out)["blocks"].size(), 2500u);
  EXPECT_THAT(outcome.err, IsEmpty());
}

TEST_F(CommandsTest, BlocksPassTheirConditionsOn) {
  v1::ModelInfo& model = *daemon_.models.add_models();
  model.set_model_id(3);
  model.set_name("moe");
  Ctl({"blocks", "--model", "moe", "--state", "s4", "--layer", "7", "--name", "exp"});
  EXPECT_THAT(daemon_.calls(),
              ElementsAre("ListBlocks size 1000 model 3 state S4 layer 7 name exp"));
  EXPECT_EQ(Ctl({"blocks", "--model", "other"}).code, 4);
}

TEST_F(CommandsTest, AnAmbiguousModelNameIsNotGuessed) {
  daemon_.models.add_models()->set_name("moe");
  daemon_.models.add_models()->set_name("moe");
  const Outcome outcome = Ctl({"blocks", "--model", "moe"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("more than one model"));
}

TEST_F(CommandsTest, AnUnknownBlockExitsWithFourEverywhere) {
  const std::vector<std::vector<std::string>> kCommands = {
      {"block", "nine"}, {"explain", "nine"}, {"pin", "nine"}};
  for (const std::vector<std::string>& command : kCommands) {
    const Outcome outcome = Ctl(command);
    EXPECT_EQ(outcome.code, 4);
    EXPECT_EQ(outcome.err,
              "residencyctl: no block nine\n'residencyctl blocks --name TEXT' finds blocks\n");
  }
}

TEST_F(CommandsTest, BlockAndExplainTakeANameOrANumber) {
  AddBlocks(2);
  daemon_.explanation = SampleExplanation();
  EXPECT_THAT(Ctl({"block", "b1"}).out, StartsWith("block 1  /b1\n"));
  EXPECT_THAT(Ctl({"explain", "1"}).out, HasSubstr("the figures add up"));
  // A block may be named like a command.
  daemon_.blocks[0].set_name("status");
  EXPECT_THAT(Ctl({"block", "status"}).out, StartsWith("block 0  /status\n"));
}

TEST_F(CommandsTest, MovesCarryTargetAndDeadline) {
  EXPECT_EQ(Ctl({"promote", "1"}).out, "block 1 is in S0\n");
  EXPECT_EQ(Ctl({"demote", "moe/b", "--to", "s4", "--deadline", "2s"}).out,
            "block moe/b is in S4\n");
  EXPECT_THAT(daemon_.calls(),
              ElementsAre("PromoteBlock 1 S0 30000000", "DemoteBlock moe/b S4 2000000"));
}

TEST_F(CommandsTest, AVetoedMoveIsAnErrorThatNamesTheReason) {
  daemon_.move_result = {grpc::StatusCode::ABORTED, "vetoed: leased"};
  const Outcome outcome = Ctl({"demote", "1", "--to", "S3"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(outcome.err, "residencyctl: vetoed: leased\n'residencyctl explain 1' shows why\n");
}

TEST_F(CommandsTest, AMoveThatOutlivesItsOwnDeadlineIsNotAnUnreachableDaemon) {
  daemon_.move_result = {grpc::StatusCode::DEADLINE_EXCEEDED, "still fetching"};
  EXPECT_EQ(Ctl({"promote", "1"}).code, 1);
}

TEST_F(CommandsTest, EndsSessionsByNumber) {
  daemon_.sessions.add_sessions()->set_session_id(7);
  EXPECT_EQ(Ctl({"end-session", "7"}).out, "session 7 ended\n");
  EXPECT_EQ(Ctl({"end-session", "8"}).code, 4);
}

TEST_F(CommandsTest, DrainTellsHowManyLeasesWereHeld) {
  daemon_.status.set_leases(3);
  EXPECT_EQ(Ctl({"drain", "--deadline", "10s"}).out,
            "draining: 3 leases were held, deadline 10s\n");
  EXPECT_THAT(daemon_.calls(), ElementsAre("Drain 10000000"));
}

TEST_F(CommandsTest, DrainCanWaitUntilTheDaemonHasGone) {
  const Outcome outcome = Ctl({"drain", "--wait", "--timeout", "1s"}, [this](Environment& env) {
    env.wait = [this](absl::Duration) {
      daemon_.Stop();
      return true;
    };
  });
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, StartsWith("drained: "));
  EXPECT_THAT(outcome.err, IsEmpty());  // Progress is for terminals.
}

TEST_F(CommandsTest, ADaemonThatOutlivesItsDrainIsAnError) {
  const Outcome outcome =
      Ctl({"drain", "--wait", "--deadline", "50ms", "--timeout", "300ms"},
          [](Environment& env) { env.wait = [](absl::Duration) { return true; }; });
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("still runs"));
}

TEST_F(CommandsTest, PolicyGetShowsAllOrOne) {
  daemon_.policy.add_values()->set_key("alpha");
  daemon_.policy.add_values()->set_key("beta");
  const Json one = Json::parse(Ctl({"policy", "get", "beta", "-o", "json"}).out);
  ASSERT_EQ(one["values"].size(), 1u);
  EXPECT_EQ(one["values"][0]["key"], "beta");
  EXPECT_EQ(Json::parse(Ctl({"policy", "get", "-o", "json"}).out)["values"].size(), 2u);
  EXPECT_EQ(Ctl({"policy", "get", "gamma"}).code, 4);
}

TEST_F(CommandsTest, PolicySetShowsWhatItChanged) {
  daemon_.policy.add_values()->set_key("alpha");
  daemon_.policy.add_values()->set_key("beta");
  const Outcome outcome = Ctl({"policy", "set", "beta=a=b", "--no-headers"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "beta  a=b  operator\n");
  EXPECT_THAT(daemon_.calls(), ElementsAre("UpdatePolicy beta=a=b"));
}

TEST_F(CommandsTest, AMistypedPolicyKeyIsAnsweredWithTheNearestOne) {
  daemon_.policy.add_values()->set_key("alpha");
  daemon_.policy.add_values()->set_key("hysteresis");
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"policy", "set", "alpah=1"}, {"policy", "get", "alpah"}}) {
    const Outcome outcome = Ctl(arguments);
    EXPECT_EQ(outcome.code, 4);
    EXPECT_THAT(outcome.err, HasSubstr("did you mean alpha?"));
    EXPECT_THAT(outcome.err, HasSubstr("'residencyctl policy get' lists them all"));
  }
}

TEST_F(CommandsTest, ADrainingDaemonSaysWhenToTryAgain) {
  daemon_.move_result = {grpc::StatusCode::UNAVAILABLE, "the daemon is draining"};
  AddBlocks(1);
  const Outcome outcome = Ctl({"promote", "0"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("the daemon is draining: it takes no new work"));
  EXPECT_THAT(outcome.err, HasSubstr("try again after the restart"));
}

TEST_F(CommandsTest, OtherErrorsOfTheDaemonExitWithOne) {
  const Outcome outcome = Ctl({"unpin", "1"});  // Not offered by this daemon.
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("does not offer this call"));
}

}  // namespace
}  // namespace residency::ctl
