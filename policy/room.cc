#include "policy/room.h"

#include <algorithm>

#include "policy/window.h"

namespace residency {
namespace {

// One call looks at no more copies than this; what it did not reach, the next call does.
constexpr size_t kVictimsLookedAtMax = 4096;

}  // namespace

bool Room::Enough(const Want& want, const Progress& progress) const {
  const Pool& pool = s_.table.pool(want.pool);
  const Bytes floor = want.purpose == Purpose::kDemand ? Bytes() : pool.demand_reserve();
  if (pool.free() + progress.coming < want.total + floor) return false;
  return pool.WouldFit(want.domain, want.largest, want.purpose, progress.freed);
}

void Room::TakeVictim(const Want& want, SlotId slot, bool protect, Progress& progress) {
  const Copy copy = s_.table.copy(slot);
  const Score score = scoring_.ScoreCopy(slot);
  MoveFacts facts = FactsOf(want, slot);
  if (!protect) {
    // Only what protection alone holds; the rest was looked at before.
    if (vetting_.Objection(facts) != VetoReason::kSensitive) return;
    facts.protection_lost = true;
    ++s_.counters.protection_lost;
  }
  if (!vetting_.Allows(facts, copy.block, want.pool, score)) return;
  if (copy.leases > 0) {
    // In use, if a recall went unanswered for long enough.
    if (!leases_.Recall(slot)) {
      MoveFacts leased = facts;
      leased.leased = true;
      vetting_.Allows(leased, copy.block, want.pool, score);
      return;
    }
  } else if (!moves_
                  .Drop(slot, {.verdict = Verdict::kDemote,
                               .reason = want.purpose == Purpose::kDemand ? "room for demand"
                                                                          : "room for a higher K",
                               .competing = want.competing})
                  .ok()) {
    return;
  }
  progress.coming += Bytes(copy.length);
  progress.freed.push_back(copy.extent());
  progress.taken.insert(slot);
}

bool Room::LowbitKeepsItsShare(PoolId id) const {
  const double share = s_.config.lowbit_hbm_share;
  return static_cast<double>(s_.lowbit_bytes.count()) <=
         share * static_cast<double>(s_.table.pool(id).capacity().count());
}

MoveFacts Room::FactsOf(const Want& want, SlotId slot) const {
  MoveFacts facts = vetting_.FactsOfDrop(slot, want.purpose);
  if (want.young_too) {
    facts.resident_for = s_.config.min_residency;
    facts.recent_round_trips = 0;
  }
  return facts;
}

bool Room::Suits(const Want& want, const Pass& pass, SlotId slot) const {
  const Copy& copy = s_.table.copy(slot);
  if (copy.status != CopyStatus::kLive) return false;
  if (want.untouchable && want.untouchable(copy.block)) return false;
  if (copy.encoding == Encoding::kLowbit && !pass.low_bit && LowbitKeepsItsShare(want.pool)) {
    return false;
  }
  if (copy.leases == 0) return pass.unleased;
  return leases_.Recalled(slot) ? pass.recalled : pass.leased;
}

bool Room::TakeVictims(const Want& want, Pass pass, const std::vector<SlotId>& candidates,
                       Progress& progress) {
  for (const SlotId slot : candidates) {
    if (progress.taken.contains(slot) || !Suits(want, pass, slot)) continue;
    TakeVictim(want, slot, pass.protect, progress);
    if (Enough(want, progress)) return true;
  }
  return false;
}

bool Room::TakeWindow(const Want& want, Pass pass, const std::vector<SlotId>& candidates,
                      Progress& progress) {
  const Pool& pool = s_.table.pool(want.pool);
  const FreeSpace space = pool.UsableSpace(want.domain, progress.freed);
  const uint64_t length = pool.Footprint(want.largest).count();
  if (space.largest() >= length) return true;
  std::vector<WindowCell> cells;
  for (const auto& [offset, run] : space.runs()) cells.push_back({{offset, run}, 0, SlotId()});
  for (const SlotId slot : candidates) {
    if (progress.taken.contains(slot) || !Suits(want, pass, slot)) continue;
    const Copy& copy = s_.table.copy(slot);
    if (pool.options().domain_segments && s_.table.block(copy.block).domain != want.domain)
      continue;
    const MoveFacts facts = FactsOf(want, slot);
    // A veto is counted once, not again with every wider pass.
    const bool widened = pass.recalled && want.purpose == Purpose::kDemand;
    const bool allowed =
        widened ? !vetting_.Objection(facts)
                : vetting_.Allows(facts, copy.block, want.pool, scoring_.ScoreCopy(slot));
    if (!allowed) continue;
    const double k = s_.victims[want.pool.value()].KOf(slot).value_or(0);
    cells.push_back({copy.extent(), k * static_cast<double>(copy.length), slot});
  }
  const std::vector<SlotId> window = CheapestWindow(std::move(cells), length);
  for (const SlotId slot : window) TakeVictim(want, slot, /*protect=*/true, progress);
  return !window.empty();
}

bool Room::Make(const Want& want) {
  Progress progress;
  progress.freed = moves_.LeavingExtents(want.pool);
  for (const Extent& extent : progress.freed) progress.coming += Bytes(extent.length);
  if (Enough(want, progress)) return true;

  // Taken out first: dropping changes the order.
  const bool background = want.purpose == Purpose::kBackground;
  std::vector<SlotId> candidates;
  for (const auto& [k, slot] : s_.victims[want.pool.value()].ascending()) {
    if (background && k >= want.k_limit) break;
    if (candidates.size() == kVictimsLookedAtMax) break;
    candidates.push_back(slot);
  }
  const Pass all{.unleased = true, .recalled = true, .leased = true};
  if (background) {
    TakeWindow(want, all, candidates, progress);
    return Enough(want, progress) || TakeVictims(want, all, candidates, progress);
  }
  // Somebody waits: what can go at once goes before leases are waited for, and what was asked back
  // is waited for before more is. Sensitive blocks go before a batch within its limits fails.
  if (TakeWindow(want, {.unleased = true}, candidates, progress) ||
      TakeWindow(want, {.unleased = true, .recalled = true}, candidates, progress) ||
      TakeWindow(want, all, candidates, progress)) {
    if (Enough(want, progress)) return true;
  }
  return TakeVictims(want, {.unleased = true}, candidates, progress) ||
         TakeVictims(want, {.recalled = true}, candidates, progress) ||
         TakeVictims(want, {.leased = true}, candidates, progress) ||
         (!s_.lowbit_bytes.zero() &&
          TakeVictims(want, {.unleased = true, .recalled = true, .leased = true, .low_bit = true},
                      candidates, progress)) ||
         TakeVictims(want,
                     {.unleased = true,
                      .recalled = true,
                      .leased = true,
                      .protect = false,
                      .low_bit = true},
                     candidates, progress);
}

void Room::KeepHeadroom(PoolId id) {
  const Pool& pool = s_.table.pool(id);
  Bytes wanted = pool.demand_reserve();
  for (const auto& [session, state] : s_.sessions) wanted = std::max(wanted, state.max_batch * 2);
  Bytes loose = pool.capacity() - s_.table.leased_bytes(id);
  if (loose >= wanted) return;
  for (const auto& [k, slot] : s_.victims[id.value()].ascending()) {
    const Copy& copy = s_.table.copy(slot);
    if (copy.leases == 0 || copy.hard_leases > 0) continue;
    if (leases_.Recall(slot)) loose += Bytes(copy.length);
    if (loose >= wanted) return;
  }
}

void Room::RefreshProtection(PoolId id) {
  const Pool& pool = s_.table.pool(id);
  if (pool.tier() != Tier::kHbm) return;
  const double limit = s_.config.protected_share * static_cast<double>(pool.capacity().count());
  double protected_bytes = 0;
  double floor_k = 0;
  const auto& order = s_.victims[id.value()].ascending();
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    const Copy& copy = s_.table.copy(it->second);
    const Block& block = s_.table.block(copy.block);
    if (block.sensitivity <= s_.config.psi_low_bit_floor) continue;
    protected_bytes += static_cast<double>(copy.length);
    if (protected_bytes <= limit) continue;
    // This one and all below it. Counted when the floor rises past it.
    floor_k = std::max(floor_k, it->first * (1 + 1e-12) + 1e-12);
    if (it->first >= s_.protection_floor_k[id.value()]) ++s_.counters.protection_lost;
    break;
  }
  s_.protection_floor_k[id.value()] = floor_k;
}

}  // namespace residency
