#include "tests/policy/fake_node.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "policy/moves.h"

namespace residency {
namespace {

constexpr double kBytesPerUs = 1000;
constexpr Micros kTransferLatency{100};
constexpr Micros kCancelDelay{50};
constexpr Micros kReclaimDelay{20};
constexpr Micros kCommitDelay{1000};
constexpr uint64_t kNoCall = ~uint64_t{0};

bool Overlap(const Extent& a, const Extent& b) { return a.offset < b.end() && b.offset < a.end(); }
bool Overlap(const CopyPlace& a, const CopyPlace& b) {
  return a.pool == b.pool && Overlap(a.extent, b.extent);
}

}  // namespace

FakeNode::FakeNode(FakeNodeOptions options)
    : options_(std::move(options)),
      random_(options_.seed),
      controller_(options_.pools, options_.policy),
      next_tick_(kTick),
      held_(options_.pools.size()) {}

void FakeNode::Violation(const std::string& what) const {
  ADD_FAILURE() << "seed " << options_.seed << ", at " << now().time_since_epoch().count()
                << " us: " << what;
}

Micros FakeNode::Vary(Micros delay) {
  if (!options_.jitter) return delay;
  return Micros(delay.count() / 2 + static_cast<int64_t>(random_.Below(delay.count() * 2 + 1)));
}

void FakeNode::Schedule(Micros delay, Due due) {
  due_.emplace(DueKey{now() + delay, next_due_++}, std::move(due));
}

void FakeNode::Post(Event event) {
  if (const auto* acquire = std::get_if<AcquireBatch>(&event)) {
    calls_[acquire->request] = {acquire->session, acquire->client_request};
  }
  posted_.push_back(std::move(event));
}

void FakeNode::Step() {
  std::vector<Event> events = std::exchange(posted_, {});
  for (const Event& event : events) Note(event);
  do {
    const std::vector<Command> commands = controller_.Step(now(), events);
    events.clear();
    for (const Command& command : commands) {
      Note(command);
      if (observer_) observer_(command);
    }
    controller_.CheckInvariants();
    CheckAgainstTable();
  } while (controller_.tick_unfinished());
}

void FakeNode::Advance(Micros by, bool ticks) {
  const TimePoint end = now() + by;
  while (true) {
    if (!posted_.empty()) Step();
    TimePoint next = std::min(end, controller_.NextWake());
    if (!due_.empty()) next = std::min(next, due_.begin()->first.first);
    if (ticks) next = std::min(next, next_tick_);
    clock_.Advance(std::max(Micros(0), next - now()));
    bool something = controller_.NextWake() <= now();
    while (!due_.empty() && due_.begin()->first.first <= now()) {
      posted_.push_back(std::move(due_.begin()->second.event));
      due_.erase(due_.begin());
      something = true;
    }
    if (ticks && next_tick_ <= now()) {
      posted_.push_back(TimerFired{});
      something = true;
    }
    while (next_tick_ <= now()) next_tick_ += kTick;
    if (something) Step();
    if (now() >= end && !something) return;
  }
}

// ---------------------------------------------------------------- events on their way in

void FakeNode::Forget(const std::function<bool(const Held&)>& gone) {
  std::erase_if(leases_, [&](const auto& entry) { return gone(entry.second); });
}

void FakeNode::Vacate(SlotId slot, Generation generation) {
  const auto it = leaving_.find(CommitToken(slot, generation));
  if (it == leaving_.end()) return;
  held_[it->second.pool.value()].erase(it->second.extent.offset);
  leaving_.erase(it);
}

void FakeNode::OnOutcome(const TransferOutcome& outcome) {
  const auto it = in_flight_.find(outcome.ticket);
  if (it == in_flight_.end()) return Violation("a transfer ended twice");
  const TransferSpec& spec = it->second;
  auto& target = held_[spec.target.pool.value()];
  if (outcome.failure == TransferFailure::kNone) {
    target[spec.target.extent.offset].checksum = outcome.checksum;
    if (const auto* source = std::get_if<CopySource>(&spec.source)) {
      const auto& held = held_[source->place.pool.value()];
      const auto read = held.find(source->place.extent.offset);
      if (read == held.end() || read->second.block != spec.block) {
        Violation(absl::StrCat("the source of block ", spec.block.value(),
                               " was given away while it was read"));
      }
    }
  } else {
    target.erase(spec.target.extent.offset);
  }
  in_flight_.erase(it);
}

void FakeNode::Note(const Event& event) {
  if (const auto* e = std::get_if<TransferEnded>(&event)) {
    OnOutcome(e->outcome);
  } else if (const auto* reclaimed = std::get_if<CopyReclaimed>(&event)) {
    Vacate(reclaimed->slot, reclaimed->generation);
  } else if (const auto* still = std::get_if<CopyStillHeld>(&event)) {
    leaving_.erase(CommitToken(still->slot, still->generation));
  } else if (const auto* committed = std::get_if<CatalogueCommitted>(&event)) {
    for (const uint64_t token : committed->tokens) {
      Vacate(SlotId(static_cast<uint32_t>(token >> 32)), Generation(static_cast<uint32_t>(token)));
    }
  } else if (const auto* refused = std::get_if<CatalogueFailed>(&event)) {
    for (const uint64_t token : refused->tokens) {
      Vacate(SlotId(static_cast<uint32_t>(token >> 32)), Generation(static_cast<uint32_t>(token)));
    }
  } else if (const auto* released = std::get_if<LeasesReleased>(&event)) {
    for (const LeaseId lease : released->leases) {
      Forget(
          [&](const Held& h) { return h.lease.lease == lease && h.session == released->session; });
    }
  } else if (const auto* ended = std::get_if<SessionEnded>(&event)) {
    Forget([&](const Held& h) { return h.session == ended->session; });
  } else if (const auto* resumed = std::get_if<SessionResumed>(&event)) {
    Forget([&](const Held& h) {
      const auto& held = resumed->held;
      return h.session == resumed->session &&
             std::find(held.begin(), held.end(), h.lease.lease) == held.end();
    });
    // The calls of the broken stream are over.
    for (auto& [id, h] : leases_) {
      if (h.session == resumed->session) h.client_request = kNoCall;
    }
  } else if (const auto* abandoned = std::get_if<AcquireAbandoned>(&event)) {
    Forget([&](const Held& h) {
      return h.session == abandoned->session && h.client_request == abandoned->client_request;
    });
  } else if (const auto* detached = std::get_if<ModelDetach>(&event)) {
    Forget([&](const Held& h) {
      return h.session == detached->session &&
             state().table.block(h.lease.block).model == detached->model;
    });
  }
}

// ---------------------------------------------------------------- commands carried out

void FakeNode::CheckUntouched(const CopyPlace& place, const std::string& what) const {
  for (const auto& [id, held] : leases_) {
    if (Overlap(held.lease.place, place)) {
      Violation(absl::StrCat(what, " touches lease ", id.value(), " on block ",
                             held.lease.block.value()));
    }
  }
  for (const auto& [ticket, spec] : in_flight_) {
    const auto* source = std::get_if<CopySource>(&spec.source);
    if (source != nullptr && Overlap(source->place, place)) {
      Violation(absl::StrCat(what, " touches the source of live transfer ", ticket.value()));
    }
    if (Overlap(spec.target, place)) {
      Violation(absl::StrCat(what, " touches the target of live transfer ", ticket.value()));
    }
  }
}

TransferOutcome FakeNode::OutcomeOf(const TransferSpec& spec) {
  const bool from_copy = std::holds_alternative<CopySource>(spec.source);
  const bool wrong = spec.expected_checksum && *spec.expected_checksum != ContentOf(spec.block);
  TransferFailure failure = TransferFailure::kNone;
  if (const auto it = fail_next_.find(spec.block); it != fail_next_.end()) {
    failure = it->second;
    fail_next_.erase(it);
  } else if (wrong || (from_copy && random_.Chance(options_.faults.corrupt))) {
    failure = TransferFailure::kSourceCorrupt;
  } else if (random_.Chance(options_.faults.source_error)) {
    failure = TransferFailure::kSourceError;
  } else if (random_.Chance(options_.faults.target_error)) {
    failure = TransferFailure::kTargetError;
  }
  TransferOutcome outcome;
  outcome.ticket = spec.ticket;
  outcome.failure = failure;
  outcome.checksum = ContentOf(spec.block);
  if (failure != TransferFailure::kNone) {
    outcome.status = absl::UnavailableError(absl::StrCat("fake ", Name(failure)));
  }
  return outcome;
}

void FakeNode::Start(const TransferSpec& spec) {
  const std::string what = absl::StrCat("transfer ", spec.ticket.value());
  const Bytes capacity = options_.pools[spec.target.pool.value()].capacity;
  if (spec.target.extent.end() > capacity.count()) Violation(what + " leaves its pool");
  CheckUntouched(spec.target, what);
  auto& pool = held_[spec.target.pool.value()];
  for (const auto& [offset, content] : pool) {
    if (Overlap(Extent{offset, content.length}, spec.target.extent)) {
      Violation(absl::StrCat(what, " writes over block ", content.block.value()));
    }
  }
  if (const auto* source = std::get_if<CopySource>(&spec.source)) {
    const auto& held = held_[source->place.pool.value()];
    const auto read = held.find(source->place.extent.offset);
    if (read == held.end() || read->second.block != spec.block ||
        read->second.checksum != source->checksum) {
      Violation(what + " reads a source that does not hold the block");
    }
  }
  pool[spec.target.extent.offset] = {spec.target.extent.length, spec.block, std::nullopt};
  in_flight_.emplace(spec.ticket, spec);
  const auto moving = static_cast<int64_t>(static_cast<double>(spec.bytes.count()) / kBytesPerUs);
  Schedule(Vary(kTransferLatency + Micros(moving)), {TransferEnded{OutcomeOf(spec)}, spec.ticket});
}

void FakeNode::Cancel(Ticket ticket) {
  // It may have been done already.
  if (random_.Chance(options_.jitter ? 0.2 : 0)) return;
  const auto it = std::find_if(due_.begin(), due_.end(),
                               [&](const auto& due) { return due.second.ticket == ticket; });
  if (it == due_.end()) return;
  due_.erase(it);
  TransferEnded ended;
  ended.outcome.ticket = ticket;
  ended.outcome.failure = TransferFailure::kCancelled;
  ended.outcome.status = absl::CancelledError("cancelled");
  Schedule(Vary(kCancelDelay), {ended, ticket});
}

void FakeNode::Reclaim(const ReclaimCopy& command) {
  CheckUntouched(command.place, absl::StrCat("reclaim of slot ", command.slot.value()));
  const BlockId block = state().table.copy(command.slot).block;
  if (hold_next_.erase(block) > 0 || random_.Chance(options_.faults.still_held)) {
    return Schedule(Vary(kReclaimDelay), {CopyStillHeld{command.slot, command.generation}, {}});
  }
  leaving_[CommitToken(command.slot, command.generation)] = command.place;
  Schedule(Vary(kReclaimDelay), {CopyReclaimed{command.slot, command.generation}, {}});
}

void FakeNode::Commit(const Persist& command) {
  if (command.token == 0) return;
  const bool failed =
      std::exchange(fail_next_row_, false) || random_.Chance(options_.faults.commit_failed);
  if (const auto* erase = std::get_if<EraseExtent>(&command.row)) {
    CheckUntouched(erase->place, "an erased extent");
    if (!failed) leaving_[command.token] = erase->place;
  } else if (const auto* extent = std::get_if<PersistExtent>(&command.row); extent && failed) {
    leaving_[command.token] = extent->place;
  }
  catalogue_free_ = std::max(catalogue_free_, now()) + Vary(kCommitDelay);
  Event event = CatalogueCommitted{{command.token}};
  if (failed) event = CatalogueFailed{{command.token}, absl::UnavailableError("fake catalogue")};
  Schedule(catalogue_free_ - now(), {std::move(event), {}});
}

void FakeNode::Granted(RequestId request, const GrantedBody& body) {
  const auto call = calls_.find(request);
  if (call == calls_.end()) return Violation("leases for a call that nobody made");
  // Under a number that is used again, what is left of the first call is no longer that call's.
  for (auto& [id, held] : leases_) {
    if (std::pair(held.session, held.client_request) == call->second) held.client_request = kNoCall;
  }
  for (const GrantedLease& lease : body.leases) {
    const auto& held = held_[lease.place.pool.value()];
    const auto content = held.find(lease.place.extent.offset);
    if (content == held.end() || content->second.block != lease.block ||
        content->second.checksum != lease.checksum || lease.checksum != ContentOf(lease.block)) {
      Violation(absl::StrCat("lease ", lease.lease.value(), " names bytes that are not block ",
                             lease.block.value()));
    }
    leases_[lease.lease] = {call->second.first, call->second.second, lease};
  }
}

void FakeNode::Note(const Command& command) {
  if (const auto* start = std::get_if<StartTransfer>(&command)) {
    Start(start->spec);
  } else if (const auto* cancel = std::get_if<CancelTransfer>(&command)) {
    Cancel(cancel->ticket);
  } else if (const auto* reclaim = std::get_if<ReclaimCopy>(&command)) {
    Reclaim(*reclaim);
  } else if (const auto* persist = std::get_if<Persist>(&command)) {
    Commit(*persist);
  } else if (const auto* reply = std::get_if<Reply>(&command)) {
    ++answers_[reply->request];
    const auto* granted = std::get_if<GrantedBody>(&reply->body);
    if (reply->status.ok() && granted != nullptr) Granted(reply->request, *granted);
  }
}

// What the table holds is what the node holds, and every lease that a client knows is a lease.
void FakeNode::CheckAgainstTable() {
  const ResidencyTable& table = state().table;
  for (uint32_t i = 0; i < table.copies().size(); ++i) {
    const Copy& copy = table.copy(SlotId(i));
    if (copy.status == CopyStatus::kFree) continue;
    auto& pool = held_[copy.pool.value()];
    // A copy that was given back and has become the last one since is kept after all.
    pool.try_emplace(copy.offset, Content{copy.length, copy.block, copy.checksum});
    if (pool[copy.offset].block != copy.block) Violation("table and node disagree about a copy");
  }
  for (const auto& [id, held] : leases_) {
    const auto it = table.leases().find(id);
    if (it == table.leases().end() || it->second.session != held.session) {
      Violation(absl::StrCat("lease ", id.value(), " was taken away"));
    }
  }
  if (table.leases().size() != leases_.size()) Violation("a lease that no client knows of");
}

std::optional<LeaseId> FakeNode::LeaseOf(SessionId session, BlockId block) const {
  for (const auto& [id, held] : leases_) {
    if (held.session == session && held.lease.block == block) return id;
  }
  return std::nullopt;
}

std::vector<LeaseId> FakeNode::LeasesOf(SessionId session) const {
  std::vector<LeaseId> ids;
  for (const auto& [id, held] : leases_) {
    if (held.session == session) ids.push_back(id);
  }
  return ids;
}

}  // namespace residency
