// Transitions, drops and leases.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/check.h"
#include "core/residency_table.h"
#include "core/residency_table_watch.h"
#include "core/strings.h"

namespace residency {

SlotId ResidencyTable::NewCopy(Block& block, PoolId pool, Extent extent, Encoding encoding,
                               CopyStatus status) {
  const SlotId slot = copies_.Allocate();
  Copy& copy = copies_[slot];
  copy.block = block.id;
  copy.pool = pool;
  copy.offset = extent.offset;
  copy.length = extent.length;
  copy.encoding = encoding;
  copy.status = status;
  copy.next = std::exchange(block.first_copy, slot);
  return slot;
}

void ResidencyTable::RemoveCopy(SlotId slot) {
  SlotId* link = &blocks_[copies_[slot].block.value()].first_copy;
  while (*link != slot) link = &copies_[*link].next;
  *link = copies_[slot].next;
  copies_.Release(slot);
}

absl::Status ResidencyTable::CheckBegin(const Transition& transition) const {
  if (!Knows(transition.block)) {
    return absl::NotFoundError(absl::StrCat("no block ", transition.block.value()));
  }
  const Block& b = block(transition.block);
  const auto refused = [&](auto&&... why) {
    return absl::FailedPreconditionError(absl::StrCat("block ", ToAbsl(b.name), ": ", why...));
  };
  if (b.live.valid()) return refused("a transition is live already");
  if (CopyIn(b.id, transition.to, transition.encoding).valid()) {
    return refused("pool ", pool(transition.to).options().name, " holds such a copy already");
  }
  const Suitability suits = SuitsIn(b.id, transition.to, transition.encoding);
  if (suits != Suitability::kSuits) {
    return refused("encoding ", Name(transition.encoding), ": ", Explain(suits));
  }
  const ResidencyState from = SettledState(b.id);
  const ResidencyState to = residency::StateOf(pool(transition.to).tier(), transition.encoding);
  if (from != to && !IsLegalEdge(from, to)) {
    return refused("no edge from ", Name(from), " to ", Name(to));
  }
  if (transition.source.valid()) {
    const SlotId slot = transition.source;
    if (slot.value() >= copies_.size() || copies_[slot].block != b.id ||
        copies_[slot].status != CopyStatus::kLive || !IsLossless(copies_[slot].encoding)) {
      return refused("slot ", slot.value(), " is no live lossless copy of it");
    }
  }
  const bool sourced =
      ChooseSource(b.id, transition.to, transition.encoding).valid() || b.CanRecompute();
  if (!sourced && !transition.supply) return refused("neither a lossless copy nor a recipe");
  for (const SlotId slot : transition.drop) {
    if (slot.value() >= copies_.size() || copies_[slot].block != b.id ||
        copies_[slot].status != CopyStatus::kLive) {
      return refused("slot ", slot.value(), " to drop is no live copy of it");
    }
  }
  return absl::OkStatus();
}

SlotId ResidencyTable::SourceOf(const Transition& transition) const {
  if (transition.supply) return SlotId();
  if (transition.source.valid()) return transition.source;
  return ChooseSource(transition.block, transition.to, transition.encoding);
}

absl::StatusOr<TransferSpec> ResidencyTable::Begin(const Transition& transition) {
  if (absl::Status status = CheckBegin(transition); !status.ok()) return status;
  Block& block = blocks_[transition.block.value()];
  Pool& to = pool(transition.to);
  const SlotId source = SourceOf(transition);
  // What is not turned into another encoding is just as large as where it comes from: one made by
  // another version of the codec may differ from what the next one would take.
  const bool as_is = source.valid() && copies_[source].encoding == transition.encoding;
  const Bytes bytes =
      as_is ? BytesOf(copies_[source]) : BytesIn(block.id, to.id(), transition.encoding);
  auto room = to.Reserve(block.domain, bytes, transition.purpose);
  if (!room.ok()) return room.status();
  const Watch watch(*this, block.id);

  const Extent extent = room->extent();
  LiveTransition live{
      .ticket = Ticket(next_ticket_++),
      .block = block.id,
      .add = NewCopy(block, to.id(), extent, transition.encoding, CopyStatus::kArriving),
      .source = source,
      .recipe = transition.supply.value_or(block.recipe),
      .from = SettledState(block.id),
      .to = residency::StateOf(to.tier(), transition.encoding),
      .cls = transition.cls,
      .supplied = transition.supply.has_value(),
      .drop = transition.drop,
      .room = *std::move(room)};
  TransferSpec spec{
      .ticket = live.ticket,
      .block = block.id,
      .bytes = transition.encoding == Encoding::kCompressed ? Bytes(extent.length) : bytes,
      .source = live.recipe,
      .target = to.PlaceOf(extent),
      .encoding = transition.encoding,
      .expected_checksum = std::nullopt,
      .cls = transition.cls,
      .full_bytes = block.bytes,
      .element = block.element,
      .lowbit = to.options().lowbit,
      .measure = !block.facts.measured && ElementBytes(block.element) > 0};
  if (source.valid()) {
    const Copy& copy = copies_[source];
    spec.source = CopySource{pool(copy.pool).PlaceOf(copy.extent()), copy.checksum, copy.encoding,
                             BytesOf(copy)};
  }
  if (block.checksum_known) spec.expected_checksum = block.checksum;
  if (transition.supply_checksum) spec.expected_checksum = transition.supply_checksum;
  block.live = live.ticket;
  live_.emplace(live.ticket, std::move(live));
  return spec;
}

void ResidencyTable::Learn(BlockId id, const ContentFacts& facts, Bytes compressed) {
  Block& block = blocks_[id.value()];
  if (facts.measured) block.facts = facts;
  if (!compressed.zero()) block.compressed_pages = PagesOf(compressed);
}

std::optional<ResidencyTable::Completed> ResidencyTable::Complete(const TransferOutcome& outcome,
                                                                  TimePoint now) {
  const auto it = live_.find(outcome.ticket);
  if (it == live_.end()) {
    ++stale_tickets_;
    return std::nullopt;
  }
  Block& block = blocks_[it->second.block.value()];
  const Watch watch(*this, block.id);
  LiveTransition live = std::move(it->second);
  live_.erase(it);
  block.live = Ticket();
  block.ever_had_bytes = true;
  Copy& copy = copies_[live.add];
  if (copy.encoding == Encoding::kCompressed) live.room.Shrink(outcome.bytes);
  copy.length = live.room.extent().length;
  std::move(live.room).Keep();
  copy.checksum = outcome.checksum;
  copy.since_us = now.time_since_epoch().count();
  Completed done{.change = {}, .slot = live.add, .retired = {}};
  done.needs_commit = pool(copy.pool).tier() == Tier::kNvme;
  copy.status = done.needs_commit ? CopyStatus::kCommitting : CopyStatus::kLive;
  if (copy.encoding == Encoding::kFull || outcome.full_checksum) {
    block.checksum = outcome.full_checksum.value_or(outcome.checksum);
    block.checksum_known = true;
  }
  Learn(block.id, outcome.facts, copy.encoding == Encoding::kCompressed ? outcome.bytes : Bytes());
  for (const SlotId slot : live.drop) {
    // Gone meanwhile, it may be a copy of another block by now; of this block none has come since.
    std::string why;
    if (copies_[slot].block != block.id || !MayRetire(slot, &why)) continue;
    copies_[slot].status = CopyStatus::kRetiring;  // not by Retire: the watch is on already
    done.retired.push_back(slot);
  }
  done.change = watch.Change();
  done.stage = !done.needs_commit && done.change.from == done.change.to;
  return done;
}

std::optional<ResidencyTable::Failed> ResidencyTable::Fail(Ticket ticket) {
  const auto it = live_.find(ticket);
  if (it == live_.end()) {
    ++stale_tickets_;
    return std::nullopt;
  }
  Block& block = blocks_[it->second.block.value()];
  const Watch watch(*this, block.id);
  const Failed failed{block.id, it->second.source, it->second.recipe, it->second.supplied};
  RemoveCopy(it->second.add);
  block.live = Ticket();
  live_.erase(it);  // the reservation goes back here
  return failed;
}

void ResidencyTable::MarkCancelling(Ticket ticket) {
  if (const auto it = live_.find(ticket); it != live_.end()) it->second.cancelling = true;
}

void ResidencyTable::Reclassify(Ticket ticket, LinkClass cls) {
  if (const auto it = live_.find(ticket); it != live_.end()) it->second.cls = cls;
}

std::optional<StateChange> ResidencyTable::Committed(SlotId slot, Generation generation,
                                                     TimePoint now) {
  if (!copies_.Is(slot, generation)) return std::nullopt;
  Copy& copy = copies_[slot];
  if (copy.status != CopyStatus::kCommitting) return std::nullopt;
  const Watch watch(*this, copy.block);
  copy.status = CopyStatus::kLive;
  copy.since_us = now.time_since_epoch().count();
  return watch.Change();
}

void ResidencyTable::Abandon(SlotId slot) {
  const Copy& copy = copies_[slot];
  RESIDENCY_CHECK(copy.status == CopyStatus::kCommitting, "only a committing copy is abandoned");
  const Watch watch(*this, copy.block);
  pool(copy.pool).Free(copy.extent());
  RemoveCopy(slot);
}

bool ResidencyTable::MayRetire(SlotId slot, std::string* why) const {
  const Copy& c = copies_[slot];
  const auto no = [&](const char* reason) {
    *why = reason;
    return false;
  };
  if (c.status != CopyStatus::kLive) return no("not live");
  if (c.leases > 0) return no("leased");
  if (IsSourceOfLive(slot)) return no("the source of a live transition");
  if (IsLastLossless(slot)) return no("the last lossless copy");
  return true;
}

bool ResidencyTable::IsLastLossless(SlotId slot) const {
  const Copy& c = copies_[slot];
  return IsLossless(c.encoding) && !block(c.block).CanRecompute() &&
         !HasLosslessBesides(c.block, slot);
}

absl::Status ResidencyTable::Retire(SlotId slot) {
  std::string why;
  if (!MayRetire(slot, &why)) {
    return absl::FailedPreconditionError(
        absl::StrCat("copy in slot ", slot.value(), " can't be dropped: ", why));
  }
  const Watch watch(*this, copies_[slot].block);
  copies_[slot].status = CopyStatus::kRetiring;
  return absl::OkStatus();
}

std::optional<StateChange> ResidencyTable::Reclaim(SlotId slot, Generation generation) {
  if (!copies_.Is(slot, generation)) return std::nullopt;
  const Copy& copy = copies_[slot];
  const bool going =
      copy.status == CopyStatus::kRetiring || copy.status == CopyStatus::kQuarantined;
  if (!going || copy.leases > 0 || IsSourceOfLive(slot)) return std::nullopt;
  const Watch watch(*this, copy.block);
  if (copy.status == CopyStatus::kRetiring && IsLastLossless(slot)) {
    copies_[slot].status = CopyStatus::kLive;
    return std::nullopt;
  }
  // A retiring copy stopped counting as resident when it was retired; the state before is the one
  // that it stood for.
  StateChange change = watch.Change();
  if (copy.status == CopyStatus::kRetiring) change.from = std::min(change.to, StateOf(copy));
  pool(copy.pool).Free(copy.extent());
  RemoveCopy(slot);
  return change;
}

bool ResidencyTable::StillHeld(SlotId slot, Generation generation) {
  if (!copies_.Is(slot, generation)) return false;
  Copy& copy = copies_[slot];
  if (copy.status != CopyStatus::kRetiring) return false;
  bool twin = false;
  ForEachCopy(copy.block, [&](SlotId other, const Copy& c) {
    twin |= other != slot && c.pool == copy.pool && c.encoding == copy.encoding;
  });
  if (twin) return false;
  const Watch watch(*this, copy.block);
  copy.status = CopyStatus::kLive;
  return true;
}

std::vector<LeaseId> ResidencyTable::Quarantine(SlotId slot) {
  std::vector<LeaseId> held;
  Copy& copy = copies_[slot];
  const Watch watch(*this, copy.block);
  if (copy.status != CopyStatus::kLive && copy.status != CopyStatus::kRetiring) return held;
  copy.status = CopyStatus::kQuarantined;
  if (copy.leases == 0) return held;
  for (auto& [id, lease] : leases_) {
    if (lease.slot != slot || lease.generation != copy.generation) continue;
    lease.revoked = true;
    held.push_back(id);
  }
  return held;
}

absl::StatusOr<LeaseId> ResidencyTable::Grant(SessionId session, SlotId slot, LeaseMode mode,
                                              TimePoint now) {
  Copy& copy = copies_[slot];
  if (copy.status != CopyStatus::kLive) {
    return absl::FailedPreconditionError(
        absl::StrCat("copy in slot ", slot.value(), " is ", Name(copy.status)));
  }
  const LeaseId id(next_lease_++);
  leases_[id] = Lease{.id = id,
                      .session = session,
                      .block = copy.block,
                      .slot = slot,
                      .generation = copy.generation,
                      .mode = mode,
                      .granted = now,
                      .recalled_at = {}};
  if (copy.leases++ == 0) leased_bytes_[copy.pool.value()] += Bytes(copy.length);
  if (mode != LeaseMode::kRecallable) ++copy.hard_leases;
  ++blocks_[copy.block.value()].leases;
  return id;
}

bool ResidencyTable::EndLease(SessionId session, LeaseId id) {
  const auto it = leases_.find(id);
  if (it == leases_.end() || it->second.session != session) return false;
  Copy& copy = copies_[it->second.slot];
  RESIDENCY_CHECK(copy.generation == it->second.generation && copy.leases > 0,
                  "a leased copy's slot was reused");
  if (--copy.leases == 0) leased_bytes_[copy.pool.value()] -= Bytes(copy.length);
  if (it->second.mode != LeaseMode::kRecallable) --copy.hard_leases;
  --blocks_[copy.block.value()].leases;
  leases_.erase(it);
  return true;
}

}  // namespace residency
