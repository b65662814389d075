// Makes routing traces with the locality of a recorded one (gpt-oss-20b on MMLU prompts), for when
// no recording is at hand.
//
// Each layer's experts are dealt into top_k groups of nearly equal popularity, and every token uses
// one expert of each group: the one that the previous token of the request used with probability q,
// else one drawn by popularity p. The popularity of experts is then exactly p, and the overlap of
// neighbouring tokens is q + (1 - q) * sum p^2 in each group, from which q is found: no fitting.
// Not modelled: which experts go together, locality beyond the previous token, and what requests
// share (a batch therefore wants a little more distinct experts than in the recording).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "sim/trace.h"

namespace residency {

// Share of a layer's accesses that go to the `fraction` most used of its experts.
struct PopularityPoint {
  double fraction;
  double share;
};

struct SyntheticTraceOptions {
  uint32_t layers = 24;
  uint32_t experts = 32;
  uint32_t top_k = 4;
  uint32_t requests = 16;
  uint64_t tokens = 4000;  // in all; lengths differ by up to about a factor of 7
  uint64_t seed = 1;
  uint64_t expert_bytes = 13'219'200;

  // Wanted overlap by layer; stretched or thinned to `layers`. A layer gets at least what its
  // popularity gives by chance.
  std::vector<double> overlap_by_layer = {0.188, 0.277, 0.386, 0.433, 0.491, 0.417, 0.383, 0.341,
                                          0.409, 0.491, 0.577, 0.576, 0.593, 0.593, 0.431, 0.384,
                                          0.455, 0.468, 0.364, 0.412, 0.342, 0.450, 0.436, 0.551};
  // Rising fractions and shares between (0, 0) and (1, 1), which are implied; linear in between.
  // Exact where the groups of experts so bounded divide by top_k, else approximate.
  std::vector<PopularityPoint> popularity = {
      {4.0 / 32, 0.300}, {8.0 / 32, 0.518}, {16.0 / 32, 0.806}};
  // Mean gate by rank, not increasing, summing to about 1. Used if its size is top_k; other top_k
  // get the hyperbola 1 / (2.98 + rank), which fits it.
  std::vector<double> mean_gate_by_rank = {0.3501, 0.2643, 0.2109, 0.1746};
};

// InvalidArgument names the option that cannot be met. The result obeys the RTRACE01 rules.
absl::StatusOr<Trace> MakeSyntheticTrace(const SyntheticTraceOptions& options);

}  // namespace residency
