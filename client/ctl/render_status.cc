// The state of the daemon on one screen.
#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/ctl/format.h"
#include "client/ctl/names.h"
#include "client/ctl/render.h"
#include "client/ctl/table.h"

namespace residency::ctl {
namespace {

constexpr size_t kInstanceDigits = 12;  // Of 32; enough to see that the daemon is another one.
constexpr size_t kVetoesShown = 5;
constexpr int kSessionsShown = 5;
constexpr size_t kStateBarWidth = 20;

std::string Heading(const char* text, const View& view) {
  return absl::StrCat("\n", view.style.Apply(Paint::kHeading, text), "\n");
}

std::string Health(const v1::GetStatusResponse& status, const View& view) {
  std::string out = status.healthy() ? view.style.Apply(Paint::kGood, "healthy")
                                     : view.style.Apply(Paint::kBad, "unhealthy");
  if (status.draining()) {
    absl::StrAppend(&out, view.style.Apply(Paint::kWarning, ", draining: refuses new work"));
  }
  absl::StrAppend(&out, "\n");
  for (const std::string& problem : status.problems()) {
    absl::StrAppend(&out, "  problem: ", view.style.Apply(Paint::kBad, Printable(problem)), "\n");
  }
  return out;
}

std::string Identity(const v1::GetStatusResponse& status, const View& view) {
  std::string instance = FormatHex(status.daemon_instance());
  if (!view.wide) instance = instance.substr(0, kInstanceDigits);
  return absl::StrCat(
      view.style.Apply(Paint::kHeading, absl::StrCat("residencyd ", Printable(status.version()))),
      "  instance ", instance.empty() ? "-" : instance, "  up ",
      FormatMicros(static_cast<double>(status.uptime_us())), "  policy ",
      Printable(status.policy()), "\n");
}

std::string Totals(const v1::GetStatusResponse& status) {
  return absl::StrCat(
      "models ", FormatCount(status.models()), "  blocks ", FormatCount(status.blocks()),
      "  sessions ", FormatCount(status.sessions()), "  leases ", FormatCount(status.leases()),
      "  waiting batches ", FormatCount(status.waiting_batches()), "  live transitions ",
      FormatCount(status.live_transitions()), "\nticks ", FormatCount(status.ticks()),
      "  last took ", FormatMicros(static_cast<double>(status.last_tick_us())), ", ",
      FormatMicros(static_cast<double>(status.last_tick_age_us())), " ago\n");
}

std::string States(const v1::GetStatusResponse& status, const View& view) {
  uint64_t total = 0;
  for (const v1::StateCount& state : status.states()) total += state.bytes();
  Table table({{"STATE"},
               {"MEANING"},
               {"BLOCKS", Align::kRight},
               {"SIZE", Align::kRight},
               {"SHARE OF BYTES"}});
  for (const v1::StateCount& state : status.states()) {
    const double share = total == 0 ? 0 : static_cast<double>(state.bytes()) / total;
    table.AddRow({StateName(state.state()), StateDescription(state.state()),
                  FormatCount(state.blocks()),
                  view.wide ? absl::StrCat(state.bytes()) : FormatSize(state.bytes()),
                  RenderBar(share, 0, kStateBarWidth)});
  }
  return table.Render(view);
}

std::string ServedFrom(const v1::Counters& counters) {
  std::string out;
  for (const v1::StateCount& state : counters.served_from()) {
    if (state.blocks() == 0) continue;
    absl::StrAppend(&out, out.empty() ? "" : "  ", StateName(state.state()), " ",
                    FormatCount(state.blocks()));
  }
  return out.empty() ? "nothing yet" : out;
}

// The most frequent first: what holds the planner back.
std::string Vetoes(const v1::Counters& counters, const View& view) {
  std::vector<const v1::VetoCount*> vetoes;
  for (const v1::VetoCount& veto : counters.vetoes()) {
    if (veto.count() > 0) vetoes.push_back(&veto);
  }
  std::stable_sort(vetoes.begin(), vetoes.end(),
                   [](const auto* a, const auto* b) { return a->count() > b->count(); });
  std::string out;
  const size_t shown = view.wide ? vetoes.size() : std::min(vetoes.size(), kVetoesShown);
  for (size_t i = 0; i < shown; ++i) {
    absl::StrAppend(&out, i == 0 ? "" : "  ", vetoes[i]->reason(), " ",
                    EdgeName(vetoes[i]->from(), vetoes[i]->to()), " ",
                    FormatCount(vetoes[i]->count()));
  }
  if (shown < vetoes.size()) {
    absl::StrAppend(&out, "  and ", vetoes.size() - shown, " more kinds (-o wide)");
  }
  return out.empty() ? "none" : out;
}

std::string HitShare(const v1::Counters& c) {
  if (c.acquires() == 0) return "";
  return absl::StrCat(" (", FormatPercent(static_cast<double>(c.acquires_hit()) / c.acquires()),
                      ")");
}

std::string CountersText(const v1::Counters& c, const View& view) {
  Table table({{"WHAT"}, {"COUNTS"}});
  table.AddRow(
      {"acquires", absl::StrCat(FormatCount(c.acquires()), "  hit ", FormatCount(c.acquires_hit()),
                                HitShare(c), "  failed ", FormatCount(c.acquires_failed()),
                                "  stall ", FormatMicros(static_cast<double>(c.stall_us())))});
  table.AddRow({"served from", ServedFrom(c)});
  table.AddRow(
      {"moves", absl::StrCat("promotions ", FormatCount(c.promotions()), "  demotions ",
                             FormatCount(c.demotions()), "  stages ", FormatCount(c.stages()),
                             "  cancelled ", FormatCount(c.transitions_cancelled()), "  recalls ",
                             FormatCount(c.recalls()))});
  table.AddRow({"prefetches", absl::StrCat("begun ", FormatCount(c.prefetches_begun()), "  used ",
                                           FormatCount(c.prefetches_used()), "  wasted ",
                                           FormatCount(c.prefetches_wasted()))});
  table.AddRow({"events", absl::StrCat("accepted ", FormatCount(c.events_accepted()), "  dropped ",
                                       FormatCount(c.events_dropped()))});
  const bool damaged = c.checksum_failures() > 0 || c.lost_blocks() > 0;
  table.AddRow(
      {"integrity", Cell(absl::StrCat("checksum failures ", FormatCount(c.checksum_failures()),
                                      "  lost blocks ", FormatCount(c.lost_blocks()),
                                      "  protection lost ", FormatCount(c.protection_lost())),
                         damaged ? Paint::kBad : Paint::kPlain)});
  table.AddRow({"vetoes", Vetoes(c, view)});
  View plain = view;
  plain.headers = false;
  plain.width = 0;  // Better wrapped by the terminal than cut.
  return table.Render(plain);
}

std::string SessionsText(const v1::ListSessionsResponse& sessions, const View& view) {
  if (sessions.sessions().empty()) return "  none\n";
  const int count = sessions.sessions_size();
  if (count <= kSessionsShown || view.wide) return RenderSessions(sessions, view);
  v1::ListSessionsResponse first = sessions;
  first.mutable_sessions()->DeleteSubrange(kSessionsShown, count - kSessionsShown);
  return absl::StrCat(RenderSessions(first, view), "  and ", count - kSessionsShown,
                      " more: residencyctl sessions\n");
}

}  // namespace

std::string RenderHealth(const v1::GetStatusResponse& status, const View& view) {
  return Health(status, view);
}

std::string RenderStatus(const v1::GetStatusResponse& status,
                         const v1::ListSessionsResponse& sessions, const View& outer) {
  View view = outer;
  view.indent = 2;
  std::string out = absl::StrCat(Identity(status, view), Health(status, view));
  for (const std::string& note : status.notes()) {
    absl::StrAppend(&out, "  note: ", Printable(note), "\n");
  }
  absl::StrAppend(&out, Totals(status));
  absl::StrAppend(&out, Heading("pools", view), RenderPools(status.pools(), view));
  absl::StrAppend(&out, Heading("states", view), States(status, view));
  if (!status.links().empty()) {
    absl::StrAppend(&out, Heading("links", view), RenderLinks(status.links(), view));
  }
  absl::StrAppend(&out, Heading("counters since start", view),
                  CountersText(status.counters(), view));
  return absl::StrCat(out, Heading("sessions", view), SessionsText(sessions, view));
}

}  // namespace residency::ctl
