// A command of residencyctl: calls the daemon, answers with text.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/ctl/exit_code.h"
#include "client/ctl/json.h"
#include "client/ctl/rpc.h"
#include "client/ctl/terminal.h"
#include "client/ctl/view.h"

namespace CLI {
class App;
}

namespace residency::ctl {

enum class Format { kTable, kWide, kJson };

struct GlobalOptions {
  std::string socket = "/run/residencyd/operator.sock";
  Format format = Format::kTable;
  std::string colour = "auto";
  bool no_headers = false;
  absl::Duration timeout = absl::Seconds(5);
  // Zero: once.
  absl::Duration watch = absl::ZeroDuration();
};

// One answer. `error`, if any, goes to stderr after `text`.
struct Frame {
  std::string text;
  ExitCode code = ExitCode::kOk;
  std::string error;
};

struct Context {
  OperatorClient& client;
  const GlobalOptions& options;
  const Environment& env;
  View view;

  bool json() const { return options.format == Format::kJson; }
  // The message as JSON, or what `render` makes of it, as -o asks.
  template <typename Message, typename Render>
  std::string Show(const Message& message, Render render) const {
    if (!json()) return render(message, view);
    return ToJson(message, options.watch > absl::ZeroDuration());
  }
};

using Command = std::function<absl::StatusOr<Frame>(const Context&)>;

// A command that repeats by itself: each round samples the daemon and shows what changed.
struct LiveCommand {
  absl::Duration interval = absl::Seconds(1);
  uint64_t count = 0;   // Rounds; 0: until it is ended.
  bool screen = false;  // Takes the whole terminal where there is one, and `q` ends it.
  std::function<absl::Status(const Context&)> sample;
  std::function<std::string(const Context&)> render;  // Of the samples so far.
  std::function<void(char)> on_key;                   // Renders again after it. May be empty.
};

// What the command line asked for.
struct Selection {
  Command command;
  // Reads only, so --watch may repeat it.
  bool repeatable = false;
  // Instead of `command`.
  std::shared_ptr<LiveCommand> live = nullptr;
};

// Each adds its subcommands to `app`; parsing one sets `selection`. Both must outlive the parse.
void AddNodeCommands(CLI::App& app, Selection& selection);
void AddBlockCommands(CLI::App& app, Selection& selection);
void AddPolicyCommands(CLI::App& app, Selection& selection);
void AddLiveCommands(CLI::App& app, Selection& selection);

}  // namespace residency::ctl
