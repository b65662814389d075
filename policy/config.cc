#include "policy/config.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <variant>

#include "absl/strings/str_cat.h"
#include "core/strings.h"
#include "policy/nearest_key.h"

namespace residency {
namespace {

using Member = std::variant<double PolicyConfig::*, int PolicyConfig::*, bool PolicyConfig::*,
                            Micros PolicyConfig::*>;

// Both ends are allowed. Unused for switches.
struct Range {
  double min = 0;
  double max = 1;
};

struct Row {
  std::string_view key;
  Member member;
  Range range;
  std::string_view meaning;
};

constexpr double kHourUs = 3.6e9;
constexpr Range kShare{0, 1};

constexpr std::array kRows = {
    Row{"w1", &PolicyConfig::w1, kShare, "weight of rho, the expected reuse"},
    Row{"w2", &PolicyConfig::w2, kShare, "weight of lambda, the routing likelihood"},
    Row{"w3", &PolicyConfig::w3, kShare, "weight of kappa, the criticality"},
    Row{"w4", &PolicyConfig::w4, kShare, "weight of psi, the sensitivity"},
    Row{"alpha", &PolicyConfig::alpha, {0, 1000}, "weight of the time to decode"},
    Row{"beta", &PolicyConfig::beta, {0, 1000}, "weight of the time to bring"},
    Row{"cost_unit_us", &PolicyConfig::cost_unit, {1, kHourUs}, "microseconds that cost 1"},
    Row{"hysteresis", &PolicyConfig::hysteresis, {0, 10}, "by which a challenger's K must win"},
    Row{"activity_half_life_us",
        &PolicyConfig::activity_half_life,
        {1, 24 * kHourUs},
        "microseconds in which an idle model's activity halves"},
    Row{"rho_fast_half_life_visits",
        &PolicyConfig::rho_fast_half_life_visits,
        {0.01, 1e6},
        "half-life within a request, in visits of the layer"},
    Row{"rho_slow_half_life_visits",
        &PolicyConfig::rho_slow_half_life_visits,
        {0.01, 1e6},
        "half-life across requests, in visits of the layer"},
    Row{"rho_fast_weight", &PolicyConfig::rho_fast_weight, kShare, "share of the fast average"},
    Row{"psi_low_bit_floor", &PolicyConfig::psi_low_bit_floor, kShare,
        "sensitivity above which an active model's block is kept at S1 or hotter"},
    Row{"psi_no_low_bit", &PolicyConfig::psi_no_low_bit, kShare,
        "sensitivity above which S1 is forbidden"},
    Row{"min_residency_us",
        &PolicyConfig::min_residency,
        {0, kHourUs},
        "microseconds that a promoted copy stays unless demand needs the room"},
    Row{"thrash_window_us",
        &PolicyConfig::thrash_window,
        {0, kHourUs},
        "microseconds over which demotions and promotions of a block are counted"},
    Row{"thrash_limit",
        &PolicyConfig::thrash_limit,
        {1, 1000},
        "moves within the window after which a block rests"},
    Row{"protected_share", &PolicyConfig::protected_share, kShare,
        "share of a pool that guardrails may protect"},
    Row{"background_share", &PolicyConfig::background_share, kShare,
        "share of a link's bandwidth for background work"},
    Row{"domain_quota",
        &PolicyConfig::domain_quota,
        {0.001, 1},
        "share of each pool that one domain may hold"},
    Row{"demand_reserve",
        &PolicyConfig::demand_reserve,
        {0, 0.5},
        "share of each pool that only demand may enter"},
    Row{"recall_deadline_us",
        &PolicyConfig::recall_deadline,
        {1000, kHourUs},
        "microseconds in which a session answers a recall"},
    Row{"prefetch", &PolicyConfig::prefetch, {}, "promote before anybody asks"},
    Row{"prefetch_lead_layers",
        &PolicyConfig::prefetch_lead_layers,
        {0, 64},
        "layers that prefetch looks ahead"},
    Row{"prefetch_min_lambda", &PolicyConfig::prefetch_min_lambda, kShare,
        "likelihood below which nothing is prefetched"},
    Row{"prefetch_margin",
        &PolicyConfig::prefetch_margin,
        {0, 10},
        "by which a prefetch's likelihood of use must beat the victim's"},
    Row{"stage_dram", &PolicyConfig::stage_dram, {}, "bring what is hot but not in HBM to DRAM"},
    Row{"stage_nvme", &PolicyConfig::stage_nvme, {}, "write what was read or put to NVMe"},
    Row{"lowbit", &PolicyConfig::lowbit, {}, "keep low-bit copies for engines that can use them"},
    Row{"lowbit_hbm_share", &PolicyConfig::lowbit_hbm_share, kShare,
        "share of HBM that low-bit copies may take"},
    Row{"hbm_compressed",
        &PolicyConfig::hbm_compressed,
        {},
        "keep compressed copies in HBM where decoding beats bringing"},
    Row{"in_flight_limit",
        &PolicyConfig::in_flight_limit,
        {1, 4096},
        "background transitions at once"},
};

bool IsSwitch(const Row& row) { return std::holds_alternative<bool PolicyConfig::*>(row.member); }
bool IsWhole(const Row& row) {
  return !IsSwitch(row) && !std::holds_alternative<double PolicyConfig::*>(row.member);
}

std::string NumberText(double value) {
  std::array<char, 32> text;
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() ? std::string(text.data(), end) : "?";
}

std::string RangeText(const Row& row) {
  if (IsSwitch(row)) return "true or false";
  const std::string between =
      IsWhole(row) ? absl::StrCat(static_cast<int64_t>(row.range.min), " to ",
                                  static_cast<int64_t>(row.range.max))
                   : absl::StrCat(NumberText(row.range.min), " to ", NumberText(row.range.max));
  return absl::StrCat(IsWhole(row) ? "a whole number from " : "a number from ", between);
}

absl::StatusOr<const Row*> FindRow(std::string_view key) {
  for (const Row& row : kRows) {
    if (row.key == key) return &row;
  }
  std::vector<std::string_view> known;
  for (const Row& row : kRows) known.push_back(row.key);
  return absl::NotFoundError(
      absl::StrCat("there is no policy key \"", ToAbsl(key), "\"", DidYouMean(key, known)));
}

double NumberOf(const Row& row, const PolicyConfig& config) {
  return std::visit(
      [&](auto member) -> double {
        if constexpr (std::is_same_v<decltype(member), Micros PolicyConfig::*>) {
          return static_cast<double>((config.*member).count());
        } else {
          return static_cast<double>(config.*member);
        }
      },
      row.member);
}

// Also refuses what is not a number: it compares with nothing.
bool InRange(const Row& row, double value) {
  return IsSwitch(row) || (value >= row.range.min && value <= row.range.max);
}

absl::Status Wrong(const Row& row, std::string_view found) {
  return absl::InvalidArgumentError(absl::StrCat(ToAbsl(row.key), ": found \"", ToAbsl(found),
                                                 "\", allowed is ", RangeText(row)));
}

template <class Number>
bool ParseAll(std::string_view text, Number* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

const std::vector<PolicyField>& PolicyFields() {
  static const auto& descriptions = *[] {
    auto* texts = new std::vector<std::string>;
    for (const Row& row : kRows) {
      texts->push_back(absl::StrCat(ToAbsl(row.meaning), "; ", RangeText(row)));
    }
    return texts;
  }();
  static const auto& fields = *[] {
    auto* list = new std::vector<PolicyField>;
    for (size_t i = 0; i < kRows.size(); ++i) list->push_back({kRows[i].key, descriptions[i]});
    return list;
  }();
  return fields;
}

absl::StatusOr<std::string> GetPolicyField(const PolicyConfig& config, std::string_view key) {
  const absl::StatusOr<const Row*> row = FindRow(key);
  if (!row.ok()) return row.status();
  const double value = NumberOf(**row, config);
  if (IsSwitch(**row)) return std::string(value != 0 ? "true" : "false");
  if (IsWhole(**row)) return absl::StrCat(static_cast<int64_t>(value));
  return NumberText(value);
}

absl::Status SetPolicyField(PolicyConfig& config, std::string_view key, std::string_view value) {
  const absl::StatusOr<const Row*> found = FindRow(key);
  if (!found.ok()) return found.status();
  const Row& row = **found;
  PolicyConfig changed = config;
  bool read = false;
  if (const auto* flag = std::get_if<bool PolicyConfig::*>(&row.member)) {
    read = value == "true" || value == "false";
    changed.** flag = value == "true";
  } else if (const auto* number = std::get_if<double PolicyConfig::*>(&row.member)) {
    read = ParseAll(value, &(changed.**number));
  } else if (const auto* count = std::get_if<int PolicyConfig::*>(&row.member)) {
    read = ParseAll(value, &(changed.**count));
  } else if (const auto* span = std::get_if<Micros PolicyConfig::*>(&row.member)) {
    int64_t microseconds = 0;
    read = ParseAll(value, &microseconds);
    changed.** span = Micros(microseconds);
  }
  if (!read || !InRange(row, NumberOf(row, changed))) return Wrong(row, value);
  config = changed;
  return absl::OkStatus();
}

absl::Status ValidatePolicy(const PolicyConfig& config) {
  for (const Row& row : kRows) {
    const double value = NumberOf(row, config);
    if (!InRange(row, value)) return Wrong(row, NumberText(value));
  }
  constexpr double kSumTolerance = 1e-6;
  const double sum = config.w1 + config.w2 + config.w3 + config.w4;
  if (std::abs(sum - 1) > kSumTolerance) {
    return absl::InvalidArgumentError(
        absl::StrCat("w1 + w2 + w3 + w4: found ", NumberText(sum), ", must be 1"));
  }
  if (config.rho_fast_half_life_visits > config.rho_slow_half_life_visits) {
    return absl::InvalidArgumentError(absl::StrCat(
        "rho_fast_half_life_visits: found ", NumberText(config.rho_fast_half_life_visits),
        ", must be at most rho_slow_half_life_visits (",
        NumberText(config.rho_slow_half_life_visits), ")"));
  }
  if (config.psi_low_bit_floor > config.psi_no_low_bit) {
    return absl::InvalidArgumentError(
        absl::StrCat("psi_low_bit_floor: found ", NumberText(config.psi_low_bit_floor),
                     ", must be at most psi_no_low_bit (", NumberText(config.psi_no_low_bit), ")"));
  }
  const double claimed = config.protected_share + config.demand_reserve;
  if (claimed > 1) {
    return absl::InvalidArgumentError(absl::StrCat("protected_share + demand_reserve: found ",
                                                   NumberText(claimed), ", must be at most 1"));
  }
  return absl::OkStatus();
}

}  // namespace residency
