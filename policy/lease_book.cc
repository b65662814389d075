#include "policy/lease_book.h"

#include <algorithm>

#include "core/check.h"

namespace residency {
namespace {

// A recalled lease that is idle comes back within a round trip. After this long it is in use, and
// room is looked for elsewhere.
constexpr Micros kRecallPatience{20'000};

}  // namespace

GrantedLease LeaseBook::Describe(LeaseId id) const {
  const Lease& lease = *s_.table.FindLease(id);
  const Copy& copy = s_.table.copy(lease.slot);
  return {.lease = id,
          .block = lease.block,
          .place = s_.table.pool(copy.pool).PlaceOf(copy.extent()),
          .bytes = s_.table.BytesOf(copy),
          .encoding = copy.encoding,
          .generation = copy.generation,
          .checksum = copy.checksum,
          .mode = lease.mode,
          .served_from = s_.table.StateOf(copy),
          .layout = s_.table.layout(s_.table.block(lease.block)),
          .element = s_.table.block(lease.block).element,
          .full_bytes = s_.table.block(lease.block).bytes,
          .lowbit = s_.table.pool(copy.pool).options().lowbit,
          .lowbit_error = s_.table.block(lease.block).facts.lowbit_error};
}

GrantedLease LeaseBook::Grant(SessionState& session, SlotId slot, LeaseMode mode,
                              ResidencyState served_from, Micros stall) {
  const Copy& copy = s_.table.copy(slot);
  const bool was_there = served_from == s_.table.StateOf(copy) || !IsSettled(served_from);
  if (mode != LeaseMode::kStreaming) {
    streamed_.erase(slot);
  } else if (!was_there && copy.leases == 0) {
    streamed_.insert(slot);
  }
  const auto id = s_.table.Grant(session.id, slot, mode, s_.now);
  RESIDENCY_CHECK(id.ok(), "a lease granted on a copy that is not live");
  by_slot_[slot].push_back(*id);
  session.leases.insert(*id);
  GrantedLease granted = Describe(*id);
  granted.served_from = served_from;
  granted.stall = stall;
  session.leased += granted.full_bytes;
  if (mode != LeaseMode::kRecallable) session.hard_leased += granted.full_bytes;
  ++s_.counters.served_from[static_cast<int>(served_from)];
  s_.counters.served_bytes[static_cast<int>(served_from)] += granted.bytes.count();
  moves_.OnUsed(slot);
  return granted;
}

void LeaseBook::Forget(const Lease& lease) {
  const auto it = by_slot_.find(lease.slot);
  auto& leases = it->second;
  leases.erase(std::find(leases.begin(), leases.end(), lease.id));
  if (leases.empty()) by_slot_.erase(it);
}

bool LeaseBook::End(SessionState& session, LeaseId id) {
  const Lease* found = s_.table.FindLease(id);
  if (found == nullptr || found->session != session.id) return false;
  const Lease lease = *found;
  const Bytes bytes = s_.table.block(lease.block).bytes;
  Forget(lease);
  session.leases.erase(id);
  session.leased -= bytes;
  if (lease.mode != LeaseMode::kRecallable) session.hard_leased -= bytes;
  if (lease.recalled && --session.recalls_open == 0) session.unhealthy = false;
  s_.table.EndLease(session.id, id);
  s_.progress = true;

  const Copy& copy = s_.table.copy(lease.slot);
  if (copy.leases > 0) return true;
  const bool streamed = streamed_.erase(lease.slot) + superseded_.erase(lease.slot) > 0;
  if (copy.status == CopyStatus::kQuarantined) {
    moves_.ReleaseQuarantined(lease.slot);
  } else if (streamed) {
    streamed_out_.push_back({lease.slot, lease.generation});
  }
  return true;
}

void LeaseBook::DropStreamed(const std::function<bool(BlockId)>& wanted) {
  for (const auto& [slot, generation] : std::exchange(streamed_out_, {})) {
    if (!s_.table.copies().Is(slot, generation)) continue;
    const Copy& copy = s_.table.copy(slot);
    if (copy.leases > 0 || s_.table.block(copy.block).pins > 0 || wanted(copy.block)) continue;
    // Streamed blocks are served, not admitted. If this is the last lossless copy it stays.
    (void)moves_.Drop(slot, {.verdict = Verdict::kBypass, .reason = "streamed", .competing = {}});
  }
}

void LeaseBook::DropSuperseded(const std::vector<std::pair<SlotId, Generation>>& copies) {
  for (const auto& [slot, generation] : copies) {
    if (!s_.table.copies().Is(slot, generation)) continue;
    if (s_.table.copy(slot).status != CopyStatus::kLive) continue;
    if (s_.table.copy(slot).leases > 0) {
      superseded_[slot] = generation;
      Recall(slot);
      continue;
    }
    (void)moves_.Drop(slot,
                      {.verdict = Verdict::kDemote, .reason = "a full copy came", .competing = {}});
  }
}

void LeaseBook::EndAll(SessionState& session) { EndAllBut(session, {}); }

void LeaseBook::EndAllBut(SessionState& session, const std::vector<LeaseId>& held) {
  const absl::flat_hash_set<LeaseId> kept(held.begin(), held.end());
  std::vector<LeaseId> going;
  for (const LeaseId id : session.leases) {
    if (!kept.contains(id)) going.push_back(id);
  }
  std::sort(going.begin(), going.end());  // the same order in every run
  for (const LeaseId id : going) End(session, id);
}

bool LeaseBook::Recall(SlotId slot) {
  const auto it = by_slot_.find(slot);
  if (it == by_slot_.end()) return false;
  bool hopeful = true;
  for (const LeaseId id : it->second) {
    Lease& lease = *s_.table.FindLease(id);
    if (lease.mode != LeaseMode::kRecallable) return false;
    if (lease.recalled) {
      hopeful &= s_.now - lease.recalled_at <= kRecallPatience;
      continue;
    }
    lease.recalled = true;
    lease.recalled_at = s_.now;
    ++s_.sessions.at(lease.session).recalls_open;
    ++s_.counters.recalls;
    recalls_[lease.session].push_back(id);
  }
  return hopeful;
}

bool LeaseBook::Recalled(SlotId slot) const {
  const auto it = by_slot_.find(slot);
  return it != by_slot_.end() && std::all_of(it->second.begin(), it->second.end(), [&](LeaseId id) {
           return s_.table.FindLease(id)->recalled;
         });
}

void LeaseBook::RepeatRecalls(const SessionState& session) {
  std::vector<LeaseId> open;
  for (const LeaseId id : session.leases) {
    Lease& lease = *s_.table.FindLease(id);
    if (!lease.recalled) continue;
    lease.recalled_at = s_.now;
    open.push_back(id);
  }
  std::sort(open.begin(), open.end());
  if (!open.empty()) recalls_[session.id] = std::move(open);
}

void LeaseBook::SendRecalls() {
  for (auto& [session, leases] : recalls_) {
    s_.Emit(SendHint{session, RecallHint{std::move(leases)}});
  }
  recalls_.clear();
}

void LeaseBook::CheckDeadlines() {
  for (auto& [id, session] : s_.sessions) {
    if (session.recalls_open == 0) continue;
    for (const LeaseId lease_id : session.leases) {
      const Lease& lease = *s_.table.FindLease(lease_id);
      if (lease.recalled && s_.now - lease.recalled_at > s_.config.recall_deadline) {
        session.unhealthy = true;
      }
    }
  }
}

}  // namespace residency
