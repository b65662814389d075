#include "policy/room.h"

#include <algorithm>

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
  MoveFacts facts = vetting_.FactsOfDrop(slot, want.purpose);
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
  if (background) {
    return TakeVictims(want, {.unleased = true, .recalled = true, .leased = true}, candidates,
                       progress);
  }
  // Somebody waits: what can go at once goes before leases are waited for, and what was asked back
  // is waited for before more is. Sensitive blocks go before a batch within its limits fails.
  return TakeVictims(want, {.unleased = true}, candidates, progress) ||
         TakeVictims(want, {.recalled = true}, candidates, progress) ||
         TakeVictims(want, {.leased = true}, candidates, progress) ||
         TakeVictims(want, {.unleased = true, .recalled = true, .leased = true, .protect = false},
                     candidates, progress);
}

bool Room::TakeVictims(const Want& want, Pass pass, const std::vector<SlotId>& candidates,
                       Progress& progress) {
  for (const SlotId slot : candidates) {
    const Copy& copy = s_.table.copy(slot);
    if (copy.status != CopyStatus::kLive) continue;
    if (want.untouchable && want.untouchable(copy.block)) continue;
    const bool recalled = copy.leases > 0 && leases_.Recalled(slot);
    const bool suits = copy.leases == 0 ? pass.unleased : recalled ? pass.recalled : pass.leased;
    if (!suits) continue;
    TakeVictim(want, slot, pass.protect, progress);
    if (Enough(want, progress)) return true;
  }
  return false;
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
