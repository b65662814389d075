// Commands about the daemon as a whole: status, health, version, models, pools, sessions,
// end-session, drain.
#include <algorithm>
#include <memory>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/ctl/cli.h"
#include "client/ctl/command.h"
#include "client/ctl/format.h"
#include "client/ctl/render.h"
#include "nlohmann/json.hpp"

namespace residency::ctl {
namespace {

using Stub = OperatorClient::Stub;
using Json = nlohmann::ordered_json;

constexpr absl::Duration kDrainPoll = absl::Milliseconds(200);

absl::StatusOr<v1::GetStatusResponse> GetStatus(const Context& context) {
  return context.client.Call(&Stub::GetStatus, v1::GetStatusRequest());
}

ExitCode HealthCode(const v1::GetStatusResponse& status) {
  return status.healthy() ? ExitCode::kOk : ExitCode::kUnhealthy;
}

absl::StatusOr<Frame> Status(const Context& context) {
  absl::StatusOr<v1::GetStatusResponse> status = GetStatus(context);
  if (!status.ok()) return status.status();
  v1::ListSessionsResponse sessions;
  if (context.options.format != Format::kJson) {
    absl::StatusOr<v1::ListSessionsResponse> listed =
        context.client.Call(&Stub::ListSessions, v1::ListSessionsRequest());
    if (!listed.ok()) return listed.status();
    sessions = *std::move(listed);
  }
  const auto render = [&sessions](const v1::GetStatusResponse& message, const View& view) {
    return RenderStatus(message, sessions, view);
  };
  return Frame{context.Show(*status, render), HealthCode(*status), ""};
}

Json HealthDocument(const v1::GetStatusResponse& status) {
  Json problems = Json::array();
  for (const std::string& problem : status.problems()) problems.push_back(problem);
  return Json{{"healthy", status.healthy()},
              {"draining", status.draining()},
              {"problems", std::move(problems)}};
}

absl::StatusOr<Frame> Health(const Context& context) {
  absl::StatusOr<v1::GetStatusResponse> status = GetStatus(context);
  if (!status.ok()) return status.status();
  const auto render = [&status](const Json&, const View& view) {
    return RenderHealth(*status, view);
  };
  return Frame{context.Show(HealthDocument(*status), render), HealthCode(*status), ""};
}

// Says its own version even where no daemon answers.
absl::StatusOr<Frame> Version(const Context& context) {
  absl::StatusOr<v1::GetStatusResponse> status = GetStatus(context);
  Json document = {{"residencyctl", RESIDENCY_VERSION}};
  if (status.ok()) document["residencyd"] = status->version();
  const auto render = [&status](const Json&, const View&) {
    std::string text = "residencyctl " RESIDENCY_VERSION "\n";
    if (status.ok()) absl::StrAppend(&text, "residencyd ", Printable(status->version()), "\n");
    return text;
  };
  Frame frame{context.Show(document, render), ExitCodeFor(status.status()), ""};
  if (!status.ok()) {
    frame.error = absl::StrCat("residencyctl: ", std::string(status.status().message()), "\n");
  }
  return frame;
}

absl::StatusOr<Frame> Models(const Context& context) {
  absl::StatusOr<v1::ListModelsResponse> models =
      context.client.Call(&Stub::ListModels, v1::ListModelsRequest());
  if (!models.ok()) return models.status();
  return Frame{context.Show(*models, RenderModels), ExitCode::kOk, ""};
}

absl::StatusOr<Frame> Pools(const Context& context) {
  absl::StatusOr<v1::ListPoolsResponse> pools =
      context.client.Call(&Stub::ListPools, v1::ListPoolsRequest());
  if (!pools.ok()) return pools.status();
  const auto render = [](const v1::ListPoolsResponse& message, const View& view) {
    return RenderPools(message.pools(), view);
  };
  return Frame{context.Show(*pools, render), ExitCode::kOk, ""};
}

absl::StatusOr<Frame> Sessions(const Context& context) {
  absl::StatusOr<v1::ListSessionsResponse> sessions =
      context.client.Call(&Stub::ListSessions, v1::ListSessionsRequest());
  if (!sessions.ok()) return sessions.status();
  return Frame{context.Show(*sessions, RenderSessions), ExitCode::kOk, ""};
}

absl::StatusOr<Frame> EndSession(const Context& context, uint64_t session_id) {
  v1::EndSessionRequest request;
  request.set_session_id(session_id);
  absl::StatusOr<v1::EndSessionResponse> response = context.client.Call(&Stub::EndSession, request);
  if (!response.ok()) return response.status();
  const auto render = [session_id](const v1::EndSessionResponse&, const View&) {
    return absl::StrCat("session ", session_id, " ended\n");
  };
  return Frame{context.Show(*response, render), ExitCode::kOk, ""};
}

// Until nothing listens any more. The leases still held are shown on a terminal only.
absl::Status WaitForExit(const Context& context, absl::Duration deadline) {
  const absl::Time give_up = absl::Now() + deadline + context.options.timeout;
  for (;;) {
    absl::StatusOr<v1::GetStatusResponse> status = GetStatus(context);
    if (absl::IsUnavailable(status.status())) break;
    // The end of the daemon cuts off a call under way: the next one finds nobody.
    const bool cut_off = absl::IsCancelled(status.status());
    if (!status.ok() && !cut_off) return status.status();
    if (context.env.err_is_terminal && !cut_off) {
      *context.env.err << "\rdraining: " << FormatCount(status->leases()) << " leases held \x1b[K"
                       << std::flush;
    }
    if (absl::Now() >= give_up) {
      return absl::DeadlineExceededError(
          absl::StrCat("residencyd still runs with ", cut_off ? 0 : status->leases(),
                       " leases held, past the deadline it was given\nlook at its log, and at "
                       "'residencyctl sessions' for who holds them"));
    }
    context.env.wait(std::min(kDrainPoll, give_up - absl::Now()));
  }
  if (context.env.err_is_terminal) *context.env.err << "\r\x1b[K" << std::flush;
  return absl::OkStatus();
}

struct DrainOptions {
  absl::Duration deadline = absl::Seconds(30);
  bool wait = false;
};

absl::StatusOr<Frame> Drain(const Context& context, const DrainOptions& drain) {
  v1::DrainRequest request;
  request.set_deadline_us(static_cast<uint64_t>(absl::ToInt64Microseconds(drain.deadline)));
  absl::StatusOr<v1::DrainResponse> response =
      context.client.Call(&Stub::Drain, request, drain.deadline);
  if (!response.ok()) return response.status();
  if (drain.wait) {
    if (absl::Status gone = WaitForExit(context, drain.deadline); !gone.ok()) return gone;
  }
  const auto render = [&drain](const v1::DrainResponse& message, const View&) {
    return absl::StrCat(drain.wait ? "drained" : "draining", ": ",
                        FormatCount(message.leases_held()), " leases were held, deadline ",
                        absl::FormatDuration(drain.deadline), "\n");
  };
  return Frame{context.Show(*response, render), ExitCode::kOk, ""};
}

void AddReading(CLI::App& app, Selection& selection, const char* name, const char* description,
                absl::StatusOr<Frame> (*command)(const Context&)) {
  app.add_subcommand(name, description)->fallthrough()->callback([&selection, command] {
    selection = {command, true};
  });
}

}  // namespace

void AddNodeCommands(CLI::App& app, Selection& selection) {
  AddReading(app, selection, "status", "Health, pools, states, links and counters on one screen",
             Status);
  AddReading(app, selection, "health", "Exits 0 if healthy, 5 with the problems if not", Health);
  AddReading(app, selection, "version", "Versions of this program and of the daemon", Version);
  AddReading(app, selection, "models", "Models and where their blocks are", Models);
  AddReading(app, selection, "pools", "Pools, their use and what backs them", Pools);
  AddReading(app, selection, "sessions", "Attached engine processes and their leases", Sessions);

  CLI::App* end =
      app.add_subcommand("end-session", "End a session; its leases return to the pools");
  auto session_id = std::make_shared<uint64_t>(0);
  end->add_option("ID", *session_id, "As 'sessions' shows it")->required();
  end->fallthrough()->callback([&selection, session_id] {
    selection = {[session_id](const Context& c) { return EndSession(c, *session_id); }, false};
  });

  CLI::App* drain = app.add_subcommand("drain", "Refuse new work, let leases end, exit the daemon");
  auto options = std::make_shared<DrainOptions>();
  AddDuration(*drain, "--deadline", options->deadline,
              "After this, leave leases behind and exit all the same (30s)");
  drain->add_flag("--wait", options->wait, "Return when the daemon has gone");
  drain->fallthrough()->callback([&selection, options] {
    selection = {[options](const Context& c) { return Drain(c, *options); }, false};
  });
}

}  // namespace residency::ctl
