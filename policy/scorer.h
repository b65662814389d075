// R(b) = (w1·rho + w2·lambda + w3·a·kappa + w4·a·psi) / max(1, (alpha·delta + beta·tau) / unit):
// value per millisecond of moving; it orders moves on a link. K(b) = N(b)·restore_us / bytes:
// what keeping is worth; it compares blocks of one pool. The formula of R is that of the
// vOrchestrate reference controller, with the activity a added.
#pragma once

#include <array>

#include "core/bytes.h"
#include "policy/config.h"

namespace residency {

struct Terms {
  double rho = 0;
  double lambda = 0;
  double kappa = 0;
  double psi = 0;
  double activity = 1;
};

struct MoveCost {
  double delta_us = 0;  // to decode
  double tau_us = 0;    // to bring it to the target, queueing included
};

// Everything that `explain` prints, so that the numbers can be added up by hand.
struct Score {
  Terms terms;
  std::array<double, 4> weights{};
  std::array<double, 4> contributions{};  // weight · (activity) · term
  double numerator = 0;                   // N, their sum
  double alpha = 0;
  double beta = 0;
  MoveCost cost_us;
  double cost_unit_us = 1000;
  double cost_unfloored = 0;
  double cost = 1;  // never below 1
  bool floored = false;
  double r = 0;           // numerator / cost
  double restore_us = 0;  // from the next-coldest source
  double bytes = 0;
  double k = 0;  // numerator · restore_us / bytes
};

double Numerator(const Terms& terms, const PolicyConfig& config);
// `restore_us`: what it takes to bring the block back once this copy is gone.
// REQUIRES: bytes > 0.
Score ComputeScore(const Terms& terms, MoveCost cost, double restore_us, Bytes bytes,
                   const PolicyConfig& config);

}  // namespace residency
