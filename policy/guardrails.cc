#include "policy/guardrails.h"

namespace residency {
namespace {

using enum ResidencyState;

bool IsHbm(ResidencyState state) { return state <= ResidencyState::kS2CompressedHbm; }

bool Background(const MoveFacts& facts) { return facts.purpose == Purpose::kBackground; }

bool Leased(const MoveFacts& facts, const PolicyConfig&) { return facts.dropping && facts.leased; }

bool Pinned(const MoveFacts& facts, const PolicyConfig&) { return facts.dropping && facts.pinned; }

bool Sensitive(const MoveFacts& facts, const PolicyConfig& config) {
  // Whoever wakes an idle model may be served what is there: S1 is forbidden whatever the activity.
  const bool to_low_bit = facts.to == kS1LowbitHbm && facts.from != kS1LowbitHbm;
  if (to_low_bit && facts.psi > config.psi_no_low_bit) return true;
  const bool usable_now = facts.from == kS0FullHbm || facts.from == kS1LowbitHbm;
  const bool pushed_cold = facts.dropping && usable_now && facts.to >= kS3Dram;
  return pushed_cold && facts.psi > config.psi_low_bit_floor && facts.model_active &&
         !facts.protection_lost;
}

bool LastLosslessCopy(const MoveFacts& facts, const PolicyConfig&) {
  return facts.dropping && facts.last_lossless;
}

// A drop alone is no transition: it moves no bytes and takes no place among those in flight.
bool InFlight(const MoveFacts& facts, const PolicyConfig& config) {
  return facts.in_flight || (facts.adding && Background(facts) &&
                             facts.background_in_flight >= config.in_flight_limit);
}

// Demand that needs the room is not held up by this one and the next.
bool MinResidency(const MoveFacts& facts, const PolicyConfig& config) {
  return facts.dropping && Background(facts) && facts.resident_for < config.min_residency;
}

// Only what goes in and out of HBM thrashes: a colder copy added below is the cure, and so is a
// low-bit one, which stays within a share of its own.
bool Thrash(const MoveFacts& facts, const PolicyConfig& config) {
  const bool enters_hbm =
      facts.adding && facts.to < facts.from && IsHbm(facts.to) && facts.to != kS1LowbitHbm;
  const bool leaves_hbm = facts.dropping && IsHbm(facts.from);
  return Background(facts) && (enters_hbm || leaves_hbm) &&
         facts.recent_round_trips >= config.thrash_limit;
}

bool Bandwidth(const MoveFacts& facts, const PolicyConfig& config) {
  return facts.adding && Background(facts) &&
         facts.link_backlog > kBacklogSecondsMax * config.background_share;
}

bool NoRoom(const MoveFacts& facts, const PolicyConfig&) { return facts.adding && !facts.room; }

bool Quota(const MoveFacts& facts, const PolicyConfig& config) {
  return facts.adding && facts.domain_share > config.domain_quota;
}

bool Quarantined(const MoveFacts& facts, const PolicyConfig&) {
  return facts.adding && facts.quarantined;
}

constexpr std::array<NamedGuardrail, kVetoReasonCount> kGuardrails = {{
    {VetoReason::kLeased, Leased},
    {VetoReason::kPinned, Pinned},
    {VetoReason::kSensitive, Sensitive},
    {VetoReason::kLastLosslessCopy, LastLosslessCopy},
    {VetoReason::kInFlight, InFlight},
    {VetoReason::kMinResidency, MinResidency},
    {VetoReason::kThrash, Thrash},
    {VetoReason::kBandwidth, Bandwidth},
    {VetoReason::kNoRoom, NoRoom},
    {VetoReason::kQuota, Quota},
    {VetoReason::kQuarantined, Quarantined},
}};

}  // namespace

const char* Name(VetoReason reason) {
  constexpr const char* kNames[] = {
      "leased",    "pinned",        "sensitive",  "last_lossless_copy",
      "in_flight", "min_residency", "thrash",     "bandwidth",
      "no_room",   "quota",         "quarantined"};
  static_assert(std::size(kNames) == kVetoReasonCount);
  return kNames[static_cast<int>(reason)];
}

std::optional<VetoReason> Veto(const MoveFacts& facts, const PolicyConfig& config) {
  for (const NamedGuardrail& guardrail : kGuardrails) {
    if (guardrail.objects(facts, config)) return guardrail.reason;
  }
  return std::nullopt;
}

std::span<const NamedGuardrail> Guardrails() { return kGuardrails; }

}  // namespace residency
