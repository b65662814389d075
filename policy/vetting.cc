#include "policy/vetting.h"

namespace residency {
namespace {

// Blocks whose last veto is remembered to keep the ring readable; past it all are forgotten.
constexpr size_t kRememberedVetoesMax = 4096;

}  // namespace

Decision Recorder::Make(const Note& note) const {
  Decision d;
  d.tick = s_.tick;
  d.at = s_.now;
  d.block = note.block;
  d.score = note.score;
  d.hysteresis = s_.config.hysteresis;
  d.from = note.from;
  d.to = note.to;
  d.verdict = note.verdict;
  d.veto = note.veto;
  d.reason = note.reason;
  d.competing = note.competing;
  if (note.pool.valid()) {
    d.threshold = s_.victims[note.pool.value()].LowestK();
    d.pool_pressure = s_.table.pool(note.pool).pressure();
  }
  d.k_victim = d.threshold;
  if (note.competing.valid() && note.pool.valid()) {
    const SlotId slot = s_.table.LosslessIn(note.competing, note.pool);
    if (slot.valid()) d.k_victim = scoring_.OrderKey(slot, scoring_.ScoreCopy(slot));
  }
  return d;
}

void Recorder::Record(const Note& note) {
  ++s_.counters.decisions;
  s_.ring.Record(Make(note));
}

MoveFacts Vetting::FactsOfDrop(SlotId slot, Purpose purpose) const {
  const Copy& copy = s_.table.copy(slot);
  const Block& block = s_.table.block(copy.block);
  MoveFacts facts;
  facts.from = s_.table.StateOf(copy);
  facts.to = ResidencyState::kS6Recomputable;
  s_.table.ForEachCopy(block.id, [&](SlotId other, const Copy& c) {
    if (other != slot && c.status == CopyStatus::kLive) {
      facts.to = std::min(facts.to, s_.table.StateOf(c));
    }
  });
  facts.purpose = purpose;
  facts.dropping = true;
  facts.leased = copy.hard_leases > 0;
  facts.pinned = block.pins > 0;
  facts.last_lossless = IsLossless(copy.encoding) && !block.CanRecompute() &&
                        !s_.table.HasLosslessBesides(block.id, slot);
  facts.in_flight = s_.table.IsSourceOfLive(slot);
  facts.model_active = scoring_.ActivityOf(block.model) >= kActiveFrom;
  facts.psi = block.sensitivity;
  facts.protection_lost = scoring_.ScoreCopy(slot).k < s_.protection_floor_k[copy.pool.value()];
  facts.resident_for = s_.now - TimePoint(Micros(copy.since_us));
  facts.recent_round_trips = RoundTrips(block.id);
  return facts;
}

MoveFacts Vetting::FactsOfAdd(BlockId id, PoolId to, Purpose purpose, Encoding encoding) const {
  const Block& block = s_.table.block(id);
  const Pool& pool = s_.table.pool(to);
  MoveFacts facts;
  facts.from = s_.table.SettledState(id);
  facts.to = std::min(facts.from, StateOf(pool.tier(), encoding));
  facts.purpose = purpose;
  facts.adding = true;
  facts.in_flight = block.live.valid();
  facts.psi = block.sensitivity;
  facts.background_in_flight = background_in_flight;
  facts.recent_round_trips = RoundTrips(id);
  s_.table.ForEachCopy(id, [&](SlotId, const Copy& c) {
    facts.quarantined |=
        c.status == CopyStatus::kQuarantined && c.pool == to && c.encoding == encoding;
  });
  facts.link_backlog = s_.links.BacklogSeconds(scoring_.PathTo(id, to, SlotId(), encoding));
  const bool suits = s_.table.SuitsIn(id, to, encoding) == Suitability::kSuits;
  const Bytes footprint = pool.Footprint(suits ? s_.table.BytesIn(id, to, encoding) : block.bytes);
  const Bytes floor = purpose == Purpose::kDemand ? Bytes() : pool.demand_reserve();
  facts.room = footprint + floor <= pool.free();
  facts.domain_share = static_cast<double>((pool.used_by(block.domain) + footprint).count()) /
                       static_cast<double>(std::max<uint64_t>(1, pool.capacity().count()));
  return facts;
}

bool Vetting::Allows(const MoveFacts& facts, BlockId block, PoolId pool, const Score& score) {
  const auto veto = Veto(facts, s_.config);
  if (!veto) return true;
  s_.counters.vetoes.Count(*veto, facts.from, facts.to);
  if (last_veto_.size() >= kRememberedVetoesMax) last_veto_.clear();
  const auto [it, first] = last_veto_.try_emplace(block, *veto);
  if (first || it->second != *veto) {
    it->second = *veto;
    recorder_.Record({.block = block,
                      .pool = pool,
                      .from = facts.from,
                      .to = facts.to,
                      .verdict = Verdict::kVeto,
                      .veto = *veto,
                      .reason = facts.dropping ? "to make room" : "to be brought",
                      .competing = {},
                      .score = score});
  }
  return false;
}

int Vetting::RoundTrips(BlockId block) const {
  const auto it = trips_.find(block);
  if (it == trips_.end() || s_.now - it->second.window_begin > s_.config.thrash_window) return 0;
  return it->second.count;
}

void Vetting::OnMoved(const StateChange& change) {
  last_veto_.erase(change.block);
  if (!change.promotion() && !change.demotion()) return;
  Trips& trips = trips_[change.block];
  if (s_.now - trips.window_begin > s_.config.thrash_window) {
    trips = {.window_begin = s_.now, .count = 0, .demoted = false};
  }
  if (change.promotion() && trips.demoted) ++trips.count;
  trips.demoted = change.demotion();
}

void Vetting::Prune() {
  absl::erase_if(trips_, [&](const auto& entry) {
    return s_.now - entry.second.window_begin > s_.config.thrash_window;
  });
}

}  // namespace residency
