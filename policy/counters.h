// Everything the controller counts. Monotonic; read by metrics and status.
#pragma once

#include <array>
#include <cstdint>

#include "core/residency_state.h"
#include "policy/guardrails.h"

namespace residency {

// Upper bounds, in microseconds, of the acquire latency histogram's buckets; the last is open.
inline constexpr std::array<int64_t, 14> kAcquireBucketsUs = {
    50,     100,    250,    500,     1000,    2500,      5000,
    10'000, 25'000, 50'000, 100'000, 250'000, 1'000'000, 10'000'000};

struct Counters {
  uint64_t promotions = 0;
  uint64_t demotions = 0;
  uint64_t stages = 0;
  uint64_t prefetches_begun = 0;
  uint64_t prefetches_used = 0;
  uint64_t prefetches_wasted = 0;
  uint64_t acquires = 0;      // batches
  uint64_t acquires_hit = 0;  // granted without waiting
  uint64_t acquires_failed = 0;
  uint64_t recalls = 0;          // leases asked back
  uint64_t events_accepted = 0;  // access, routing and step reports
  uint64_t events_ignored = 0;   // of unknown models or blocks
  uint64_t checksum_failures = 0;
  uint64_t transitions_begun = 0;
  uint64_t transitions_cancelled = 0;
  uint64_t transitions_failed = 0;
  uint64_t protection_lost = 0;
  uint64_t decisions = 0;
  int64_t stall_us = 0;  // that batches waited, from arrival to grant
  std::array<uint64_t, kStateCount> served_from{};
  std::array<uint64_t, kStateCount> served_bytes{};
  std::array<uint64_t, kAcquireBucketsUs.size() + 1> acquire_latency{};
  VetoCounts vetoes;
};

}  // namespace residency
