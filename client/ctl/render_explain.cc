// The whole arithmetic of a decision, laid out so that each line can be checked from those above.
#include "absl/strings/str_cat.h"
#include "client/ctl/format.h"
#include "client/ctl/names.h"
#include "client/ctl/render.h"
#include "client/ctl/score_check.h"
#include "client/ctl/table.h"

namespace residency::ctl {
namespace {

// Enough that products and sums of what is shown agree in eight digits; all of a double in wide.
constexpr int kDigits = 9;
constexpr int kDigitsWide = 17;
constexpr int kDigitsInList = 4;
constexpr int kDigitsInListWide = 9;

int Digits(const View& view) { return view.wide ? kDigitsWide : kDigits; }

std::string Figure(double value, const View& view) { return FormatFigure(value, Digits(view)); }

const char* TermMeaning(const std::string& name) {
  if (name == "rho") return "reuse";
  if (name == "lambda") return "routing likelihood";
  if (name == "kappa") return "criticality";
  if (name == "psi") return "sensitivity";
  return "";
}

Paint VerdictPaint(const std::string& verdict) {
  if (verdict == "veto") return Paint::kBad;
  if (verdict == "demote" || verdict == "recall") return Paint::kWarning;
  if (verdict == "promote" || verdict == "prefetch" || verdict == "stage") return Paint::kGood;
  return Paint::kPlain;
}

std::string RenderTerms(const v1::Score& score, const View& view) {
  Table table({{"TERM"},
               {"MEANING"},
               {"WEIGHT", Align::kRight},
               {"ACTIVITY", Align::kRight},
               {"VALUE", Align::kRight},
               {"CONTRIBUTION", Align::kRight}});
  for (const v1::ScoreTerm& term : score.terms()) {
    table.AddRow({term.name(), TermMeaning(term.name()), Figure(term.weight(), view),
                  Figure(term.activity(), view), Figure(term.value(), view),
                  Figure(term.contribution(), view)});
  }
  table.AddRow({"N", "sum", "", "", "", Cell(Figure(score.numerator(), view), Paint::kHeading)});
  View always = view;
  always.width = 0;
  always.indent = 2;
  return absl::StrCat("contribution = weight * activity * value\n", table.Render(always));
}

std::string RenderCost(const v1::Score& score, const View& view) {
  const auto figure = [&view](double value) { return Figure(value, view); };
  std::string out = absl::StrCat(
      "cost = (alpha * delta + beta * tau) / unit\n     = (", figure(score.alpha()), " * ",
      figure(score.delta_us()), " us + ", figure(score.beta()), " * ", figure(score.tau_us()),
      " us) / ", figure(score.cost_unit_us()), " us = ", figure(score.cost_unfloored()));
  if (score.cost_floored()) {
    absl::StrAppend(&out, ", floored to ", figure(score.cost()), "\n");
  } else {
    absl::StrAppend(&out, ", not floored\n");
  }
  return out;
}

std::string RenderScore(const v1::Score& score, const View& view) {
  const std::string n = Figure(score.numerator(), view);
  std::string out = RenderTerms(score, view);
  absl::StrAppend(&out, RenderCost(score, view));
  absl::StrAppend(&out, "R = N / cost = ", n, " / ", Figure(score.cost(), view), " = ",
                  Figure(score.r(), view), "\n");
  absl::StrAppend(&out, "K = N * restore_us / bytes = ", n, " * ", Figure(score.restore_us(), view),
                  " / ", score.bytes(), " = ", Figure(score.k(), view), "\n");
  const std::vector<std::string> findings = CheckScore(score);
  if (findings.empty()) {
    absl::StrAppend(&out, "check: ", view.style.Apply(Paint::kGood, "the figures add up"), "\n");
  }
  for (const std::string& finding : findings) {
    absl::StrAppend(&out, "check: ", view.style.Apply(Paint::kBad, "does not add up: "), finding,
                    "\n");
  }
  return out;
}

std::string Competitor(const v1::Decision& decision) {
  if (!decision.has_competing_block_id()) return "none";
  return absl::StrCat(decision.competing_block_id(), " ", decision.competing_block());
}

// K against the victim's, with the hysteresis that keeps equals from changing places.
std::string VictimLine(const v1::Decision& decision, const View& view) {
  if (!decision.has_competing_block_id() && decision.k_victim() == 0) return "none compared";
  const double bar = decision.k_victim() * (1 + decision.hysteresis());
  return absl::StrCat(Figure(decision.k_victim(), view), " * (1 + ",
                      Figure(decision.hysteresis(), view), ") = ", Figure(bar, view),
                      decision.score().k() > bar ? "; K is above it" : "; K is not above it");
}

std::string RenderVerdict(const v1::Decision& decision, const View& view) {
  View plain = view;
  plain.headers = false;
  plain.width = 0;
  Table table({{"FIELD"}, {"VALUE"}});
  table.AddRow({"pool pressure", FormatPercent(decision.pool_pressure())});
  table.AddRow({"threshold", absl::StrCat(Figure(decision.threshold(), view),
                                          "  lowest K kept in the target pool")});
  table.AddRow({"K_victim", VictimLine(decision, view)});
  table.AddRow({"competing block", Competitor(decision)});
  std::string verdict =
      absl::StrCat(decision.verdict(), " ", EdgeName(decision.from(), decision.to()));
  if (!decision.reason().empty()) absl::StrAppend(&verdict, ": ", decision.reason());
  table.AddRow({"verdict", Cell(std::move(verdict), VerdictPaint(decision.verdict()))});
  return table.Render(plain);
}

// On a narrow terminal the reason needs the room of what the figures above have anyway.
Table HistoryTable(const View& view) {
  std::vector<Column> columns = {
      {"TICK", Align::kRight}, {"AGE", Align::kRight}, {"VERDICT"}, {"EDGE"}};
  if (!view.narrow()) columns.push_back({"R", Align::kRight});
  columns.push_back({"K", Align::kRight});
  columns.push_back({"K_VICTIM", Align::kRight});
  if (!view.narrow()) columns.push_back({"PRESSURE", Align::kRight});
  if (view.wide) {
    columns.push_back({"N", Align::kRight});
    columns.push_back({"COST", Align::kRight});
    columns.push_back({"THRESHOLD", Align::kRight});
  }
  columns.push_back({"REASON", Align::kLeft, true});
  columns.push_back({"COMPETING", Align::kLeft, true});
  return Table(std::move(columns));
}

std::string RenderHistory(const google::protobuf::RepeatedPtrField<v1::Decision>& decisions,
                          const View& view) {
  Table table = HistoryTable(view);
  const int digits = view.wide ? kDigitsInListWide : kDigitsInList;
  for (const v1::Decision& decision : decisions) {
    const v1::Score& score = decision.score();
    std::vector<Cell> row = {absl::StrCat(decision.tick()),
                             FormatMicros(static_cast<double>(decision.age_us())),
                             Cell(decision.verdict(), VerdictPaint(decision.verdict())),
                             EdgeName(decision.from(), decision.to())};
    if (!view.narrow()) row.push_back(FormatFigure(score.r(), digits));
    row.push_back(FormatFigure(score.k(), digits));
    row.push_back(FormatFigure(decision.k_victim(), digits));
    if (!view.narrow()) row.push_back(FormatPercent(decision.pool_pressure()));
    if (view.wide) {
      row.push_back(FormatFigure(score.numerator(), digits));
      row.push_back(FormatFigure(score.cost(), digits));
      row.push_back(FormatFigure(decision.threshold(), digits));
    }
    row.push_back(decision.reason());
    row.push_back(Competitor(decision));
    table.AddRow(std::move(row));
  }
  View indented = view;
  indented.indent = 2;
  return table.empty() ? "  none in the ring\n" : table.Render(indented);
}

std::string RenderSubject(const v1::BlockInfo& block, const View& view) {
  const std::string title = absl::StrCat("block ", block.block_id(), "  ", Printable(block.model()),
                                         "/", Printable(block.name()));
  std::string state = absl::StrCat(StateName(block.state()), " ", StateDescription(block.state()));
  if (block.state() == v1::RESIDENCY_STATE_S5_IN_FLIGHT) {
    absl::StrAppend(&state, " ", EdgeName(block.in_flight_from(), block.in_flight_to()));
  }
  return absl::StrCat(view.style.Apply(Paint::kHeading, title), "\n  ", state, ", ", block.bytes(),
                      " bytes, ", RoleName(block.role()), ", leases ", block.leases(), ", pins ",
                      block.pins(), block.lost() ? ", lost" : "", "\n");
}

}  // namespace

std::string RenderExplain(const v1::ExplainBlockResponse& explanation, const View& view) {
  std::string out = RenderSubject(explanation.block(), view);
  if (explanation.has_now()) {
    absl::StrAppend(&out, "\n", view.style.Apply(Paint::kHeading, "now"), "  tick ",
                    explanation.now().tick(), "\n", RenderScore(explanation.now().score(), view),
                    "\n", RenderVerdict(explanation.now(), view));
  } else {
    absl::StrAppend(&out, "\nnot scored yet: the next tick will\n");
  }
  return absl::StrCat(out, "\n", view.style.Apply(Paint::kHeading, "recent decisions"), "\n",
                      RenderHistory(explanation.decisions(), view));
}

}  // namespace residency::ctl
