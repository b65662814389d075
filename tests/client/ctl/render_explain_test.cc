#include "client/ctl/render.h"
#include "gmock/gmock.h"
#include "tests/client/ctl/sample_score.h"

namespace residency::ctl {
namespace {

using testing::HasSubstr;

TEST(RenderExplainTest, ShowsTheWholeArithmetic) {
  EXPECT_EQ(RenderExplain(SampleExplanation(), View{}),
            R"(block 17  moe/layers.3.experts.5
  S3 staged in host DRAM, 4096 bytes, expert, leases 0, pins 0

now  tick 8123
contribution = weight * activity * value
  TERM    MEANING             WEIGHT  ACTIVITY  VALUE  CONTRIBUTION
  rho     reuse                  0.4         1    0.5           0.2
  lambda  routing likelihood     0.3         1   0.25         0.075
  kappa   criticality            0.2       0.5    0.8          0.08
  psi     sensitivity            0.1       0.5    0.3         0.015
  N       sum                                                  0.37
cost = (alpha * delta + beta * tau) / unit
     = (1 * 0 us + 1 * 812.5 us) / 1000 us = 0.8125, floored to 1
R = N / cost = 0.37 / 1 = 0.37
K = N * restore_us / bytes = 0.37 * 812.5 / 4096 = 0.0733947754
check: the figures add up

pool pressure    93.1 %
threshold        0.05  lowest K kept in the target pool
K_victim         0.08 * (1 + 0.05) = 0.084; K is not above it
competing block  4 moe/layers.3.experts.1
verdict          keep S3: the victim is worth more

recent decisions
  TICK     AGE  VERDICT  EDGE         R        K  K_VICTIM  PRESSURE  REASON             COMPETING
  8000  6.15 s  demote   S0 -> S3  0.37  0.07339      0.08    93.1 %  room for a demand  4 moe/layers.3.experts.1
)");
}

TEST(RenderExplainTest, SaysWhenFiguresDoNotAddUp) {
  v1::ExplainBlockResponse explanation = SampleExplanation();
  explanation.mutable_now()->mutable_score()->set_r(7);
  EXPECT_THAT(RenderExplain(explanation, View{}),
              HasSubstr("check: does not add up: R is reported as 7 but its parts give 0.3"));
}

TEST(RenderExplainTest, WideShowsEveryDigitOfADouble) {
  View view;
  view.wide = true;
  EXPECT_THAT(RenderExplain(SampleExplanation(), view), HasSubstr("0.080000000000000016"));
}

TEST(RenderExplainTest, ABlockThatWasNeverScoredSaysSo) {
  v1::ExplainBlockResponse explanation = SampleExplanation();
  explanation.clear_now();
  explanation.clear_decisions();
  EXPECT_EQ(RenderExplain(explanation, View{}),
            "block 17  moe/layers.3.experts.5\n"
            "  S3 staged in host DRAM, 4096 bytes, expert, leases 0, pins 0\n"
            "\n"
            "not scored yet: the next tick will\n"
            "\n"
            "recent decisions\n"
            "  none in the ring\n");
}

TEST(RenderExplainTest, WithoutACompetitorNoneIsInvented) {
  v1::ExplainBlockResponse explanation = SampleExplanation();
  explanation.mutable_now()->clear_competing_block_id();
  explanation.mutable_now()->set_k_victim(0);
  const std::string text = RenderExplain(explanation, View{});
  EXPECT_THAT(text, HasSubstr("K_victim         none compared\n"));
  EXPECT_THAT(text, HasSubstr("competing block  none\n"));
}

}  // namespace
}  // namespace residency::ctl
