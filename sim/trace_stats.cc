#include "sim/trace_stats.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace residency {
namespace {

double Ratio(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

uint64_t CommonExperts(std::span<const uint16_t> a, std::span<const uint16_t> b) {
  return static_cast<uint64_t>(std::count_if(a.begin(), a.end(), [b](uint16_t expert) {
    return std::find(b.begin(), b.end(), expert) != b.end();
  }));
}

void MeasureOverlap(const Trace& trace, TraceStats* stats) {
  const TraceHeader& header = trace.header;
  std::vector<uint64_t> common(header.layers);
  uint64_t pairs = 0;
  for (const TraceRequest& request : trace.requests) {
    for (uint32_t token = 1; token < request.tokens; ++token, ++pairs) {
      for (uint32_t layer = 0; layer < header.layers; ++layer) {
        common[layer] +=
            CommonExperts(request.Experts(token, layer), request.Experts(token - 1, layer));
      }
    }
  }
  for (uint64_t count : common) {
    stats->overlap_by_layer.push_back(Ratio(count, pairs * header.top_k));
  }
  stats->overlap =
      std::accumulate(stats->overlap_by_layer.begin(), stats->overlap_by_layer.end(), 0.0) /
      header.layers;
}

void MeasureGates(const Trace& trace, TraceStats* stats) {
  std::vector<uint64_t> sums(trace.header.top_k);
  uint64_t choices = 0;
  for (const TraceRequest& request : trace.requests) {
    choices += uint64_t{request.tokens} * request.layers;
    for (size_t i = 0; i < request.gates.size(); ++i) sums[i % sums.size()] += request.gates[i];
  }
  for (uint64_t sum : sums) stats->mean_gate_by_rank.push_back(Ratio(sum, choices * kGateOne));
}

void MeasurePopularity(const Trace& trace, TraceStats* stats) {
  const TraceHeader& header = trace.header;
  std::vector<uint64_t> uses(size_t{header.layers} * header.experts);
  for (const TraceRequest& request : trace.requests) {
    for (size_t i = 0; i < request.experts.size(); ++i) {
      const size_t layer = i / header.top_k % header.layers;
      ++uses[layer * header.experts + request.experts[i]];
    }
  }
  stats->pairs_used = uses.size() - static_cast<uint64_t>(std::count(uses.begin(), uses.end(), 0u));
  stats->least_used_count = *std::min_element(uses.begin(), uses.end());
  stats->top_share.assign(header.experts, 0);
  const uint64_t uses_per_layer = stats->tokens * header.top_k;
  for (auto layer = uses.begin(); layer != uses.end(); layer += header.experts) {
    std::sort(layer, layer + header.experts, std::greater<>());
    uint64_t sum = 0;
    for (uint32_t n = 0; n < header.experts; ++n) {
      sum += layer[n];
      stats->top_share[n] += Ratio(sum, uses_per_layer) / header.layers;
    }
  }
}

// A request that holds a seat, and the tokens that its next step takes.
struct Seat {
  const TraceRequest* request;
  uint32_t next = 0;

  uint32_t StepEnd() const {
    return next == 0 && request->prompt_tokens > 0 ? request->prompt_tokens : next + 1;
  }
};

// Distinct experts per layer, summed, of one step.
uint64_t StepAccesses(const TraceHeader& header, const std::vector<Seat>& seats,
                      std::vector<uint64_t>* last_seen, uint64_t* event) {
  uint64_t accesses = 0;
  for (uint32_t layer = 0; layer < header.layers; ++layer) {
    ++*event;  // event numbers begin at 1, so that 0 means never seen
    for (const Seat& seat : seats) {
      for (uint32_t token = seat.next; token < seat.StepEnd(); ++token) {
        for (uint16_t expert : seat.request->Experts(token, layer)) {
          accesses += (*last_seen)[expert] != *event;
          (*last_seen)[expert] = *event;
        }
      }
    }
  }
  return accesses;
}

}  // namespace

TraceStats MeasureTrace(const Trace& trace) {
  TraceStats stats;
  stats.requests = trace.requests.size();
  stats.tokens = trace.tokens();
  MeasureOverlap(trace, &stats);
  MeasureGates(trace, &stats);
  MeasurePopularity(trace, &stats);
  return stats;
}

EventCounts CountEvents(const Trace& trace, uint32_t batch) {
  EventCounts counts;
  std::vector<uint64_t> last_seen(trace.header.experts);
  std::vector<Seat> seats;
  auto waiting = trace.requests.begin();
  while (true) {
    while (seats.size() < batch && waiting != trace.requests.end()) seats.push_back({&*waiting++});
    if (seats.empty()) break;
    ++counts.steps;
    counts.accesses += StepAccesses(trace.header, seats, &last_seen, &counts.events);
    for (Seat& seat : seats) seat.next = seat.StepEnd();
    std::erase_if(seats, [](const Seat& seat) { return seat.next >= seat.request->tokens; });
  }
  return counts;
}

}  // namespace residency
