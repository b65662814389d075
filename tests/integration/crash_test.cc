// What lasts when the daemon is killed at any instant, and what a client alive across it sees.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/integration/node_process.h"
#include "tests/integration/test_checkpoint.h"

namespace residency::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// Holds a checkpoint of 17 MiB only in parts: staging to disk has to happen.
NodeOptions SmallNode() {
  return {.hbm = "8MiB", .hbm_segment = "2MiB", .dram = "16MiB", .dram_segment = "2MiB"};
}

std::string AttachCommand(const std::string& path) {
  return absl::StrCat("attach ", path, " ", 2 << 20, " ", 1 << 20);
}

void Attach(EngineProcess& engine, const std::string& path) {
  ASSERT_THAT(engine.Do("connect"), StartsWith("ok"));
  ASSERT_THAT(engine.Do(AttachCommand(path)), StartsWith("ok"));
}

bool HasLiveCopyOnDisk(const v1::BlockInfo& block) {
  for (const v1::CopyInfo& copy : block.copies()) {
    if (copy.tier() == v1::TIER_NVME && copy.status() == "live") return true;
  }
  return false;
}

bool AllOnDisk(NodeProcess& node) {
  const auto blocks = node.Blocks();
  return !blocks.empty() && std::all_of(blocks.begin(), blocks.end(), HasLiveCopyOnDisk);
}

uint64_t MovedBytes(const v1::GetStatusResponse& status, const std::string& link_name) {
  for (const v1::LinkStatus& link : status.links()) {
    if (link.name() != link_name) continue;
    return link.demand_bytes() + link.prefetch_bytes() + link.rebalance_bytes();
  }
  ADD_FAILURE() << "no link " << link_name;
  return 0;
}

uint64_t BlocksIn(const v1::GetStatusResponse& status, v1::ResidencyState wanted) {
  for (const v1::StateCount& state : status.states()) {
    if (state.state() == wanted) return state.blocks();
  }
  return 0;
}

// Leases every block once and lets go; the number of those with wrong bytes or no bytes at all.
uint64_t ReadEverything(EngineProcess& engine) {
  uint64_t bad = 0;
  for (const std::string& name : NamesIn(engine.Do("names"))) {
    const std::string answer = engine.Do("acquire " + name);
    if (!answer.starts_with("ok wrong=0 ")) {
      ADD_FAILURE() << name << ": " << answer;
      ++bad;
    }
    EXPECT_THAT(engine.Do("release"), StartsWith("ok"));
  }
  return bad;
}

TEST(CrashTest, StagedBlocksAreThereAfterAKillWithoutTheirFile) {
  NodeProcess node(SmallNode());
  node.Start();
  const std::string path = WriteTestCheckpoint(node.directory(), "a.safetensors");
  size_t count = 0;
  {
    EngineProcess engine(node.runtime_dir());
    Attach(engine, path);
    count = NamesIn(engine.Do("names")).size();
    EXPECT_EQ(ReadEverything(engine), 0u);
    ASSERT_TRUE(WaitFor([&] { return AllOnDisk(node); }, std::chrono::seconds(60)))
        << node.Ctl({"status"});
    engine.Kill();
    node.Kill();
  }
  node.Start();
  // Some may be on their way up already.
  EXPECT_THAT(node.Log(), HasSubstr(absl::StrCat("restored 1 models, ", count, " blocks, ", count,
                                                 " extents")));
  EXPECT_TRUE(AllOnDisk(node));
  EXPECT_EQ(BlocksIn(node.Status(), v1::RESIDENCY_STATE_S6_RECOMPUTABLE), 0u);
  EngineProcess engine(node.runtime_dir());
  Attach(engine, path);
  EXPECT_EQ(ReadEverything(engine), 0u);
  EXPECT_EQ(MovedBytes(node.Status(), "file_dram"), 0u);
  EXPECT_EQ(node.Status().counters().checksum_failures(), 0u);
}

TEST(CrashTest, EnginesAliveAcrossAKillUnderLoadNeverSeeAWrongByte) {
  NodeProcess node(SmallNode());
  node.Start();
  const std::string path = WriteTestCheckpoint(node.directory(), "a.safetensors");
  EngineProcess first(node.runtime_dir());
  EngineProcess second(node.runtime_dir());
  for (EngineProcess* engine : {&first, &second}) Attach(*engine, path);
  const std::string held = absl::StrCat("acquire ", ExpertName(0, 0), " ", ExpertName(3, 1));
  ASSERT_THAT(first.Do(held), StartsWith("ok wrong=0"));

  const uint64_t before = node.Status().counters().acquires();
  first.Send("churn 400 2 1");
  second.Send("churn 400 2 2");
  ASSERT_TRUE(WaitFor([&] { return node.Status().counters().acquires() > before + 40; }));
  node.Kill();
  node.Start();
  for (EngineProcess* engine : {&first, &second}) {
    const std::string churned = engine->Answer(std::chrono::seconds(60));
    ASSERT_THAT(churned, StartsWith("ok wrong=0 failed=0 granted=800"));
    EXPECT_TRUE(WaitFor([&] { return NumberIn(engine->Do("stats"), "reconnects") == 1; }));
  }
  // What was leased from the daemon that is gone: still mapped, and unchanged.
  EXPECT_THAT(first.Do("hash"), StartsWith("ok wrong=0 orphaned=2 revoked=0 held=2"));
  EXPECT_THAT(first.Do(held), StartsWith("ok wrong=0"));
  EXPECT_THAT(first.Do("hash"), StartsWith("ok wrong=0 orphaned=2 revoked=0 held=4"));
  EXPECT_THAT(first.Do("release"), StartsWith("ok"));
  EXPECT_EQ(ReadEverything(first), 0u);
}

TEST(CrashTest, AKillAtAnyInstantOfStagingLosesNoByte) {
  constexpr int kKills = 10;
  NodeProcess node(SmallNode());
  node.Start();
  for (int i = 0; i < kKills; ++i) {
    SCOPED_TRACE(absl::StrCat("kill ", i));
    // Something new to stage each time: 16 experts of 192 KiB and what is around them.
    const std::string path = WriteTestCheckpoint(
        node.directory(), absl::StrCat("kill", i, ".safetensors"),
        {.layers = 2, .experts = 8, .expert_bytes = 192 << 10, .seed = 100 + uint64_t(i)});
    EngineProcess engine(node.runtime_dir());
    Attach(engine, path);
    engine.Send("churn 40 3 7");
    const auto wanted = static_cast<uint64_t>(2 * i + 1);
    ASSERT_TRUE(WaitFor([&] {
      const auto status = node.Status();
      // Odd kills: while something is on its way.
      return status.counters().stages() >= wanted && (i % 2 == 0 || status.live_transitions() > 0);
    })) << node.Ctl({"status"});
    node.Kill();
    node.Start();
    ASSERT_THAT(engine.Answer(std::chrono::seconds(60)), StartsWith("ok wrong=0 failed=0"));
    EXPECT_EQ(ReadEverything(engine), 0u);
    const auto counters = node.Status().counters();
    EXPECT_EQ(counters.checksum_failures(), 0u);
    EXPECT_EQ(counters.lost_blocks(), 0u);
    if (HasFailure()) return;
  }
}

TEST(CrashTest, AKillLosesVolatileBlocksAndSaysSoAndKeepsDurableOnes) {
  // Staging may write a volatile block down all the same, and then it is not lost.
  NodeOptions options = SmallNode();
  options.extra = "[policy]\nstage_nvme = false\n";
  NodeProcess node(options);
  node.Start();
  EngineProcess engine(node.runtime_dir());
  ASSERT_THAT(engine.Do("connect"), StartsWith("ok"));
  ASSERT_THAT(engine.Do("attachblocks repacked kept:300000 gone:300000"), StartsWith("ok"));
  ASSERT_THAT(engine.Do("put kept 300000 1 durable"), StartsWith("ok"));
  ASSERT_THAT(engine.Do("put gone 300000 2 volatile"), StartsWith("ok"));
  ASSERT_FALSE(HasLiveCopyOnDisk(node.Block("gone")));
  node.Kill();
  node.Start();
  EXPECT_THAT(engine.Do("acquire kept"), StartsWith("ok wrong=0"));
  EXPECT_THAT(engine.Do("acquire gone"), StartsWith("error DATA_LOSS"));
  EXPECT_TRUE(node.Block("gone").lost());
  EXPECT_FALSE(node.Status().healthy());
  EXPECT_THAT(engine.Do("put gone 300000 2 volatile"), StartsWith("ok"));
  EXPECT_THAT(engine.Do("acquire gone"), StartsWith("ok wrong=0"));
  EXPECT_TRUE(WaitFor([&] { return node.Status().healthy(); }));
}

TEST(CrashTest, TerminationDrainsEndsWithZeroAndLeavesNoSocket) {
  NodeProcess node(SmallNode());
  node.Start();
  const std::string path = WriteTestCheckpoint(node.directory(), "a.safetensors");
  EngineProcess engine(node.runtime_dir());
  Attach(engine, path);
  ASSERT_THAT(engine.Do("acquire " + ExpertName(0, 0)), StartsWith("ok wrong=0"));
  node.Signal(SIGTERM);
  ASSERT_TRUE(WaitFor([&] { return node.Log().find("leases are held") != std::string::npos; }));
  EXPECT_TRUE(node.running()) << "a drain waits for leases";
  EXPECT_THAT(engine.Do("hash"), StartsWith("ok wrong=0"));
  engine.Kill();
  EXPECT_EQ(node.AwaitExit(), 0) << node.Log();
  for (const char* name : {"engine.sock", "operator.sock", "side.sock"}) {
    EXPECT_NE(access(absl::StrCat(node.runtime_dir(), "/", name).c_str(), F_OK), 0) << name;
  }
}

std::string ReadFile(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

void WriteFile(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::trunc) << text;
}

TEST(CrashTest, AReloadTakesAValidFileWholeAndAnInvalidOneNotAtAll) {
  NodeProcess node;
  node.ExpectWarnings({"the configuration was not reloaded"});
  node.Start();
  const std::string config = ReadFile(node.config_path());
  const std::string before = node.Ctl({"policy", "get"});
  EXPECT_THAT(node.Ctl({"policy", "get", "hysteresis", "-o", "json"}), HasSubstr("0.05"));

  // The weights do not sum to 1; the hysteresis beside them would be fine.
  WriteFile(node.config_path(), config + "[policy]\nhysteresis = 0.07\nw1 = 0.9\n");
  node.Signal(SIGHUP);
  ASSERT_TRUE(WaitFor(
      [&] { return node.Log().find("the configuration was not reloaded") != std::string::npos; }));
  EXPECT_EQ(node.Ctl({"policy", "get"}), before);

  WriteFile(node.config_path(), config + "[policy]\nhysteresis = 0.07\n");
  node.Signal(SIGHUP);
  ASSERT_TRUE(WaitFor([&] { return node.Log().find("policy reloaded") != std::string::npos; }));
  const std::string after = node.Ctl({"policy", "get", "hysteresis", "-o", "json"});
  EXPECT_THAT(after, HasSubstr("0.07"));
  EXPECT_THAT(after, HasSubstr("POLICY_SOURCE_FILE"));
}

// `shared` of both is that of `first`.
void ExpectSecondRefused(std::string (NodeProcess::*shared)() const) {
  NodeProcess first(SmallNode());
  first.Start();
  NodeProcess second(SmallNode());
  second.ExpectWarnings({"is in use by another residencyd"});
  WriteFile(second.config_path(), absl::StrReplaceAll(ReadFile(second.config_path()),
                                                      {{(second.*shared)(), (first.*shared)()}}));
  EXPECT_EQ(second.StartExpectingExit(), 1);
  const std::string wanted =
      absl::StrCat((first.*shared)(), " is in use by another residencyd (process ", first.pid(),
                   "): stop it first");
  EXPECT_THAT(second.Log(), HasSubstr(wanted));

  const std::string path = WriteTestCheckpoint(first.directory(), "a.safetensors");
  EngineProcess engine(first.runtime_dir());
  Attach(engine, path);
  EXPECT_THAT(engine.Do("acquire " + ExpertName(0, 0)), StartsWith("ok wrong=0"));
}

TEST(CrashTest, ASecondDaemonOnTheSameStateIsRefusedAndTheFirstGoesOn) {
  ExpectSecondRefused(&NodeProcess::state_dir);
}

TEST(CrashTest, ASecondDaemonOnTheSameSocketsIsRefusedAndTheFirstGoesOn) {
  ExpectSecondRefused(&NodeProcess::runtime_dir);
}

}  // namespace
}  // namespace residency::testing
