// Time as the controller sees it. The seam is one method, so that tests and the simulator own time.
#pragma once

#include <chrono>
#include <cstdint>

namespace residency {

using Micros = std::chrono::duration<int64_t, std::micro>;

// Microseconds since the start of the daemon (or of the simulation). Monotonic; not wall time.
struct MonotonicTimeline {
  using rep = int64_t;
  using period = std::micro;
  using duration = Micros;
  using time_point = std::chrono::time_point<MonotonicTimeline>;
};
using TimePoint = MonotonicTimeline::time_point;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint Now() const = 0;
};

class ManualClock final : public Clock {
 public:
  TimePoint Now() const override { return now_; }
  void Advance(Micros by) { now_ += by; }

 private:
  TimePoint now_{};
};

}  // namespace residency
