// The daemon's clock: the system's steady one, beginning at 0 when the process does. Thread-safe.
#pragma once

#include <chrono>

#include "core/clock.h"

namespace residency {

class MonotonicClock final : public Clock {
 public:
  TimePoint Now() const override {
    return TimePoint(std::chrono::duration_cast<Micros>(std::chrono::steady_clock::now() - begin_));
  }

 private:
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace residency
