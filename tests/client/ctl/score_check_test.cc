#include "client/ctl/score_check.h"

#include <limits>

#include "gmock/gmock.h"
#include "tests/client/ctl/sample_score.h"

namespace residency::ctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(ScoreCheckTest, AnHonestScoreHasNoFindings) {
  EXPECT_THAT(CheckScore(SampleScore()), IsEmpty());
}

TEST(ScoreCheckTest, EachWrongFigureIsNamed) {
  v1::Score score = SampleScore();
  score.mutable_terms(1)->set_contribution(0.1);
  EXPECT_THAT(CheckScore(score),
              ElementsAre(HasSubstr("contribution of lambda"), HasSubstr("N is")));

  score = SampleScore();
  score.set_r(0.5);
  EXPECT_THAT(CheckScore(score), ElementsAre(HasSubstr("R is reported as 0.5")));

  score = SampleScore();
  score.set_k(score.k() * 1.000001);
  EXPECT_THAT(CheckScore(score), ElementsAre(HasSubstr("K is")));

  score = SampleScore();
  score.set_delta_us(10);
  EXPECT_THAT(CheckScore(score), ElementsAre(HasSubstr("unfloored cost")));
}

TEST(ScoreCheckTest, TheFloorIsChecked) {
  v1::Score score = SampleScore();
  score.set_cost_floored(false);
  EXPECT_THAT(CheckScore(score), ElementsAre(HasSubstr("not floored")));
}

TEST(ScoreCheckTest, NotANumberNeverAddsUp) {
  v1::Score score = SampleScore();
  score.set_k(std::numeric_limits<double>::quiet_NaN());
  EXPECT_THAT(CheckScore(score), ElementsAre(HasSubstr("K is")));
}

}  // namespace
}  // namespace residency::ctl
