// Commands that repeat by themselves: top and iostat.
#include <memory>
#include <optional>
#include <utility>

#include "CLI/CLI.hpp"
#include "client/ctl/cli.h"
#include "client/ctl/command.h"
#include "client/ctl/rates.h"
#include "client/ctl/render_live.h"

namespace residency::ctl {
namespace {

using Stub = OperatorClient::Stub;

// More than any screen shows, and enough to sort by something else.
constexpr uint32_t kMissesAsked = 200;
constexpr absl::Duration kIntervalMin = absl::Milliseconds(100);

// The last two looks.
struct Looks {
  std::optional<Sample> before;
  std::optional<Sample> now;
  TopSort sort = TopSort::kStall;
  bool all_links = true;

  void Add(Sample sample) {
    before = std::move(now);
    now = std::move(sample);
  }
  Interval Between() const { return Interval(before.has_value() ? &*before : nullptr, *now); }
};

// What is asked for with each look.
absl::Status Look(const Context& context, bool all, Looks& looks) {
  Sample sample;
  absl::StatusOr<v1::GetStatusResponse> status =
      context.client.Call(&Stub::GetStatus, v1::GetStatusRequest());
  if (!status.ok()) return status.status();
  sample.status = *std::move(status);
  if (all) {
    absl::StatusOr<v1::ListSessionsResponse> sessions =
        context.client.Call(&Stub::ListSessions, v1::ListSessionsRequest());
    if (!sessions.ok()) return sessions.status();
    sample.sessions = *std::move(sessions);
    v1::ListMissesRequest request;
    request.set_limit(kMissesAsked);
    absl::StatusOr<v1::ListMissesResponse> misses = context.client.Call(&Stub::ListMisses, request);
    if (!misses.ok()) return misses.status();
    sample.misses = *std::move(misses);
  }
  looks.Add(std::move(sample));
  return absl::OkStatus();
}

std::string ShowTop(const Context& context, const Looks& looks) {
  if (context.json()) return ToJson(TopDocument(looks.Between()), true);
  const bool screen = context.env.out_is_terminal;
  return RenderTop(looks.Between(), {.view = context.view,
                                     .rows = screen ? context.env.size().rows : 0,
                                     .sort = looks.sort,
                                     .keys = screen,
                                     .clock = absl::Now()});
}

std::string ShowIostat(const Context& context, const Looks& looks) {
  if (context.json()) return ToJson(IostatDocument(looks.Between(), looks.all_links), true);
  return RenderIostat(looks.Between(), looks.all_links, context.view);
}

std::optional<TopSort> SortNamed(const std::string& name) {
  for (int i = 0; i < kTopSortCount; ++i) {
    if (name == Name(static_cast<TopSort>(i))) return static_cast<TopSort>(i);
  }
  return std::nullopt;
}

// A daemon is not to be kept busy by those who watch it.
std::string TooShort(const std::string& text) {
  const absl::StatusOr<absl::Duration> duration = ParseDuration(text);
  return duration.ok() && *duration < kIntervalMin ? "the shortest interval is 100ms" : "";
}

void AddTop(CLI::App& app, Selection& selection) {
  CLI::App* top = app.add_subcommand(
      "top", "Live: how much engines wait, for which blocks, and what is in the way");
  top->footer(R"(
Keys: q quits; s changes the order of blocks and sessions: by stall, misses, bytes (of sessions:
leased ones), name. Ctrl-C ends it too.

Rates are of the time since the last frame, in the first one since the daemon's start. Those of
blocks are means over the last seconds: what happened 10 s ago counts half. FROM is where a block
was when it was missed, NOW where it is. MB/S are 10^6 bytes; CAN DO is the bandwidth measured.

Without a terminal it prints frame after frame, with -o json a document per line.)");
  auto live = std::make_shared<LiveCommand>();
  auto looks = std::make_shared<Looks>();
  auto sort = std::make_shared<std::string>();
  AddDuration(*top, "-d,--delay", live->interval, "Time between frames (1s)")->check(TooShort);
  top->add_option("-n,--iterations", live->count, "End after so many frames; 0: never (0)")
      ->option_text("COUNT");
  top->add_option("--sort", *sort, "stall, misses, bytes or name (stall)")
      ->check(CLI::IsMember({"stall", "misses", "bytes", "name"}))
      ->option_text("ORDER");
  live->screen = true;
  live->sample = [looks](const Context& context) { return Look(context, true, *looks); };
  live->render = [looks](const Context& context) { return ShowTop(context, *looks); };
  live->on_key = [looks](char key) {
    if (key != 's') return;
    looks->sort = static_cast<TopSort>((static_cast<int>(looks->sort) + 1) % kTopSortCount);
  };
  top->fallthrough()->callback([&selection, live, looks, sort] {
    looks->sort = SortNamed(*sort).value_or(TopSort::kStall);
    selection = {nullptr, true, live};
  });
}

void AddIostat(CLI::App& app, Selection& selection) {
  CLI::App* iostat =
      app.add_subcommand("iostat", "Traffic of each link by class, once or every INTERVAL");
  iostat->footer(R"(
MB/S are 10^6 bytes. BUSY is the share of the time in which the class moved something; moves that
overlap count each. MOVED is since the daemon's start, QUEUED begun and not yet moved. BANDWIDTH and
LATENCY are the link's, as measured.

The first report is of the time since the daemon's start, each later one of the interval before it.
With -o json each is a document on a line of its own.)");
  auto live = std::make_shared<LiveCommand>();
  auto looks = std::make_shared<Looks>();
  auto active = std::make_shared<bool>(false);
  CLI::Option* every =
      AddDuration(*iostat, "INTERVAL", live->interval, "Time between reports; one report without");
  every->check(TooShort);
  iostat->add_option("COUNT", live->count, "End after so many reports; 0: never (0)");
  iostat->add_flag("-z,--active", *active, "Leave out links on which nothing moved or waits");
  live->sample = [looks](const Context& context) { return Look(context, false, *looks); };
  live->render = [looks](const Context& context) { return ShowIostat(context, *looks); };
  iostat->fallthrough()->callback([&selection, live, looks, active, every] {
    looks->all_links = !*active;
    if (every->count() == 0) live->count = 1;
    selection = {nullptr, true, live};
  });
}

}  // namespace

void AddLiveCommands(CLI::App& app, Selection& selection) {
  AddTop(app, selection);
  AddIostat(app, selection);
}

}  // namespace residency::ctl
