// Engines that together want more than the node has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "absl/strings/str_cat.h"
#include "tests/integration/node_process.h"
#include "tests/integration/test_checkpoint.h"

namespace residency::testing {
namespace {

using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr uint64_t kMiB = uint64_t{1} << 20;

NodeOptions SmallNode() {
  return {.hbm = "8MiB", .hbm_segment = "2MiB", .dram = "16MiB", .dram_segment = "2MiB"};
}

std::string AttachCommand(const std::string& path, uint64_t leased, uint64_t batch) {
  return absl::StrCat("attach ", path, " ", leased, " ", batch);
}

TEST(TwoEnginesTest, TheSecondThatWantsMoreThanHalfIsRefusedAndToldWhy) {
  NodeProcess node(SmallNode());
  node.Start();
  const std::string path = WriteTestCheckpoint(node.directory(), "a.safetensors");
  const std::string half = AttachCommand(path, 9 * kMiB / 2, kMiB);
  EngineProcess first(node.runtime_dir());
  EngineProcess second(node.runtime_dir());
  for (EngineProcess* engine : {&first, &second}) {
    ASSERT_THAT(engine->Do("connect"), StartsWith("ok"));
  }
  ASSERT_THAT(first.Do(half), StartsWith("ok"));
  EXPECT_THAT(second.Do(half),
              AllOf(StartsWith("error RESOURCE_EXHAUSTED"), HasSubstr("max_leased_bytes: "),
                    HasSubstr("do not fit pool hbm of "), HasSubstr("of other sessions"),
                    HasSubstr("declare less, or end a session")));
  // Nobody else is worse off, and one that declares less comes in.
  EXPECT_THAT(first.Do("acquire " + ExpertName(0, 0)), StartsWith("ok wrong=0"));
  EXPECT_THAT(second.Do(AttachCommand(path, 2 * kMiB, kMiB)), StartsWith("ok"));
  EXPECT_THAT(second.Do("acquire " + ExpertName(0, 0)), StartsWith("ok wrong=0"));
  // What the first declared ends with it.
  first.Kill();
  ASSERT_TRUE(WaitFor([&] { return node.Status().sessions() == 1; }));
  EngineProcess third(node.runtime_dir());
  ASSERT_THAT(third.Do("connect"), StartsWith("ok"));
  EXPECT_THAT(third.Do(half), StartsWith("ok"));
}

TEST(TwoEnginesTest, TwoThatCycleThroughFarMoreThanThePoolBothGetOn) {
  NodeProcess node(SmallNode());
  node.Start();
  // 2 x 17 MiB through 8 MiB.
  EngineProcess first(node.runtime_dir());
  EngineProcess second(node.runtime_dir());
  uint64_t seed = 1;
  for (EngineProcess* engine : {&first, &second}) {
    const std::string path =
        WriteTestCheckpoint(node.directory(), absl::StrCat(seed, ".safetensors"), {.seed = seed});
    ++seed;
    ASSERT_THAT(engine->Do("connect"), StartsWith("ok"));
    ASSERT_THAT(engine->Do(AttachCommand(path, 3 * kMiB, kMiB)), StartsWith("ok"));
  }
  first.Send("churn 150 2 1");
  second.Send("churn 150 2 2");
  for (EngineProcess* engine : {&first, &second}) {
    EXPECT_THAT(engine->Answer(seconds(120)), StartsWith("ok wrong=0 failed=0 granted=300"));
  }
  EXPECT_TRUE(WaitFor([&] { return node.Status().waiting_batches() == 0; }));
  EXPECT_EQ(node.Status().counters().checksum_failures(), 0u);
}

TEST(TwoEnginesTest, BothHoldTheSameBytesOfOneFileAtOnce) {
  NodeProcess node(SmallNode());
  node.Start();
  const std::string path = WriteTestCheckpoint(node.directory(), "a.safetensors");
  EngineProcess first(node.runtime_dir());
  EngineProcess second(node.runtime_dir());
  for (EngineProcess* engine : {&first, &second}) {
    ASSERT_THAT(engine->Do("connect"), StartsWith("ok"));
    ASSERT_THAT(engine->Do(AttachCommand(path, 2 * kMiB, kMiB)), StartsWith("ok"));
    ASSERT_THAT(engine->Do("acquire " + ExpertName(1, 1)), StartsWith("ok wrong=0"));
  }
  const v1::BlockInfo block = node.Block(ExpertName(1, 1));
  EXPECT_EQ(block.leases(), 2u);
  EXPECT_EQ(node.Blocks().front().model_id(), node.Blocks().back().model_id());
  // One going leaves the other its bytes.
  first.Kill();
  ASSERT_TRUE(WaitFor([&] { return node.Block(ExpertName(1, 1)).leases() == 1; }));
  EXPECT_THAT(second.Do("hash"), StartsWith("ok wrong=0 orphaned=0 revoked=0"));
}

}  // namespace
}  // namespace residency::testing
