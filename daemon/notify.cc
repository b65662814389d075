#include "daemon/notify.h"

#include <systemd/sd-daemon.h>

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace residency {
namespace {

// A line break would begin another assignment.
std::string StatusLine(const std::string& status) {
  return absl::StrCat("STATUS=", absl::StrReplaceAll(status, {{"\n", " "}}), "\n");
}

// A manager that can't be reached is no reason to stop serving.
void Send(const std::string& message) { sd_notify(/*unset_environment=*/0, message.c_str()); }

}  // namespace

ServiceNotifier::ServiceNotifier() {
  uint64_t patience_us = 0;
  if (sd_watchdog_enabled(/*unset_environment=*/0, &patience_us) > 0) {
    watchdog_period_ = Micros(static_cast<int64_t>(patience_us / 2));
  }
}

void ServiceNotifier::Ready(const std::string& status) {
  Send(absl::StrCat("READY=1\n", StatusLine(status)));
}
void ServiceNotifier::Stopping(const std::string& status) {
  Send(absl::StrCat("STOPPING=1\n", StatusLine(status)));
}
void ServiceNotifier::Status(const std::string& status) { Send(StatusLine(status)); }

void ServiceNotifier::Alive(TimePoint now) {
  if (watchdog_period_.count() == 0 || now < next_alive_) return;
  next_alive_ = now + watchdog_period_;
  Send("WATCHDOG=1\n");
}

}  // namespace residency
