// What systemd is told: ready, stopping, a line of status, signs of life. Does nothing where no
// service manager listens. Thread-safe, but for Alive.
#pragma once

#include <string>

#include "core/clock.h"

namespace residency {

class ServiceNotifier {
 public:
  // Reads NOTIFY_SOCKET and WATCHDOG_USEC once.
  ServiceNotifier();

  void Ready(const std::string& status);
  void Stopping(const std::string& status);
  void Status(const std::string& status);
  // A sign of life, to be given by the control loop itself: a stuck loop must be noticed. At most
  // one in `watchdog_period` reaches the manager.
  void Alive(TimePoint now);

  // Half of the manager's patience; zero if it has asked for no watchdog.
  Micros watchdog_period() const { return watchdog_period_; }

 private:
  Micros watchdog_period_{0};
  TimePoint next_alive_{};  // of the control loop's thread only
};

}  // namespace residency
