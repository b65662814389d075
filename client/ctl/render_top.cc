// What hurts, on one screen: how much engines wait, for which blocks, and what is in the way.
#include <algorithm>
#include <iterator>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/ctl/columns.h"
#include "client/ctl/format.h"
#include "client/ctl/names.h"
#include "client/ctl/render.h"
#include "client/ctl/render_live.h"
#include "client/ctl/table.h"

namespace residency::ctl {
namespace {

using Lines = std::vector<std::string>;

constexpr size_t kWideFrom = 120;  // Columns from which two tables stand side by side.
constexpr size_t kRowsUnlimited = 60;
constexpr size_t kProblemsShown = 2;
constexpr size_t kPoolsShown = 5;
constexpr size_t kLinksShown = 6;
constexpr size_t kLinksShownLow = 3;
constexpr size_t kRoomyFrom = 30;   // Rows from which blank lines set the parts off.
constexpr size_t kSessionsMin = 2;  // Shown even where blocks want all the room.
constexpr double kPressureHigh = 0.95;
constexpr double kStallHigh = 100e3;  // Microseconds a second.
constexpr double kHitLow = 0.9;

std::string PerSecond(double rate) { return absl::StrCat(FormatShort(rate), "/s"); }

std::string Painted(const View& view, bool bad, const std::string& text) {
  return view.style.Apply(bad ? Paint::kBad : Paint::kPlain, text);
}

// ---------------------------------------------------------------- the head

std::string FirstLine(const Interval& interval, const TopView& top) {
  const v1::GetStatusResponse& status = interval.now().status;
  std::string health = top.view.style.Apply(Paint::kGood, "healthy");
  if (!status.healthy()) health = top.view.style.Apply(Paint::kBad, "UNHEALTHY");
  if (status.draining()) {
    absl::StrAppend(&health, " ", top.view.style.Apply(Paint::kWarning, "DRAINING"));
  }
  const std::string span = interval.since_start()
                               ? "means since start"
                               : absl::StrCat("last ", FormatMicros(interval.seconds() * 1e6));
  return absl::StrCat(
      top.view.style.Apply(Paint::kHeading,
                           absl::StrCat("residencyd ", Printable(status.version()))),
      "  ", health, "  up ", FormatMicros(static_cast<double>(status.uptime_us())), "  ",
      absl::FormatTime("%H:%M:%S", top.clock, absl::LocalTimeZone()), "  ", span);
}

std::string AcquireLine(const Interval& interval, const View& view) {
  const v1::GetStatusResponse& status = interval.now().status;
  const double stall_us = interval.Rate(&v1::Counters::stall_us);
  const double failed = interval.Rate(&v1::Counters::acquires_failed);
  const std::optional<double> hits = interval.HitShare();
  return absl::StrCat(
      Painted(view, stall_us >= kStallHigh, absl::StrFormat("stall %.3f s/s", stall_us * 1e-6)),
      "  acquires ", PerSecond(interval.Rate(&v1::Counters::acquires)), "  ",
      Painted(view, hits.value_or(1) < kHitLow,
              absl::StrCat("hit ", hits.has_value() ? FormatPercent(*hits) : "-")),
      "  ", Painted(view, failed > 0, absl::StrCat("failed ", PerSecond(failed))), "  waiting ",
      FormatCount(status.waiting_batches()), "  leases ", FormatCount(status.leases()));
}

std::string TickLine(const Interval& interval) {
  const v1::GetStatusResponse& status = interval.now().status;
  const uint64_t ticks_before =
      interval.before() == nullptr ? 0 : interval.before()->status.ticks();
  return absl::StrCat("ticks ", PerSecond(interval.Rate(ticks_before, status.ticks())), ", took ",
                      FormatMicros(static_cast<double>(status.last_tick_us())), ", ",
                      FormatMicros(static_cast<double>(status.last_tick_age_us())), " ago  models ",
                      FormatCount(status.models()), "  blocks ", FormatCount(status.blocks()),
                      "  in flight ", FormatCount(status.live_transitions()));
}

std::string MoveLine(const Interval& interval) {
  const auto rate = [&interval](uint64_t (v1::Counters::*counter)() const) {
    return FormatShort(interval.Rate(counter));
  };
  return absl::StrCat("moves/s  up ", rate(&v1::Counters::promotions), "  down ",
                      rate(&v1::Counters::demotions), "  staged ", rate(&v1::Counters::stages),
                      "  cancelled ", rate(&v1::Counters::transitions_cancelled), "  prefetched ",
                      rate(&v1::Counters::prefetches_begun), "  wasted ",
                      rate(&v1::Counters::prefetches_wasted));
}

std::string VetoLine(const Interval& interval) {
  std::string out = "vetoes/s ";
  const std::vector<VetoRate> vetoes = VetoRates(interval);
  for (const VetoRate& veto : vetoes) {
    absl::StrAppend(&out, " ", Printable(veto.reason), " ", FormatShort(veto.per_second), " ");
  }
  if (vetoes.empty()) absl::StrAppend(&out, " none");
  return out;
}

// What has gone wrong since the start, and is worth a line only then.
void AddDamage(const Interval& interval, const View& view, Lines& lines) {
  const v1::GetStatusResponse& status = interval.now().status;
  const auto shown = std::min<size_t>(status.problems_size(), kProblemsShown);
  for (size_t i = 0; i < shown; ++i) {
    lines.push_back(view.style.Apply(
        Paint::kBad, absl::StrCat("problem: ", Printable(status.problems(static_cast<int>(i))))));
  }
  if (static_cast<size_t>(status.problems_size()) > shown) {
    lines.push_back(
        absl::StrCat(status.problems_size() - shown, " more problems: residencyctl health"));
  }
  const v1::Counters& c = status.counters();
  const double dropped = interval.Rate(&v1::Counters::events_dropped);
  if (c.checksum_failures() == 0 && c.lost_blocks() == 0 && dropped <= 0) return;
  lines.push_back(view.style.Apply(
      Paint::kBad,
      absl::StrCat("checksum failures ", FormatCount(c.checksum_failures()), "  lost blocks ",
                   FormatCount(c.lost_blocks()), "  reports dropped ", PerSecond(dropped))));
}

// ---------------------------------------------------------------- tables

// The bar takes what room there is.
Table Pools(const v1::GetStatusResponse& status, const View& view) {
  Table table({{"POOL", Align::kLeft, true},
               {"USED+RESERVED"},
               {"FULL", Align::kRight},
               {"USED", Align::kRight},
               {"OF", Align::kRight},
               {"LEASED", Align::kRight}});
  constexpr size_t kOthers = 50;  // What the other columns take at most.
  const size_t bar = view.width == 0 ? 20 : std::clamp<size_t>(view.width - kOthers, 10, 30);
  std::vector<const v1::Pool*> pools;
  for (const v1::Pool& pool : status.pools()) pools.push_back(&pool);
  if (pools.size() > kPoolsShown) {  // The fullest of them.
    std::ranges::stable_sort(pools, [](const v1::Pool* a, const v1::Pool* b) {
      return a->pressure_ratio() > b->pressure_ratio();
    });
    pools.resize(kPoolsShown);
  }
  for (const v1::Pool* shown : pools) {
    const v1::Pool& pool = *shown;
    const double capacity = static_cast<double>(std::max<uint64_t>(pool.capacity_bytes(), 1));
    const bool high = pool.pressure_ratio() >= kPressureHigh;
    table.AddRow({pool.name(),
                  Cell(RenderBar(static_cast<double>(pool.used_bytes()) / capacity,
                                 static_cast<double>(pool.reserved_bytes()) / capacity, bar),
                       high ? Paint::kWarning : Paint::kGood),
                  FormatPercent(pool.pressure_ratio()), FormatSize(pool.used_bytes()),
                  FormatSize(pool.capacity_bytes()), FormatSize(pool.leased_bytes())});
  }
  return table;
}

double ClassRateOf(const LinkRate& link, std::string_view name) {
  for (const ClassRate& cls : link.classes) {
    if (cls.name == name) return cls.bytes_per_second;
  }
  return 0;
}

// The busiest first; idle ones are left out.
Table Links(const Interval& interval, size_t rows) {
  Table table({{"LINK MB/S", Align::kLeft, true},
               {"DEMAND", Align::kRight},
               {"PREFETCH", Align::kRight},
               {"REBALANCE", Align::kRight},
               {"QUEUED", Align::kRight},
               {"CAN DO", Align::kRight}});
  std::vector<LinkRate> links = LinkRates(interval);
  std::erase_if(links, [](const LinkRate& link) { return link.Idle(); });
  std::ranges::stable_sort(links, std::ranges::greater(), &LinkRate::BytesPerSecond);
  for (size_t i = 0; i < std::min(links.size(), rows); ++i) {
    const LinkRate& link = links[i];
    table.AddRow({link.name, FormatMegabytes(ClassRateOf(link, "demand")),
                  FormatMegabytes(ClassRateOf(link, "prefetch")),
                  FormatMegabytes(ClassRateOf(link, "rebalance")), FormatSize(link.QueuedBytes()),
                  link.bandwidth > 0 ? FormatMegabytes(link.bandwidth) : "-"});
  }
  if (links.empty()) table.AddRow({"all idle", "", "", "", "", ""});
  return table;
}

std::vector<const v1::BlockMisses*> SortedMisses(const v1::ListMissesResponse& misses,
                                                 TopSort sort) {
  std::vector<const v1::BlockMisses*> sorted;
  for (const v1::BlockMisses& block : misses.blocks()) sorted.push_back(&block);
  std::ranges::stable_sort(sorted, [sort](const auto* a, const auto* b) {
    switch (sort) {
      case TopSort::kMisses:
        return a->misses_per_second() > b->misses_per_second();
      case TopSort::kBytes:
        return a->bytes() > b->bytes();
      case TopSort::kName:
        return a->name() < b->name();
      case TopSort::kStall:
        break;
    }
    return a->stall_us_per_second() > b->stall_us_per_second();
  });
  return sorted;
}

Table Blocks(const Interval& interval, const TopView& top, size_t rows) {
  const bool wide = top.view.width == 0 || top.view.width >= kWideFrom;
  std::vector<Column> columns = {{"ID", Align::kRight},
                                 {"BLOCK WAITED FOR", Align::kLeft, true, true},
                                 {"STALL/S", Align::kRight},
                                 {"MISSES/S", Align::kRight},
                                 {"FROM"},
                                 {"NOW"},
                                 {"SIZE", Align::kRight}};
  if (wide) {
    columns.push_back({"LAYER", Align::kRight});
    columns.push_back({"EXPERT", Align::kRight});
    columns.push_back({"MODEL", Align::kLeft, true, true});
  }
  Table table(std::move(columns));
  const auto sorted = SortedMisses(interval.now().misses, top.sort);
  for (size_t i = 0; i < std::min(sorted.size(), rows); ++i) {
    const v1::BlockMisses& block = *sorted[i];
    std::vector<Cell> row = {absl::StrCat(block.block_id()),
                             block.name(),
                             FormatMicros(block.stall_us_per_second()),
                             FormatShort(block.misses_per_second()),
                             StateName(block.served_from()),
                             StateName(block.state()),
                             FormatSize(block.bytes())};
    if (wide) {
      row.push_back(block.layer() < 0 ? "-" : absl::StrCat(block.layer()));
      row.push_back(block.expert() < 0 ? "-" : absl::StrCat(block.expert()));
      row.push_back(block.model());
    }
    table.AddRow(std::move(row));
  }
  return table;
}

std::vector<SessionRate> SortedSessions(const Interval& interval, TopSort sort) {
  std::vector<SessionRate> sessions = SessionRates(interval);
  std::ranges::stable_sort(sessions, [sort](const SessionRate& a, const SessionRate& b) {
    switch (sort) {
      case TopSort::kMisses:
        return a.waited > b.waited;
      case TopSort::kBytes:
        return a.session->leased_bytes() > b.session->leased_bytes();
      case TopSort::kName:
        return a.session->process() < b.session->process();
      case TopSort::kStall:
        break;
    }
    return a.stall_us > b.stall_us;
  });
  return sessions;
}

Table Sessions(const Interval& interval, const TopView& top, size_t rows) {
  const bool wide = top.view.width == 0 || top.view.width >= kWideFrom;
  std::vector<Column> columns = {{"SESSION", Align::kLeft, true}, {"PID", Align::kRight},
                                 {"STALL/S", Align::kRight},      {"ACQ/S", Align::kRight},
                                 {"WAITED/S", Align::kRight},     {"WAITING", Align::kRight},
                                 {"LEASED", Align::kRight}};
  if (wide) {
    columns.push_back({"MAX", Align::kRight});
    columns.push_back({"FAILED", Align::kRight});
    columns.push_back({"UNANSWERED", Align::kRight});
    columns.push_back({"MODELS", Align::kLeft, true, true});
  }
  columns.push_back({"HEALTH", Align::kLeft, true});
  Table table(std::move(columns));
  const std::vector<SessionRate> sessions = SortedSessions(interval, top.sort);
  for (size_t i = 0; i < std::min(sessions.size(), rows); ++i) {
    const v1::SessionInfo& session = *sessions[i].session;
    std::vector<Cell> row = {absl::StrCat(session.session_id(), " ", session.process()),
                             absl::StrCat(session.pid()),
                             FormatMicros(sessions[i].stall_us),
                             FormatShort(sessions[i].acquires),
                             FormatShort(sessions[i].waited),
                             FormatCount(session.acquires_waiting()),
                             FormatSize(session.leased_bytes())};
    if (wide) {
      row.push_back(FormatSize(session.max_leased_bytes()));
      row.push_back(FormatCount(session.acquires_failed()));
      row.push_back(absl::StrCat(session.recalls_unanswered()));
      row.push_back(absl::StrJoin(session.models(), ","));
    }
    row.push_back(
        session.healthy()
            ? Cell("ok", Paint::kGood)
            : Cell(session.problem().empty() ? "unhealthy" : session.problem(), Paint::kBad));
    table.AddRow(std::move(row));
  }
  return table;
}

// ---------------------------------------------------------------- the screen

bool Roomy(const TopView& top) { return top.rows == 0 || top.rows >= kRoomyFrom; }

void Append(const Lines& more, Lines& lines) {
  lines.insert(lines.end(), more.begin(), more.end());
}

Lines PoolsAndLinks(const Interval& interval, const TopView& top) {
  View view = top.view;
  const Table links = Links(interval, Roomy(top) ? kLinksShown : kLinksShownLow);
  if (view.width >= kWideFrom) {
    constexpr size_t kGap = 3;
    view.width = (top.view.width - kGap) / 2;
    const Lines pools = SplitLines(Pools(interval.now().status, view).Render(view));
    return SideBySide(pools, SplitLines(links.Render(view)), view.width + kGap);
  }
  Lines lines = SplitLines(Pools(interval.now().status, view).Render(view));
  if (Roomy(top)) lines.push_back("");
  Append(SplitLines(links.Render(view)), lines);
  return lines;
}

struct Shares {
  size_t blocks = 0;
  size_t sessions = 0;
};

// Rows for the two lists out of `left`, which also holds their heads: blocks get what sessions
// leave.
Shares Share(size_t left, size_t blocks, size_t sessions) {
  Shares shares;
  const size_t rows = left > 2 ? left - 2 : 0;
  shares.sessions =
      std::min({sessions, rows, std::max(kSessionsMin, rows - std::min(rows, blocks))});
  shares.blocks = std::min(blocks, rows - shares.sessions);
  return shares;
}

}  // namespace

const char* Name(TopSort sort) {
  constexpr const char* kNames[] = {"stall", "misses", "bytes", "name"};
  return kNames[static_cast<int>(sort)];
}

std::string RenderTop(const Interval& interval, const TopView& top) {
  const View& view = top.view;
  const Lines gap = Roomy(top) ? Lines{""} : Lines{};
  Lines lines = {FirstLine(interval, top)};
  AddDamage(interval, view, lines);
  Append({AcquireLine(interval, view), TickLine(interval), MoveLine(interval), VetoLine(interval)},
         lines);
  Append(gap, lines);
  Append(PoolsAndLinks(interval, top), lines);
  Append(gap, lines);

  const size_t rows = top.rows == 0 ? kRowsUnlimited : top.rows;
  // The gap before sessions, the keys, and the line that the cursor rests on.
  const size_t others = lines.size() + gap.size() + (top.keys ? 1 : 0) + (top.rows == 0 ? 0 : 1);
  const Shares shares = Share(rows > others ? rows - others : 0,
                              static_cast<size_t>(interval.now().misses.blocks_size()),
                              static_cast<size_t>(interval.now().sessions.sessions_size()));
  const auto append = [&](const Table& table, bool none, const char* if_none) {
    Append(none ? Lines{view.style.Apply(Paint::kFaint, if_none)} : SplitLines(table.Render(view)),
           lines);
  };
  append(Blocks(interval, top, shares.blocks), interval.now().misses.blocks().empty(),
         "no block is waited for");
  Append(gap, lines);
  append(Sessions(interval, top, shares.sessions), interval.now().sessions.sessions().empty(),
         "no session is open");
  if (top.keys) {
    lines.push_back(view.style.Apply(
        Paint::kFaint, absl::StrCat("q quit   s sort (now by ", Name(top.sort), ")")));
  }
  std::string out;
  for (const std::string& line : lines) {
    absl::StrAppend(&out, view.width == 0 ? line : CutLine(line, view.width), "\n");
  }
  return out;
}

nlohmann::ordered_json TopDocument(const Interval& interval) {
  using Json = nlohmann::ordered_json;
  Json vetoes = Json::array();
  for (const VetoRate& veto : VetoRates(interval)) {
    vetoes.push_back({{"reason", veto.reason}, {"per_second", veto.per_second}});
  }
  Json sessions = Json::array();
  for (const SessionRate& rate : SortedSessions(interval, TopSort::kStall)) {
    sessions.push_back({{"session_id", absl::StrCat(rate.session->session_id())},
                        {"process", rate.session->process()},
                        {"acquires_per_second", rate.acquires},
                        {"waited_per_second", rate.waited},
                        {"stall_us_per_second", rate.stall_us}});
  }
  Json blocks = Json::array();
  for (const v1::BlockMisses& block : interval.now().misses.blocks()) {
    blocks.push_back({{"block_id", block.block_id()},
                      {"model", block.model()},
                      {"name", block.name()},
                      {"state", v1::ResidencyState_Name(block.state())},
                      {"served_from", v1::ResidencyState_Name(block.served_from())},
                      {"misses_per_second", block.misses_per_second()},
                      {"stall_us_per_second", block.stall_us_per_second()}});
  }
  const std::optional<double> hits = interval.HitShare();
  return {{"seconds", interval.seconds()},
          {"since_start", interval.since_start()},
          {"healthy", interval.now().status.healthy()},
          {"draining", interval.now().status.draining()},
          {"stall_us_per_second", interval.Rate(&v1::Counters::stall_us)},
          {"acquires_per_second", interval.Rate(&v1::Counters::acquires)},
          {"acquires_failed_per_second", interval.Rate(&v1::Counters::acquires_failed)},
          {"hit_ratio", hits.has_value() ? Json(*hits) : Json(nullptr)},
          {"waiting_batches", absl::StrCat(interval.now().status.waiting_batches())},
          {"links", IostatDocument(interval, true)["links"]},
          {"vetoes", std::move(vetoes)},
          {"blocks", std::move(blocks)},
          {"sessions", std::move(sessions)}};
}

}  // namespace residency::ctl
