#include "client/ctl/near_names.h"

#include "gmock/gmock.h"
#include "tests/client/ctl/fake_operator.h"

namespace residency::ctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class NearNamesTest : public testing::Test {
 protected:
  NearNamesTest() {
    uint32_t id = 0;
    for (const char* name : {"layers.3.experts.5", "layers.3.experts.15", "layers.4.experts.6",
                             "embed", "layers.3.norm"}) {
      v1::BlockInfo& block = daemon_.blocks.emplace_back();
      block.set_block_id(id++);
      block.set_model("moe");
      block.set_name(name);
    }
  }
  FakeOperator daemon_;
  OperatorClient client_{daemon_.socket(), absl::Seconds(5)};
};

TEST_F(NearNamesTest, TyposAtEitherEndAndWrongModelsAreSeenThrough) {
  EXPECT_EQ(NearBlocks(client_, "layers.3.expert.5").front(), "moe/layers.3.experts.5");
  EXPECT_EQ(NearBlocks(client_, "lyers.4.experts.6").front(), "moe/layers.4.experts.6");
  EXPECT_EQ(NearBlocks(client_, "mow/embed").front(), "moe/embed");
}

TEST_F(NearNamesTest, NothingAlikeIsNothingNamed) {
  EXPECT_THAT(NearBlocks(client_, "zzzzzz"), IsEmpty());
  EXPECT_THAT(NearBlocks(client_, "x"), IsEmpty());
  daemon_.Stop();
  EXPECT_THAT(NearBlocks(client_, "embed"), IsEmpty());
}

TEST_F(NearNamesTest, AnUnknownBlockIsAnsweredWithThem) {
  const Outcome outcome = RunWith({"block", "layers.3.nrom", "--socket", daemon_.socket()});
  EXPECT_EQ(outcome.code, 4);
  EXPECT_THAT(outcome.err, HasSubstr("did you mean moe/layers.3.norm"));
}

TEST(EditDistanceTest, CountsChanges) {
  EXPECT_EQ(EditDistance("", "abc"), 3u);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3u);
  EXPECT_EQ(EditDistance("same", "same"), 0u);
}

}  // namespace
}  // namespace residency::ctl
