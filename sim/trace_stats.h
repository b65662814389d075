// What a trace is like: the figures by which traces are compared and synthetic ones are judged.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/trace.h"

namespace residency {

struct TraceStats {
  uint64_t requests = 0;
  uint64_t tokens = 0;
  // Share of a token's top_k experts that the previous token of the request used in the same
  // layer; 0 where no request has two tokens.
  double overlap = 0;  // mean over layers
  std::vector<double> overlap_by_layer;
  std::vector<double> mean_gate_by_rank;  // 0..1
  // [n - 1]: share of a layer's accesses that go to its n most used experts; mean over layers.
  std::vector<double> top_share;
  uint64_t pairs_used = 0;        // (layer, expert) pairs used at least once
  uint64_t least_used_count = 0;  // uses of the least used pair
};

TraceStats MeasureTrace(const Trace& trace);

// An event is one layer of one step. Requests fill `batch` seats in file order; a step takes the
// next token of every seated request, or all its prompt tokens as its first; an expert wanted by
// several tokens of an event is one access.
struct EventCounts {
  uint64_t steps = 0;
  uint64_t events = 0;
  uint64_t accesses = 0;  // sum over events of distinct experts

  double distinct_per_event() const {
    return events == 0 ? 0 : static_cast<double>(accesses) / static_cast<double>(events);
  }
};

// REQUIRES: batch >= 1.
EventCounts CountEvents(const Trace& trace, uint32_t batch);

}  // namespace residency
