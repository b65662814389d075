#include "client/ctl/score_check.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "client/ctl/format.h"

namespace residency::ctl {
namespace {

constexpr double kTolerance = 1e-9;  // Relative; absolute below 1e-9, where terms are noise.
constexpr double kCostFloor = 1.0;

bool Agree(double a, double b) {
  // Written so that a NaN never agrees.
  return std::abs(a - b) <= kTolerance * std::max({std::abs(a), std::abs(b), kTolerance});
}

class Findings {
 public:
  void Compare(const std::string& what, double reported, double recomputed) {
    if (Agree(reported, recomputed)) return;
    found_.push_back(absl::StrCat(what, " is reported as ", FormatFigure(reported, 12),
                                  " but its parts give ", FormatFigure(recomputed, 12)));
  }
  void Add(std::string finding) { found_.push_back(std::move(finding)); }
  std::vector<std::string> Take() { return std::move(found_); }

 private:
  std::vector<std::string> found_;
};

}  // namespace

std::vector<std::string> CheckScore(const v1::Score& score) {
  Findings findings;
  double sum = 0;
  for (const v1::ScoreTerm& term : score.terms()) {
    findings.Compare(absl::StrCat("contribution of ", Printable(term.name())), term.contribution(),
                     term.weight() * term.activity() * term.value());
    sum += term.contribution();
  }
  findings.Compare("N", score.numerator(), sum);
  if (score.cost_unit_us() > 0) {
    const double moved = score.alpha() * score.delta_us() + score.beta() * score.tau_us();
    findings.Compare("unfloored cost", score.cost_unfloored(), moved / score.cost_unit_us());
  } else {
    findings.Add("the cost unit is not above zero");
  }
  findings.Compare("cost", score.cost(), std::max(score.cost_unfloored(), kCostFloor));
  if (score.cost_floored() != (score.cost_unfloored() < kCostFloor)) {
    findings.Add(absl::StrCat("the cost is reported as ", score.cost_floored() ? "" : "not ",
                              "floored, which contradicts its unfloored value"));
  }
  if (score.cost() > 0) findings.Compare("R", score.r(), score.numerator() / score.cost());
  if (score.bytes() > 0) {
    findings.Compare("K", score.k(),
                     score.numerator() * score.restore_us() / static_cast<double>(score.bytes()));
  }
  return findings.Take();
}

}  // namespace residency::ctl
