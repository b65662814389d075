// What changed between two looks at a daemon. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "residency/v1/operator.pb.h"

namespace residency::ctl {

// One look.
struct Sample {
  v1::GetStatusResponse status;
  v1::ListSessionsResponse sessions;
  v1::ListMissesResponse misses;
};

// The time between two looks, by the daemon's clock; since its start where there was none before,
// or where it was started again since.
class Interval {
 public:
  Interval(const Sample* before, const Sample& now);

  bool since_start() const { return before_ == nullptr; }
  double seconds() const { return seconds_; }
  const Sample* before() const { return before_; }
  const Sample& now() const { return now_; }

  // Of a figure that only grows: how much a second.
  double Rate(uint64_t before, uint64_t now) const {
    return now > before ? static_cast<double>(now - before) / seconds_ : 0;
  }
  // Of a counter of the node.
  double Rate(uint64_t (v1::Counters::*counter)() const) const;
  // acquires_hit to acquires; none if there was no acquire.
  std::optional<double> HitShare() const;

 private:
  const Sample* before_;
  const Sample& now_;
  double seconds_ = 0;
};

struct ClassRate {
  std::string name;
  double bytes_per_second = 0;
  double busy_ratio = 0;  // Of the time; may pass 1 where chunks of several moves overlap.
  uint64_t moved_bytes = 0;
  uint64_t queued_bytes = 0;
};

struct LinkRate {
  std::string name;
  double bandwidth = 0;  // Bytes per second, measured; 0 until something moved.
  double latency_us = 0;
  std::vector<ClassRate> classes;

  double BytesPerSecond() const;
  uint64_t QueuedBytes() const;
  bool Idle() const { return BytesPerSecond() <= 0 && QueuedBytes() == 0; }
};

// In the daemon's order.
std::vector<LinkRate> LinkRates(const Interval& interval);

// What a session did in the interval.
struct SessionRate {
  const v1::SessionInfo* session = nullptr;
  double acquires = 0;  // Per second.
  double waited = 0;    // Per second.
  double stall_us = 0;  // Per second.
};
std::vector<SessionRate> SessionRates(const Interval& interval);

struct VetoRate {
  std::string reason;
  double per_second = 0;
};
// By reason, over all edges; the most frequent first, without those that did not happen.
std::vector<VetoRate> VetoRates(const Interval& interval);

}  // namespace residency::ctl
