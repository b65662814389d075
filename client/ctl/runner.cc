#include "client/ctl/runner.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "client/ctl/format.h"

namespace residency::ctl {
namespace {

constexpr std::string_view kHome = "\x1b[H";
constexpr std::string_view kClearScreen = "\x1b[2J";
constexpr std::string_view kClearLine = "\x1b[K";
constexpr std::string_view kClearBelow = "\x1b[J";

View MakeView(const GlobalOptions& options, const Environment& env) {
  View view;
  view.wide = options.format == Format::kWide;
  view.headers = !options.no_headers;
  view.style = Style(WantsColour(options, env));
  // Only a terminal cuts; files and pipes get every character. So does -o wide.
  if (env.out_is_terminal && !view.wide) view.width = env.size().columns;
  return view;
}

std::string ErrorText(const absl::Status& status) {
  std::string message(status.message());
  if (message.empty()) message = absl::StatusCodeToString(status.code());
  std::string out = "residencyctl: ";
  for (std::string_view rest = message; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    absl::StrAppend(&out, Printable(rest.substr(0, end)), "\n");
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return out;
}

// Draws over the last frame without clearing first, so that nothing flickers. Lines beyond the
// screen are left out: they would scroll the top away.
std::string Redraw(std::string_view text, size_t rows) {
  std::string out(kHome);
  size_t line = 0;
  while (!text.empty()) {
    if (rows > 1 && ++line >= rows) {
      absl::StrAppend(&out, "(more)");
      out += kClearLine;
      break;
    }
    const size_t end = std::min(text.find('\n'), text.size());
    out += text.substr(0, end);
    out += kClearLine;
    out += '\n';
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  out += kClearBelow;
  return out;
}

ExitCode Watch(const Command& command, const GlobalOptions& options, const Environment& env,
               OperatorClient& client) {
  env.catch_interrupts();
  const bool redraw = env.out_is_terminal && options.format != Format::kJson;
  bool first = true;
  do {
    absl::StatusOr<Frame> frame = command({client, options, env, MakeView(options, env)});
    if (!frame.ok() && first) {
      *env.err << ErrorText(frame.status());
      return ExitCodeFor(frame.status());
    }
    if (redraw) {
      const std::string text = frame.ok() ? frame->text : ErrorText(frame.status());
      *env.out << (first ? kClearScreen : "") << Redraw(text, env.size().rows) << std::flush;
    } else if (frame.ok()) {
      const bool table = options.format != Format::kJson;
      *env.out << (first || !table ? "" : "\n") << frame->text << std::flush;
    } else {
      *env.err << ErrorText(frame.status()) << std::flush;
    }
    if (!*env.out) return ExitCode::kError;  // Whoever read us has gone.
    first = false;
  } while (env.wait(options.watch));
  return ExitCode::kOk;
}

// The screen for as long as a command draws on it.
class Screen {
 public:
  explicit Screen(const Environment& env) : env_(env) {}
  ~Screen() { Leave(); }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  void Draw(std::string_view text) {
    if (!taken_) env_.enter_screen();
    taken_ = true;
    *env_.out << Redraw(text, env_.size().rows) << std::flush;
  }
  void Leave() {
    if (taken_) env_.leave_screen();
    taken_ = false;
  }

 private:
  const Environment& env_;
  bool taken_ = false;
};

// Until the next round is due. False if the command is to end.
bool WaitForRound(const LiveCommand& live, absl::Time due, const Environment& env,
                  const std::function<void()>& redraw) {
  for (;;) {
    const std::optional<char> key = env.wait_key(std::max(due - absl::Now(), absl::ZeroDuration()));
    if (!key.has_value() || *key == 'q' || *key == 'Q') return false;
    if (*key == kNoKey) return true;
    if (live.on_key) live.on_key(*key);
    redraw();
  }
}

}  // namespace

bool WantsColour(const GlobalOptions& options, const Environment& env) {
  if (options.colour == "always") return true;
  if (options.colour == "never") return false;
  return env.out_is_terminal && !env.no_colour;
}

ExitCode RunCommand(const Command& command, const GlobalOptions& options, const Environment& env) {
  OperatorClient client(options.socket, options.timeout);
  if (options.watch > absl::ZeroDuration()) return Watch(command, options, env, client);
  absl::StatusOr<Frame> frame = command({client, options, env, MakeView(options, env)});
  if (!frame.ok()) {
    *env.err << ErrorText(frame.status());
    return ExitCodeFor(frame.status());
  }
  *env.out << frame->text << std::flush;
  if (!frame->error.empty()) *env.err << frame->error;
  if (!*env.out) {
    *env.err << "residencyctl: could not write the answer to standard output\n";
    return ExitCode::kError;
  }
  return frame->code;
}

ExitCode RunLive(const LiveCommand& live, const GlobalOptions& options, const Environment& env) {
  env.catch_interrupts();
  OperatorClient client(options.socket, options.timeout);
  Screen screen(env);
  const bool full = live.screen && env.out_is_terminal && options.format != Format::kJson;
  std::string text;
  const auto show = [&](bool first) {
    text = live.render({client, options, env, MakeView(options, env)});
    if (full) return screen.Draw(text);
    const bool apart = !first && options.format != Format::kJson;
    *env.out << (apart ? "\n" : "") << text << std::flush;
  };
  absl::Time due = absl::Now();
  for (uint64_t round = 1;; ++round) {
    const absl::Status sampled = live.sample({client, options, env, MakeView(options, env)});
    if (!sampled.ok() && (round == 1 || !full)) {
      screen.Leave();
      *env.err << ErrorText(sampled) << std::flush;
      if (round == 1) return ExitCodeFor(sampled);
    } else if (!sampled.ok()) {
      screen.Draw(ErrorText(sampled) + "trying again; q quits\n");
    } else {
      show(round == 1);
    }
    if (!*env.out) return ExitCode::kOk;  // Whoever read us has seen enough.
    if (round == live.count) break;
    due = std::max(due + live.interval, absl::Now());
    if (!WaitForRound(live, due, env, [&] { show(false); })) return ExitCode::kOk;
  }
  // The last round stays on the terminal.
  screen.Leave();
  if (full) *env.out << text << std::flush;
  return ExitCode::kOk;
}

}  // namespace residency::ctl
