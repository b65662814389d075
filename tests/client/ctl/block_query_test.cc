#include "client/ctl/block_query.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "tests/client/ctl/fake_operator.h"

namespace residency::ctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Json = nlohmann::json;

class BlockQueryTest : public testing::Test {
 protected:
  Outcome Blocks(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "blocks");
    arguments.insert(arguments.end(), {"--socket", daemon_.socket()});
    return RunWith(std::move(arguments));
  }
  void Add(const std::string& name, uint64_t bytes) {
    v1::BlockInfo& block = daemon_.blocks.emplace_back();
    block.set_block_id(static_cast<uint32_t>(daemon_.blocks.size() - 1));
    block.set_name(name);
    block.set_bytes(bytes);
  }
  FakeOperator daemon_;
};

TEST_F(BlockQueryTest, EveryConditionReachesTheDaemon) {
  daemon_.pools.add_pools()->set_name("nvme0");
  const Outcome outcome = Blocks({"--role", "Expert", "--expert", "7", "--pool", "nvme0", "--tier",
                                  "nvme", "--leased", "--pinned", "--lost", "--min-bytes", "64KiB",
                                  "--max-bytes", "1.5MB", "--element-type", "bf16"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(daemon_.calls(),
              ElementsAre("ListBlocks size 1000 role expert expert 7 pool nvme0 tier NVMe leased "
                          "pinned lost min 65536 max 1500000 element bf16"));
}

TEST_F(BlockQueryTest, NonsenseIsAUsageErrorThatSaysWhatIsWanted) {
  for (const auto& [option, value, wanted] :
       std::vector<std::tuple<const char*, const char*, const char*>>{
           {"--role", "boss", "expert, attention"},
           {"--tier", "tape", "HBM, DRAM or NVMe"},
           {"--element-type", "f8", "bf16"},
           {"--min-bytes", "-1", "1.5GiB"},
           {"--max-bytes", "many", "1.5GiB"},
           {"--sort", "colour", "leases"}}) {
    const Outcome outcome = Blocks({option, value});
    EXPECT_EQ(outcome.code, 2) << option;
    EXPECT_THAT(outcome.err, HasSubstr(wanted)) << option;
  }
  EXPECT_EQ(Blocks({"--reverse"}).code, 2);
  EXPECT_THAT(daemon_.calls(), IsEmpty());
}

TEST_F(BlockQueryTest, AnUnknownPoolNamesThoseThereAre) {
  daemon_.pools.add_pools()->set_name("hbm");
  daemon_.pools.add_pools()->set_name("dram");
  const Outcome outcome = Blocks({"--pool", "hmb"});
  EXPECT_EQ(outcome.code, 4);
  EXPECT_THAT(outcome.err, HasSubstr("there are: hbm, dram"));
}

TEST_F(BlockQueryTest, AShortListIsOrderedByTheDaemon) {
  for (int i = 0; i < 30; ++i) Add(absl::StrCat("b", i), 1);
  const Outcome outcome = Blocks({"--sort", "k", "--limit", "20"});
  EXPECT_THAT(outcome.err, HasSubstr("showed the first 20 of 30 blocks"));
  EXPECT_EQ(Blocks({"--sort", "bytes", "--reverse"}).err, "");
  EXPECT_EQ(Blocks({"--sort", "name"}).code, 0);
  EXPECT_THAT(daemon_.calls(), ElementsAre("ListBlocks size 20 by BLOCK_ORDER_K descending",
                                           "ListBlocks size 1000 by BLOCK_ORDER_BYTES",
                                           "ListBlocks size 1000 by BLOCK_ORDER_NAME"));
}

TEST_F(BlockQueryTest, ALongListIsFetchedWholeAndOrderedHere) {
  for (int i = 0; i < 1500; ++i) Add(absl::StrCat("b", i), static_cast<uint64_t>(i % 700));
  const Json all = Json::parse(Blocks({"--sort", "bytes", "--limit", "0", "-o", "json"}).out);
  ASSERT_EQ(all["blocks"].size(), 1500u);
  EXPECT_EQ(all["blocks"][0]["block_id"], 699);
  EXPECT_EQ(all["blocks"][1]["block_id"], 1399);
  EXPECT_EQ(all["blocks"][1499]["bytes"], "0");
  const Outcome some = Blocks({"--sort", "R", "--limit", "1200", "-o", "json"});
  EXPECT_EQ(Json::parse(some.out)["blocks"].size(), 1200u);
  EXPECT_THAT(some.err, HasSubstr("showed the first 1200 of 1,500 blocks"));
  EXPECT_THAT(daemon_.calls(), testing::Contains("ListBlocks size 1000 scores"));
}

TEST(ParseSizeTest, ReadsUnitsAndNothingElse) {
  EXPECT_EQ(ParseSize("4096"), 4096u);
  EXPECT_EQ(ParseSize("1.5GiB"), 1610612736u);
  EXPECT_EQ(ParseSize("2 MiB"), 2097152u);
  EXPECT_EQ(ParseSize("3kB"), 3000u);
  EXPECT_EQ(ParseSize("8B"), 8u);
  for (const char* bad : {"", "KiB", "-1", "nan", "1e30", "5XB"}) {
    EXPECT_FALSE(ParseSize(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace residency::ctl
