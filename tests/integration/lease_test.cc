// What a lease promises between real processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/integration/node_process.h"
#include "tests/integration/test_checkpoint.h"

namespace residency::testing {
namespace {

using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr uint64_t kLeased = uint64_t{2} << 20;
constexpr uint64_t kBatch = uint64_t{1} << 20;

// 32 experts of 512 KiB against 8 MiB of HBM.
class LeaseTest : public ::testing::Test {
 protected:
  void SetUp() override {
    node_.Start();
    path_ = WriteTestCheckpoint(node_.directory(), "a.safetensors");
  }

  void Attach(EngineProcess& engine, uint64_t leased = kLeased, uint64_t batch = kBatch) {
    ASSERT_THAT(engine.Do("connect"), StartsWith("ok"));
    ASSERT_THAT(engine.Do(absl::StrCat("attach ", path_, " ", leased, " ", batch)),
                StartsWith("ok"));
  }

  // The session of `engine`, as operators see it.
  std::string SessionOf(const EngineProcess& engine) {
    const std::string sessions = node_.Ctl({"sessions", "--no-headers"});
    for (const absl::string_view line : absl::StrSplit(sessions, '\n')) {
      const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
      for (const std::string& word : words) {
        if (word == absl::StrCat(engine.pid())) return words.front();
      }
    }
    ADD_FAILURE() << "no session of process " << engine.pid() << " in:\n" << sessions;
    return "";
  }

  uint64_t Leases() { return node_.Status().leases(); }

  NodeProcess node_{
      {.hbm = "8MiB", .hbm_segment = "2MiB", .dram = "16MiB", .dram_segment = "2MiB"}};
  std::string path_;
};

std::string AcquireExperts(uint32_t layer, uint32_t first, uint32_t count) {
  std::string command = "acquire";
  for (uint32_t i = 0; i < count; ++i) {
    absl::StrAppend(&command, " ", ExpertName(layer, first + i));
  }
  return command;
}

TEST_F(LeaseTest, LeasesOfAKilledEngineAreBackWithinASecond) {
  EngineProcess engine(node_.runtime_dir());
  Attach(engine);
  ASSERT_THAT(engine.Do(AcquireExperts(0, 0, 2)), StartsWith("ok wrong=0"));
  ASSERT_THAT(engine.Do(AcquireExperts(0, 2, 1) + " mode=pinned"), StartsWith("ok wrong=0"));
  ASSERT_TRUE(WaitFor([&] { return Leases() == 3; }));
  engine.Kill();
  EXPECT_TRUE(WaitFor([&] { return Leases() == 0; }, seconds(1)));
  EXPECT_TRUE(WaitFor([&] { return node_.Status().sessions() == 0; }, seconds(1)));
}

TEST_F(LeaseTest, BytesHeldByAStoppedEngineNeverChange) {
  EngineProcess stopped(node_.runtime_dir());
  EngineProcess busy(node_.runtime_dir());
  Attach(stopped);
  Attach(busy);
  ASSERT_THAT(stopped.Do(AcquireExperts(0, 0, 2)), StartsWith("ok wrong=0"));
  ASSERT_THAT(stopped.Do(AcquireExperts(1, 0, 1) + " mode=pinned"), StartsWith("ok wrong=0"));
  stopped.Signal(SIGSTOP);
  // Several times the pool goes through it meanwhile.
  EXPECT_THAT(busy.Do("churn 60 2 5", seconds(60)), StartsWith("ok wrong=0 failed=0 granted=120"));
  stopped.Signal(SIGCONT);
  EXPECT_THAT(stopped.Do("hash"), StartsWith("ok wrong=0 orphaned=0 revoked=0 held=3"));
}

TEST_F(LeaseTest, AHitInTheLeaseCacheSendsNothing) {
  EngineProcess engine(node_.runtime_dir());
  Attach(engine);
  ASSERT_THAT(engine.Do(AcquireExperts(0, 0, 2)), StartsWith("ok wrong=0"));
  ASSERT_THAT(engine.Do("release"), StartsWith("ok"));
  const std::string before = engine.Do("stats");
  for (int i = 0; i < 50; ++i) {
    ASSERT_THAT(engine.Do(AcquireExperts(0, 0, 2)), StartsWith("ok wrong=0"));
    ASSERT_THAT(engine.Do("release"), StartsWith("ok"));
  }
  const std::string after = engine.Do("stats");
  EXPECT_EQ(NumberIn(after, "local_hits"), NumberIn(before, "local_hits") + 100);
  for (const char* unchanged : {"misses", "stream", "unary"}) {
    EXPECT_EQ(NumberIn(after, unchanged), NumberIn(before, unchanged)) << unchanged;
  }
}

TEST_F(LeaseTest, APinnedLeaseVetoesDemotionUntilItIsReleased) {
  EngineProcess engine(node_.runtime_dir());
  Attach(engine);
  const std::string name = ExpertName(0, 0);
  ASSERT_THAT(engine.Do(absl::StrCat("acquire ", name, " mode=pinned")), StartsWith("ok wrong=0"));
  int status = -1;
  EXPECT_THAT(node_.Ctl({"demote", name, "--to", "S3"}, &status), HasSubstr("vetoed: leased"));
  EXPECT_EQ(status, 1);
  EXPECT_EQ(node_.Block(name).state(), v1::RESIDENCY_STATE_S0_FULL_HBM);
  EXPECT_THAT(engine.Do("hash"), StartsWith("ok wrong=0"));
  ASSERT_THAT(engine.Do("release"), StartsWith("ok"));
  ASSERT_TRUE(WaitFor([&] { return Leases() == 0; }));
  // A copy that came a moment ago may still have to stay a moment.
  std::string answer;
  EXPECT_TRUE(WaitFor([&] {
    answer = node_.Ctl({"demote", name, "--to", "S3"}, &status);
    return status == 0;
  })) << answer;
  EXPECT_EQ(node_.Block(name).state(), v1::RESIDENCY_STATE_S3_DRAM);
}

TEST_F(LeaseTest, ACachedLeaseIsGivenBackWhenItIsRecalled) {
  EngineProcess engine(node_.runtime_dir());
  Attach(engine);
  const std::string name = ExpertName(0, 0);
  ASSERT_THAT(engine.Do("acquire " + name), StartsWith("ok wrong=0"));
  ASSERT_THAT(engine.Do("release"), StartsWith("ok"));
  ASSERT_TRUE(WaitFor([&] { return Leases() == 1; })) << "the cache keeps it";
  int status = -1;
  std::string answer;
  EXPECT_TRUE(WaitFor([&] {
    answer = node_.Ctl({"demote", name, "--to", "S3"}, &status);
    return status == 0;
  })) << answer;
  EXPECT_EQ(NumberIn(engine.Do("stats"), "recalls"), 1u);
  EXPECT_TRUE(WaitFor([&] { return Leases() == 0; }));
  EXPECT_THAT(engine.Do("acquire " + name), AllOf(StartsWith("ok wrong=0"), HasSubstr("S3")));
}

TEST_F(LeaseTest, MoreThanWasDeclaredIsRefusedWithTheNumbers) {
  EngineProcess engine(node_.runtime_dir());
  Attach(engine);
  EXPECT_THAT(engine.Do(AcquireExperts(0, 0, 3)),
              AllOf(StartsWith("error INVALID_ARGUMENT"), HasSubstr("max_batch_bytes 1048576")));
  ASSERT_THAT(engine.Do(AcquireExperts(0, 0, 2)), StartsWith("ok wrong=0"));
  ASSERT_THAT(engine.Do(AcquireExperts(0, 2, 2)), StartsWith("ok wrong=0"));
  EXPECT_THAT(engine.Do(AcquireExperts(0, 4, 1)),
              AllOf(StartsWith("error RESOURCE_EXHAUSTED"), HasSubstr("max_leased_bytes 2097152")));
  EXPECT_THAT(engine.Do("hash"), StartsWith("ok wrong=0"));
  ASSERT_THAT(engine.Do("release"), StartsWith("ok"));
  EXPECT_THAT(engine.Do(AcquireExperts(0, 4, 1)), StartsWith("ok wrong=0"));
}

TEST_F(LeaseTest, ADeadlineWithoutRoomNamesWhoHoldsIt) {
  // Its cache holds more than it may have in use, and it does not answer when asked for it.
  EngineProcess hoarder(node_.runtime_dir());
  EngineProcess other(node_.runtime_dir());
  Attach(hoarder, kBatch);
  Attach(other, 6 * kBatch);
  for (uint32_t layer = 0; layer < 2; ++layer) {
    for (uint32_t expert = 0; expert < 8; expert += 2) {
      ASSERT_THAT(hoarder.Do(AcquireExperts(layer, expert, 2)), StartsWith("ok wrong=0"));
      ASSERT_THAT(hoarder.Do("release"), StartsWith("ok"));
    }
  }
  const std::string session = SessionOf(hoarder);
  hoarder.Signal(SIGSTOP);
  std::string refused;
  for (uint32_t i = 0; i < 12 && refused.empty(); ++i) {
    const std::string answer = other.Do(AcquireExperts(2 + i / 8, i % 8, 1) + " deadline_ms=1500");
    if (absl::StartsWith(answer, "error")) refused = answer;
  }
  EXPECT_THAT(other.Do("hash"), StartsWith("ok wrong=0"));
  hoarder.Signal(SIGCONT);
  EXPECT_THAT(refused, AllOf(StartsWith("error RESOURCE_EXHAUSTED"), HasSubstr("deadline: "),
                             HasSubstr(absl::StrCat("session ", session, " holds "))));
  // As soon as it answers there is room.
  ASSERT_THAT(other.Do("release"), StartsWith("ok"));
  EXPECT_THAT(other.Do("churn 20 2 3"), StartsWith("ok wrong=0 failed=0"));
}

}  // namespace
}  // namespace residency::testing
