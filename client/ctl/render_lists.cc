// Tables of pools, links, models, sessions and policy values.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/ctl/format.h"
#include "client/ctl/names.h"
#include "client/ctl/render.h"
#include "client/ctl/table.h"

namespace residency::ctl {
namespace {

constexpr size_t kBarWidth = 20;
constexpr double kPressureHigh = 0.9;

std::string Size(uint64_t bytes, const View& view) {
  return view.wide ? absl::StrCat(bytes) : FormatSize(bytes);
}

std::string PoolBar(const v1::Pool& pool) {
  const double capacity = static_cast<double>(std::max<uint64_t>(pool.capacity_bytes(), 1));
  return RenderBar(static_cast<double>(pool.used_bytes()) / capacity,
                   static_cast<double>(pool.reserved_bytes()) / capacity, kBarWidth);
}

std::string StateSummary(const google::protobuf::RepeatedPtrField<v1::StateCount>& states) {
  std::string out;
  for (const v1::StateCount& state : states) {
    if (state.blocks() == 0) continue;
    absl::StrAppend(&out, out.empty() ? "" : " ", StateName(state.state()), ":",
                    FormatCount(state.blocks()));
  }
  return out.empty() ? "-" : out;
}

Cell SessionHealth(const v1::SessionInfo& session) {
  if (session.healthy()) return Cell("ok", Paint::kGood);
  return Cell(session.problem().empty() ? "unhealthy" : session.problem(), Paint::kBad);
}

}  // namespace

std::string RenderBar(double used_ratio, double reserved_ratio, size_t width) {
  const double scale = static_cast<double>(width);
  const auto cells = [scale](double ratio) {
    return static_cast<size_t>(std::lround(std::clamp(ratio, 0.0, 1.0) * scale));
  };
  const size_t used = cells(used_ratio);
  const size_t taken = std::max(used, cells(used_ratio + reserved_ratio));
  return std::string(used, '#') + std::string(taken - used, '+') + std::string(width - taken, '.');
}

std::string RenderPools(const google::protobuf::RepeatedPtrField<v1::Pool>& pools,
                        const View& view) {
  std::vector<Column> columns = {{"NAME"}, {"TIER"}};
  if (!view.narrow()) columns.push_back({"USED+RESERVED"});
  for (const char* figure : {"PRESSURE", "USED", "RESERVED", "LEASED", "CAPACITY"}) {
    columns.push_back({figure, Align::kRight});
  }
  if (!view.narrow()) columns.push_back({"FRAG", Align::kRight});
  columns.push_back({"ENCODING"});
  if (view.wide) {
    columns.push_back({"SEGMENT", Align::kRight});
    columns.push_back({"DEMAND RESERVE", Align::kRight});
    columns.push_back({"ID", Align::kRight});
  }
  columns.push_back({"BACKEND", Align::kLeft, true});
  Table table(std::move(columns));
  for (const v1::Pool& pool : pools) {
    const bool high = pool.pressure_ratio() >= kPressureHigh;
    const Paint paint = high ? Paint::kWarning : Paint::kGood;
    std::vector<Cell> row = {pool.name(), TierName(pool.tier())};
    if (!view.narrow()) row.push_back(Cell(PoolBar(pool), paint));
    row.push_back(Cell(FormatPercent(pool.pressure_ratio()), paint));
    for (const uint64_t bytes :
         {pool.used_bytes(), pool.reserved_bytes(), pool.leased_bytes(), pool.capacity_bytes()}) {
      row.push_back(Size(bytes, view));
    }
    if (!view.narrow()) row.push_back(FormatPercent(pool.fragmentation_ratio()));
    row.push_back(pool.encoding().empty() ? "-" : pool.encoding());
    if (view.wide) {
      row.push_back(absl::StrCat(pool.segment_bytes()));
      row.push_back(absl::StrCat(pool.demand_reserve_bytes()));
      row.push_back(absl::StrCat(pool.pool_id()));
    }
    row.push_back(pool.backend());
    table.AddRow(std::move(row));
  }
  return table.Render(view);
}

std::string RenderLinks(const google::protobuf::RepeatedPtrField<v1::LinkStatus>& links,
                        const View& view) {
  Table table({{"NAME", Align::kLeft, true},
               {"RATE", Align::kRight},
               {"LATENCY", Align::kRight},
               {"QUEUED", Align::kRight},
               {"DEMAND", Align::kRight},
               {"PREFETCH", Align::kRight},
               {"REBALANCE", Align::kRight}});
  for (const v1::LinkStatus& link : links) {
    const bool measured = link.bytes_per_second() > 0;
    table.AddRow({link.name(), FormatRate(link.bytes_per_second()),
                  measured ? FormatMicros(link.latency_us()) : "-", Size(link.queued_bytes(), view),
                  Size(link.demand_bytes(), view), Size(link.prefetch_bytes(), view),
                  Size(link.rebalance_bytes(), view)});
  }
  return table.Render(view);
}

std::string RenderModels(const v1::ListModelsResponse& models, const View& view) {
  std::vector<Column> columns = {{"ID", Align::kRight},         {"NAME", Align::kLeft, true},
                                 {"BLOCKS", Align::kRight},     {"SIZE", Align::kRight},
                                 {"ACTIVITY", Align::kRight},   {"SESSIONS", Align::kRight},
                                 {"STATES", Align::kLeft, true}};
  if (view.wide) {
    columns.push_back({"DOMAIN", Align::kRight});
    columns.push_back({"FINGERPRINT"});
  }
  Table table(std::move(columns));
  for (const v1::ModelInfo& model : models.models()) {
    std::vector<Cell> row = {absl::StrCat(model.model_id()),    model.name(),
                             FormatCount(model.blocks()),       Size(model.bytes(), view),
                             FormatFigure(model.activity(), 3), absl::StrCat(model.sessions()),
                             StateSummary(model.states())};
    if (view.wide) {
      row.push_back(absl::StrCat(model.domain()));
      row.push_back(model.fingerprint());
    }
    table.AddRow(std::move(row));
  }
  return table.Render(view);
}

std::string RenderSessions(const v1::ListSessionsResponse& sessions, const View& view) {
  std::vector<Column> columns = {{"ID", Align::kRight},           {"PID", Align::kRight},
                                 {"PROCESS", Align::kLeft, true}, {"AGE", Align::kRight},
                                 {"LEASES", Align::kRight},       {"LEASED", Align::kRight}};
  if (!view.narrow()) columns.push_back({"MAX", Align::kRight});
  columns.push_back({"UNANSWERED", Align::kRight});
  if (view.wide) {
    columns.push_back({"DOMAIN", Align::kRight});
    columns.push_back({"STREAM"});
    columns.push_back({"EVENTS", Align::kRight});
    columns.push_back({"DROPPED", Align::kRight});
    columns.push_back({"ACQUIRES", Align::kRight});
    columns.push_back({"WAITED", Align::kRight});
    columns.push_back({"FAILED", Align::kRight});
    columns.push_back({"WAITING", Align::kRight});
    columns.push_back({"STALL", Align::kRight});
    columns.push_back({"MODELS"});
  }
  columns.push_back({"HEALTH", Align::kLeft, true});
  Table table(std::move(columns));
  for (const v1::SessionInfo& session : sessions.sessions()) {
    std::vector<Cell> row = {absl::StrCat(session.session_id()),
                             absl::StrCat(session.pid()),
                             session.process(),
                             FormatMicros(static_cast<double>(session.age_us())),
                             FormatCount(session.leases()),
                             Size(session.leased_bytes(), view)};
    if (!view.narrow()) row.push_back(Size(session.max_leased_bytes(), view));
    row.push_back(absl::StrCat(session.recalls_unanswered()));
    if (view.wide) {
      row.push_back(absl::StrCat(session.domain()));
      row.push_back(session.stream_open() ? "open" : "closed");
      row.push_back(FormatCount(session.events_accepted()));
      row.push_back(FormatCount(session.events_dropped()));
      row.push_back(FormatCount(session.acquires()));
      row.push_back(FormatCount(session.acquires_waited()));
      row.push_back(FormatCount(session.acquires_failed()));
      row.push_back(FormatCount(session.acquires_waiting()));
      row.push_back(FormatMicros(static_cast<double>(session.stall_us())));
      row.push_back(session.models().empty() ? "-" : absl::StrJoin(session.models(), ","));
    }
    row.push_back(SessionHealth(session));
    table.AddRow(std::move(row));
  }
  return table.Render(view);
}

std::string RenderPolicy(const google::protobuf::RepeatedPtrField<v1::PolicyValue>& values,
                         const View& view) {
  Table table({{"KEY"}, {"VALUE"}, {"SOURCE"}, {"DESCRIPTION", Align::kLeft, true}});
  for (const v1::PolicyValue& value : values) {
    const bool changed = value.source() == v1::POLICY_SOURCE_OPERATOR;
    table.AddRow({value.key(), value.value(),
                  Cell(PolicySourceName(value.source()), changed ? Paint::kWarning : Paint::kPlain),
                  value.description()});
  }
  return table.Render(view);
}

}  // namespace residency::ctl
