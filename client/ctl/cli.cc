#include "client/ctl/cli.h"

#include <cmath>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/ctl/command.h"
#include "client/ctl/runner.h"

namespace residency::ctl {
namespace {

constexpr absl::Duration kWatchDefault = absl::Seconds(2);
constexpr absl::Duration kWatchMin = absl::Milliseconds(100);

constexpr const char* kFooter = R"(
BLOCK is a block's number, MODEL/NAME, or a NAME that only one model has.
Durations: 500ms, 30s, 2m; a plain number means seconds.

-o json prints the fields of the operator API by name, defaults included. 64-bit integers are
strings, enums are their full names (RESIDENCY_STATE_S0_FULL_HBM), byte fields are base64. With
--watch, and from top and iostat, it prints one document per line. JSON.md documents every field.

Exit status: 0 ok, 1 error, 2 usage, 3 residencyd unreachable, 4 not found, 5 unhealthy.)";

Format FormatNamed(const std::string& name) {
  if (name == "json") return Format::kJson;
  return name == "wide" ? Format::kWide : Format::kTable;
}

void AddGlobalOptions(CLI::App& app, GlobalOptions& options, std::string& watch) {
  app.add_option("--socket", options.socket, "Operator socket of residencyd")
      ->envname("RESIDENCYD_OPERATOR_SOCKET")
      ->capture_default_str();
  app.add_option_function<std::string>(
         "-o,--output", [&options](const std::string& name) { options.format = FormatNamed(name); },
         "table, wide (exact sizes, more columns) or json")
      ->check(CLI::IsMember({"table", "wide", "json"}))
      ->option_text("FORMAT");
  app.add_option("--watch", watch, "Repeat every so often (2s) until Ctrl-C")
      ->expected(0, 1)
      ->option_text("[DURATION]");
  app.add_flag("--no-headers", options.no_headers, "Leave out the heads of tables");
  AddDuration(app, "--timeout", options.timeout, "Longest wait for an answer (5s)");
  app.add_option("--color", options.colour, "auto (on a terminal, unless NO_COLOR), always, never")
      ->check(CLI::IsMember({"auto", "always", "never"}))
      ->option_text("WHEN");
}

// InvalidArgument explains what --watch can't do.
absl::Status SetWatch(const std::string& text, const Selection& selection, GlobalOptions& options) {
  if (selection.live != nullptr) {
    return absl::InvalidArgumentError(
        "--watch is for commands that answer once; this one repeats "
        "by itself, see its --help");
  }
  if (!selection.repeatable) {
    return absl::InvalidArgumentError("--watch repeats commands that only read; this one acts");
  }
  options.watch = kWatchDefault;
  if (text.empty()) return absl::OkStatus();
  absl::StatusOr<absl::Duration> interval = ParseDuration(text);
  if (!interval.ok()) return interval.status();
  if (*interval < kWatchMin) {
    return absl::InvalidArgumentError(
        absl::StrCat("--watch of ", text, " is too short: the shortest is 100ms"));
  }
  options.watch = *interval;
  return absl::OkStatus();
}

int UsageError(const Environment& env, const std::string& message) {
  *env.err << "residencyctl: " << message << "\nRun with --help for more information.\n";
  return static_cast<int>(ExitCode::kUsage);
}

}  // namespace

absl::StatusOr<absl::Duration> ParseDuration(std::string_view text) {
  const absl::string_view absl_text(text.data(), text.size());
  absl::Duration duration;
  double seconds = 0;
  if (absl::SimpleAtod(absl_text, &seconds) && std::isfinite(seconds)) {
    duration = absl::Seconds(seconds);
  } else if (!absl::ParseDuration(absl_text, &duration)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", absl_text, "\" is not a duration: write 500ms, 30s, 2m or seconds"));
  }
  if (duration <= absl::ZeroDuration() || duration == absl::InfiniteDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a duration must be above zero and finite, not \"", absl_text, "\""));
  }
  return duration;
}

CLI::Option* AddDuration(CLI::App& app, const std::string& name, absl::Duration& target,
                         const std::string& description) {
  return app
      .add_option_function<std::string>(
          name,
          [&target, name](const std::string& text) {
            absl::StatusOr<absl::Duration> duration = ParseDuration(text);
            // CLI11's way to report it; caught where the line is parsed.
            if (!duration.ok()) {
              throw CLI::ValidationError(name, std::string(duration.status().message()));
            }
            target = *duration;
          },
          description)
      ->option_text("DURATION");
}

int RunCtl(int argc, const char* const* argv, const Environment& env) {
  CLI::App app("Inspects and steers residencyd, the weight residency daemon of this node.",
               "residencyctl");
  app.footer(kFooter);
  app.set_version_flag("--version", "residencyctl " RESIDENCY_VERSION);
  GlobalOptions options;
  std::string watch;
  Selection selection;
  AddGlobalOptions(app, options, watch);
  AddNodeCommands(app, selection);
  AddLiveCommands(app, selection);
  AddBlockCommands(app, selection);
  AddPolicyCommands(app, selection);
  app.require_subcommand(1);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error, *env.out, *env.err);
    const std::vector<std::string> unknown = app.remaining();
    const bool no_command = app.get_subcommands().empty() && !unknown.empty();
    return UsageError(
        env, no_command ? absl::StrCat("no command or option ", unknown.front()) : error.what());
  }
  if (app.count("--watch") > 0) {
    if (absl::Status set = SetWatch(watch, selection, options); !set.ok()) {
      return UsageError(env, std::string(set.message()));
    }
  }
  return static_cast<int>(selection.live != nullptr ? RunLive(*selection.live, options, env)
                                                    : RunCommand(selection.command, options, env));
}

}  // namespace residency::ctl
