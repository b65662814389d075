// Links by class, an interval at a time.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/ctl/format.h"
#include "client/ctl/render_live.h"
#include "client/ctl/table.h"

namespace residency::ctl {
namespace {

using Json = nlohmann::ordered_json;

std::string Span(const Interval& interval) {
  const std::string time = FormatMicros(interval.seconds() * 1e6);
  return absl::StrCat(interval.since_start() ? "since the daemon's start, " : "over the last ",
                      time);
}

}  // namespace

std::string RenderIostat(const Interval& interval, bool idle, const View& view) {
  Table table({{"LINK"},
               {"CLASS"},
               {"MB/S", Align::kRight},
               {"BUSY", Align::kRight},
               {"MOVED", Align::kRight},
               {"QUEUED", Align::kRight},
               {"BANDWIDTH", Align::kRight},
               {"LATENCY", Align::kRight}});
  for (const LinkRate& link : LinkRates(interval)) {
    if (!idle && link.Idle()) continue;
    for (const ClassRate& cls : link.classes) {
      const bool moving = cls.bytes_per_second > 0;
      table.AddRow(
          {link.name, cls.name,
           Cell(FormatMegabytes(cls.bytes_per_second), moving ? Paint::kPlain : Paint::kFaint),
           FormatPercent(cls.busy_ratio),
           view.wide ? absl::StrCat(cls.moved_bytes) : FormatSize(cls.moved_bytes),
           view.wide ? absl::StrCat(cls.queued_bytes) : FormatSize(cls.queued_bytes),
           FormatRate(link.bandwidth), link.bandwidth > 0 ? FormatMicros(link.latency_us) : "-"});
    }
  }
  std::string out = view.headers ? absl::StrCat(Span(interval), "\n") : "";
  if (table.empty()) return absl::StrCat(out, "nothing moved and nothing waits\n");
  return absl::StrCat(out, table.Render(view));
}

Json IostatDocument(const Interval& interval, bool idle) {
  Json links = Json::array();
  for (const LinkRate& link : LinkRates(interval)) {
    if (!idle && link.Idle()) continue;
    Json classes = Json::array();
    for (const ClassRate& cls : link.classes) {
      classes.push_back({{"name", cls.name},
                         {"bytes_per_second", cls.bytes_per_second},
                         {"busy_ratio", cls.busy_ratio},
                         {"moved_bytes", absl::StrCat(cls.moved_bytes)},
                         {"queued_bytes", absl::StrCat(cls.queued_bytes)}});
    }
    links.push_back({{"name", link.name},
                     {"bandwidth_bytes_per_second", link.bandwidth},
                     {"latency_us", link.latency_us},
                     {"classes", std::move(classes)}});
  }
  return {{"seconds", interval.seconds()},
          {"since_start", interval.since_start()},
          {"links", std::move(links)}};
}

}  // namespace residency::ctl
