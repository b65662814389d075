#include "policy/moves.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "policy/sensitivity.h"

namespace residency {
namespace {

// After a write to disk or to the catalogue failed, nothing is staged for this long.
constexpr Micros kStageBackoff{5'000'000};

}  // namespace

absl::Status Moves::Start(const Transition& transition, const Why& why) {
  const Block& block = s_.table.block(transition.block);
  const Score score =
      scoring_.ScoreMove(block.id, transition.to, transition.cls, transition.encoding);
  const ResidencyState from = s_.table.SettledState(block.id);
  Transition sourced = transition;
  if (!sourced.supply && !sourced.source.valid()) {
    sourced.source = scoring_.BestSource(block.id, transition.to, transition.encoding).slot;
  }
  auto spec = s_.table.Begin(sourced);
  if (!spec.ok()) return spec.status();

  Started started{.path = scoring_.PathOf(*spec),
                  .cls = transition.cls,
                  .bytes = block.bytes,
                  .prefetch = why.verdict == Verdict::kPrefetch,
                  .background = transition.purpose == Purpose::kBackground,
                  .target = transition.to,
                  .encoding = transition.encoding};
  const double eta = s_.links.EstimateUs(started.path, block.bytes, started.cls);
  s_.links.OnStarted(started.path, started.cls, started.bytes);
  if (started.background) ++vetting_.background_in_flight;
  ++s_.counters.transitions_begun;
  if (started.prefetch) {
    ++s_.counters.prefetches_begun;
    HintSessions(block.id, ArrivingHint{block.id, Micros(static_cast<int64_t>(eta))});
  }
  recorder_.Record({.block = block.id,
                    .pool = transition.to,
                    .from = from,
                    .to = StateOf(s_.table.pool(transition.to).tier(), transition.encoding),
                    .verdict = why.verdict,
                    .reason = why.reason,
                    .competing = why.competing,
                    .score = score});
  started_.emplace(spec->ticket, std::move(started));
  s_.Emit(StartTransfer{*std::move(spec)});
  return absl::OkStatus();
}

void Moves::Reclassify(Ticket ticket, LinkClass cls) {
  const auto it = started_.find(ticket);
  if (it == started_.end() || it->second.cls == cls) return;
  s_.links.OnReclassified(it->second.path, it->second.cls, cls, it->second.bytes);
  it->second.cls = cls;
  s_.table.Reclassify(ticket, cls);
  s_.Emit(ReclassifyTransfer{ticket, cls});
}

void Moves::Raise(Ticket ticket) { Reclassify(ticket, LinkClass::kDemand); }

void Moves::Lower(Ticket ticket) {
  const auto it = started_.find(ticket);
  if (it != started_.end() && it->second.cls == LinkClass::kDemand) {
    Reclassify(ticket, LinkClass::kPrefetch);
  }
}

void Moves::Cancel(Ticket ticket) {
  const LiveTransition* live = s_.table.Live(ticket);
  if (live == nullptr || live->cancelling) return;
  s_.table.MarkCancelling(ticket);
  ++s_.counters.transitions_cancelled;
  s_.Emit(CancelTransfer{ticket});
}

void Moves::AskHolders(SlotId slot) {
  const Copy& copy = s_.table.copy(slot);
  const CopyPlace place = s_.table.pool(copy.pool).PlaceOf(copy.extent());
  if (s_.table.pool(copy.pool).tier() == Tier::kNvme) {
    // The row goes first: an extent that a row names is never written again.
    s_.Emit(Persist{EraseExtent{slot, place}, CommitToken(slot, copy.generation)});
  } else {
    s_.Emit(ReclaimCopy{slot, copy.generation, place});
  }
}

absl::Status Moves::Drop(SlotId slot, const Why& why) {
  const Copy copy = s_.table.copy(slot);
  const ResidencyState from = s_.table.StateOf(copy);
  const Score score = scoring_.ScoreCopy(slot);
  Recorder::Note note{.block = copy.block,
                      .pool = copy.pool,
                      .from = from,
                      .to = ResidencyState::kS6Recomputable,
                      .verdict = why.verdict,
                      .reason = why.reason,
                      .competing = why.competing,
                      .score = score};
  if (absl::Status status = s_.table.Retire(slot); !status.ok()) return status;
  note.to = s_.table.SettledState(copy.block);
  recorder_.Record(note);
  s_.victims[copy.pool.value()].Remove(slot);
  leaving_[slot] = copy.generation;
  if (prefetched_.erase({slot, copy.generation}) > 0) ++s_.counters.prefetches_wasted;
  scoring_.Refresh(copy.block);
  AskHolders(slot);
  return absl::OkStatus();
}

void Moves::Quarantine(SlotId slot, const std::string& why) {
  const Copy copy = s_.table.copy(slot);
  s_.victims[copy.pool.value()].Remove(slot);
  std::map<SessionId, std::vector<LeaseId>> by_session;  // told in the same order in every run
  for (const LeaseId lease : s_.table.Quarantine(slot)) {
    by_session[s_.table.FindLease(lease)->session].push_back(lease);
  }
  for (auto& [session, leases] : by_session) {
    std::sort(leases.begin(), leases.end());
    s_.Emit(SendHint{session, RevokedHint{std::move(leases), why}});
  }
  scoring_.Refresh(copy.block);
  ReleaseQuarantined(slot);
}

void Moves::ReleaseQuarantined(SlotId slot) {
  const Copy& copy = s_.table.copy(slot);
  if (copy.status != CopyStatus::kQuarantined || copy.leases > 0) return;
  leaving_[slot] = copy.generation;
  AskHolders(slot);
}

void Moves::HintSessions(BlockId block, const Hint& hint) {
  const ModelId model = s_.table.block(block).model;
  std::vector<SessionId> told;
  for (const auto& [id, session] : s_.sessions) {
    if (session.models.contains(model)) told.push_back(id);
  }
  std::sort(told.begin(), told.end());  // the same order in every run
  for (const SessionId id : told) s_.Emit(SendHint{id, hint});
}

void Moves::CountChange(const StateChange& change) {
  if (change.promotion()) ++s_.counters.promotions;
  if (change.demotion()) ++s_.counters.demotions;
  vetting_.OnMoved(change);
}

void Moves::Arrived(const ResidencyTable::Completed& done, const Started& started) {
  const Copy& copy = s_.table.copy(done.slot);
  if (done.needs_commit) {
    const CopyPlace place = s_.table.pool(copy.pool).PlaceOf(copy.extent());
    s_.Emit(Persist{PersistExtent{done.slot, copy.block, place, copy.encoding, copy.checksum},
                    CommitToken(done.slot, copy.generation)});
  } else {
    CountChange(done.change);
    if (done.stage) ++s_.counters.stages;
  }
  if (started.prefetch) {
    // Raised by demand before it arrived: it was used.
    if (started.cls == LinkClass::kDemand) {
      ++s_.counters.prefetches_used;
    } else {
      prefetched_.insert({done.slot, copy.generation});
    }
    HintSessions(copy.block, PromotedHint{copy.block, s_.table.SettledState(copy.block)});
  }
  for (const SlotId slot : done.retired) {
    s_.victims[s_.table.copy(slot).pool.value()].Remove(slot);
    leaving_[slot] = s_.table.copy(slot).generation;
    AskHolders(slot);
  }
  if (copy.encoding == Encoding::kLowbit) HintSessions(copy.block, ServeLowbitHint{copy.block});
  if (copy.encoding == Encoding::kFull) Supersede(copy);
  scoring_.Refresh(copy.block);
}

void Moves::Supersede(const Copy& full) {
  if (s_.table.pool(full.pool).tier() != Tier::kHbm) return;
  s_.table.ForEachCopy(full.block, [&](SlotId slot, const Copy& copy) {
    const bool hbm = s_.table.pool(copy.pool).tier() == Tier::kHbm;
    if (hbm && copy.encoding != Encoding::kFull) superseded_.push_back({slot, copy.generation});
  });
}

// An engine's word on how much quality its block is worth counts before ours.
void Moves::Measured(BlockId id) {
  const Block& block = s_.table.block(id);
  if (block.sensitivity_given || !block.facts.measured) return;
  s_.table.SetSensitivity(id, MeasuredSensitivity(block.role, block.facts.lowbit_error));
}

void Moves::OnEnded(const TransferOutcome& outcome) {
  for (const LinkUse& use : outcome.uses) s_.links.OnMeasured(use);
  const auto it = started_.find(outcome.ticket);
  if (it == started_.end()) return;  // of a ticket that is no longer live: harmless
  const Started started = std::move(it->second);
  started_.erase(it);
  s_.links.OnEnded(started.path, started.cls, started.bytes);
  if (started.background) --vetting_.background_in_flight;
  s_.progress = true;

  if (outcome.failure != TransferFailure::kNone) {
    if (const auto failed = s_.table.Fail(outcome.ticket)) Missed(outcome, *failed, started);
    return;
  }
  const LiveTransition* live = s_.table.Live(outcome.ticket);
  const bool first = live != nullptr && !s_.table.block(live->block).checksum_known;
  if (const auto done = s_.table.Complete(outcome, s_.now)) {
    const BlockId block = s_.table.copy(done->slot).block;
    if (first) s_.Emit(Persist{PersistChecksum{block, s_.table.block(block).checksum}, 0});
    if (outcome.facts.measured) Measured(block);
    Arrived(*done, started);
  }
}

void Moves::Missed(const TransferOutcome& outcome, const ResidencyTable::Failed& failed,
                   const Started& started) {
  if (started.prefetch) ++s_.counters.prefetches_wasted;
  if (outcome.failure == TransferFailure::kCancelled) return;
  if (outcome.failure == TransferFailure::kTooLarge) {
    // Known to the byte now: whoever wants it tries again with the right room.
    return s_.table.Learn(failed.block, outcome.facts, outcome.bytes);
  }
  ++s_.counters.transitions_failed;
  const std::string why(outcome.status.message());
  if (outcome.failure == TransferFailure::kSourceCorrupt) ++s_.counters.checksum_failures;
  // A held copy that can't be read or reads wrongly is of no use. Another source may still be good:
  // waiters try again, and fail only when none is left.
  const bool copy_is_bad = outcome.failure == TransferFailure::kSourceCorrupt ||
                           outcome.failure == TransferFailure::kSourceError;
  if (copy_is_bad && failed.source.valid()) return Quarantine(failed.source, why);
  if (outcome.failure == TransferFailure::kSourceChanged && !failed.supplied) {
    s_.table.BreakRecipes(failed.recipe.file);
  }
  if (outcome.failure == TransferFailure::kTargetError &&
      s_.table.pool(started.target).tier() == Tier::kNvme) {
    stage_again_ = s_.now + kStageBackoff;
    stage_problem_ = why;
  }
  failures_.push_back({failed.block, outcome.failure, outcome.status, failed.supplied,
                       started.target, started.encoding});
}

void Moves::OnCommitted(uint64_t token) {
  const SlotId slot(static_cast<uint32_t>(token >> 32));
  const Generation generation(static_cast<uint32_t>(token));
  if (!s_.table.copies().Is(slot, generation)) return;
  if (s_.table.copy(slot).status != CopyStatus::kCommitting) return OnReclaimed(slot, generation);
  stage_problem_.clear();
  if (const auto change = s_.table.Committed(slot, generation, s_.now)) {
    CountChange(*change);
    if (change->from == change->to) ++s_.counters.stages;
    scoring_.Refresh(change->block);
    s_.progress = true;
  }
}

void Moves::OnCommitFailed(uint64_t token, const absl::Status& status) {
  const SlotId slot(static_cast<uint32_t>(token >> 32));
  const Generation generation(static_cast<uint32_t>(token));
  if (!s_.table.copies().Is(slot, generation)) return;
  stage_again_ = s_.now + kStageBackoff;
  stage_problem_ = std::string(status.message());
  // An extent without a row is not there after a crash: it never was a copy. One whose row could
  // not be deleted stays out of use until it can.
  if (s_.table.copy(slot).status == CopyStatus::kCommitting) {
    const Copy& copy = s_.table.copy(slot);
    failures_.push_back(
        {copy.block, TransferFailure::kTargetError, status, false, copy.pool, copy.encoding});
    s_.table.Abandon(slot);
    s_.progress = true;
  } else {
    ask_again_.push_back({slot, generation});
  }
}

void Moves::OnReclaimed(SlotId slot, Generation generation) {
  const auto change = s_.table.Reclaim(slot, generation);
  if (!change) return KeepAfterAll(slot, generation);
  leaving_.erase(slot);
  CountChange(*change);
  scoring_.Refresh(change->block);
  s_.progress = true;
}

// The copy was on its way out and has become the last lossless one meanwhile: the table has made it
// live again. Its row has left the catalogue and goes back there; nobody waits for that.
void Moves::KeepAfterAll(SlotId slot, Generation generation) {
  if (!s_.table.copies().Is(slot, generation)) return;
  const Copy& copy = s_.table.copy(slot);
  if (copy.status != CopyStatus::kLive || leaving_.erase(slot) == 0) return;
  const Pool& pool = s_.table.pool(copy.pool);
  if (pool.tier() == Tier::kNvme) {
    s_.Emit(Persist{
        PersistExtent{slot, copy.block, pool.PlaceOf(copy.extent()), copy.encoding, copy.checksum},
        0});
  }
  scoring_.Refresh(copy.block);
  s_.progress = true;
}

void Moves::OnStillHeld(SlotId slot, Generation generation) {
  if (s_.table.StillHeld(slot, generation)) {
    leaving_.erase(slot);
    scoring_.Refresh(s_.table.copy(slot).block);
    s_.progress = true;
  } else if (s_.table.copies().Is(slot, generation)) {
    ask_again_.push_back({slot, generation});
  }
}

void Moves::AskAgain() {
  for (const auto& [slot, generation] : std::exchange(ask_again_, {})) {
    if (s_.table.copies().Is(slot, generation)) AskHolders(slot);
  }
}

void Moves::OnUsed(SlotId slot) {
  if (prefetched_.erase({slot, s_.table.copy(slot).generation}) > 0) ++s_.counters.prefetches_used;
}

std::vector<Extent> Moves::LeavingExtents(PoolId pool) const {
  std::vector<Extent> extents;
  for (const auto& [slot, generation] : leaving_) {
    const Copy& copy = s_.table.copy(slot);
    if (copy.pool == pool && copy.generation == generation) extents.push_back(copy.extent());
  }
  return extents;
}

}  // namespace residency
