// Every number the policy decides with, its default, and one table of keys through which the
// configuration file, the operator and `policy get` see it.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/bytes.h"
#include "core/clock.h"

namespace residency {

struct PolicyConfig {
  // R(b) = (w1·rho + w2·lambda + w3·a·kappa + w4·a·psi) / (alpha·delta + beta·tau).
  double w1 = 0.40;
  double w2 = 0.30;
  double w3 = 0.20;
  double w4 = 0.10;  // w1 + w2 + w3 + w4 = 1
  double alpha = 1.0;
  double beta = 1.0;
  Micros cost_unit{1000};
  // A challenger wins if its K > (1 + hysteresis)·K_victim.
  double hysteresis = 0.05;
  Micros activity_half_life{60'000'000};

  // rho: fast within the request, slow across requests; half-lives in visits of the layer.
  double rho_fast_half_life_visits = 1.5;
  double rho_slow_half_life_visits = 32;
  double rho_fast_weight = 0.2;

  // Guardrails.
  double psi_low_bit_floor = 0.60;   // above it an active model's block is kept at S1 or hotter
  double psi_no_low_bit = 0.85;      // above it S1 itself is forbidden
  Micros min_residency{200'000};     // a promoted copy stays this long unless demand needs the room
  Micros thrash_window{10'000'000};  // a block demoted and promoted again this often ...
  int thrash_limit = 6;              // ... within the window moves no more in the background
  double protected_share = 0.50;     // of a pool; beyond it the lowest K lose protection
  double background_share = 0.80;    // of a link's bandwidth that queued background work may claim
  double domain_quota = 1.0;         // share of each pool that one domain may hold

  // Room.
  double demand_reserve = 0.05;  // of each pool, at least the largest declared batch
  Micros recall_deadline{1'000'000};

  // Background work.
  bool prefetch = true;
  int prefetch_lead_layers = 3;
  double prefetch_min_lambda = 0.10;
  double prefetch_margin = 0.15;   // by which the numerator must beat the victim's
  bool stage_dram = true;          // bring what is hot but not in HBM to DRAM ahead of need
  bool stage_nvme = true;          // write what was read from its recipe to NVMe
  bool lowbit = false;             // keep low-bit copies for engines that can use them
  double lowbit_hbm_share = 0.30;  // of HBM, that they may take
  bool hbm_compressed = false;     // keep compressed copies in HBM where decoding is soonest done
  int in_flight_limit = 16;        // background transitions; demand is not counted
};

// One key of the table. Durations are written in microseconds with the suffix _us.
struct PolicyField {
  std::string_view key;          // "w1", "min_residency_us"
  std::string_view description;  // one line, with unit and range
};

const std::vector<PolicyField>& PolicyFields();
// The value as text, as Set would read it. NotFound for an unknown key.
absl::StatusOr<std::string> GetPolicyField(const PolicyConfig& config, std::string_view key);
// InvalidArgument names the key, what was found and the range; NotFound for an unknown key, with
// the nearest one there is.
absl::Status SetPolicyField(PolicyConfig& config, std::string_view key, std::string_view value);
// What no single field can say: the weights' sum, ranges against each other.
absl::Status ValidatePolicy(const PolicyConfig& config);

}  // namespace residency
