// A command of residencyctl: calls the daemon, answers with text.
#pragma once

#include <functional>
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

  // The message as JSON, or what `render` makes of it, as -o asks.
  template <typename Message, typename Render>
  std::string Show(const Message& message, Render render) const {
    if (options.format != Format::kJson) return render(message, view);
    return ToJson(message, options.watch > absl::ZeroDuration());
  }
};

using Command = std::function<absl::StatusOr<Frame>(const Context&)>;

// What the command line asked for.
struct Selection {
  Command command;
  // Reads only, so --watch may repeat it.
  bool repeatable = false;
};

// Each adds its subcommands to `app`; parsing one sets `selection`. Both must outlive the parse.
void AddNodeCommands(CLI::App& app, Selection& selection);
void AddBlockCommands(CLI::App& app, Selection& selection);
void AddPolicyCommands(CLI::App& app, Selection& selection);

}  // namespace residency::ctl
