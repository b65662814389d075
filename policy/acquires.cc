#include "policy/acquires.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/strings.h"

namespace residency {
namespace {

// Remembered grants are looked through for dead ones when there are twice as many as last time.
constexpr size_t kGrantsRememberedMin = 4096;
// A low-bit copy is brought first only if it is there in less than this share of the time.
constexpr double kLowbitSooner = 0.8;

absl::StatusCode CodeOf(TransferFailure failure, const absl::Status& status) {
  switch (failure) {
    case TransferFailure::kSourceChanged:
      return absl::StatusCode::kFailedPrecondition;
    case TransferFailure::kSourceCorrupt:
      return absl::StatusCode::kDataLoss;
    default:
      return status.code();
  }
}

absl::Status ReusedId(const AcquireBatch& event) {
  return absl::InvalidArgumentError(
      absl::StrCat("request_id: ", event.client_request, " was given to a batch of other blocks"));
}

}  // namespace

absl::Status Acquires::Admit(const AcquireBatch& event, const SessionState& session) const {
  if (s_.draining) return absl::UnavailableError("the daemon is draining");
  if (event.blocks.empty() || event.blocks.size() > s_.limits.batch_blocks_max) {
    return absl::InvalidArgumentError(absl::StrCat("block_ids: must name 1 to ",
                                                   s_.limits.batch_blocks_max, " blocks, names ",
                                                   event.blocks.size()));
  }
  if (!event.accepts.hbm_full && !event.accepts.host_full) {
    return absl::InvalidArgumentError(
        "accepts: must contain HBM_FULL or HOST_FULL; low-bit alone is served to nobody");
  }
  absl::flat_hash_set<BlockId> seen;
  Bytes bytes;
  for (const BlockId block : event.blocks) {
    if (!s_.table.Knows(block) || s_.table.block(block).domain != session.domain) {
      return absl::NotFoundError(absl::StrCat("block_ids: no block ", block.value()));
    }
    if (!seen.insert(block).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("block_ids: block ", block.value(), " is named twice"));
    }
    bytes += s_.table.block(block).bytes;
  }
  if (bytes > session.max_batch) {
    return absl::InvalidArgumentError(
        absl::StrCat("block_ids: ", bytes.count(), " bytes, and the session declared batches of ",
                     session.max_batch.count(), " at most: raise max_batch_bytes in AttachModel"));
  }
  const Tier tier = event.accepts.hbm_full ? Tier::kHbm : Tier::kDram;
  if (!s_.RoomiestPool(tier).valid()) {
    return absl::FailedPreconditionError(
        absl::StrCat("accepts: this node has no ", Name(tier), " pool"));
  }
  // Cached leases can be recalled and do not count, unless the client has stopped answering. What
  // the session waits for and could not be asked back counts as if it had come.
  Bytes in_use = session.unhealthy ? session.leased : session.hard_leased;
  for (const auto& [order, waiting] : waiting_) {
    if (waiting.batch.session != session.id || waiting.batch.mode == LeaseMode::kRecallable)
      continue;
    for (const BlockId block : waiting.batch.blocks) in_use += s_.table.block(block).bytes;
  }
  if (in_use + bytes > session.max_leased) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the session has ", in_use.count(), " bytes in use or waits for them, and asks for ",
        bytes.count(), " more, over its max_leased_bytes of ", session.max_leased.count(),
        session.unhealthy ? " (it leaves recalls unanswered, so cached leases count)" : ""));
  }
  return absl::OkStatus();
}

bool Acquires::AnswerRetry(const AcquireBatch& event) {
  if (const auto it = granted_.find({event.session, event.client_request}); it != granted_.end()) {
    GrantedBody body;
    for (const LeaseId lease : it->second) {
      if (s_.table.FindLease(lease) != nullptr) body.leases.push_back(leases_.Describe(lease));
    }
    if (body.leases.size() == it->second.size()) {
      const bool same = std::equal(
          body.leases.begin(), body.leases.end(), event.blocks.begin(), event.blocks.end(),
          [](const GrantedLease& lease, BlockId block) { return lease.block == block; });
      if (same) {
        s_.ReplyTo(event.request, std::move(body));
      } else {
        s_.ReplyTo(event.request, ReusedId(event));
      }
      return true;
    }
    granted_.erase(it);  // some of it was released: a new call under an old number
  }
  for (auto& [order, waiting] : waiting_) {
    if (waiting.batch.session != event.session) continue;
    if (waiting.batch.client_request != event.client_request) continue;
    if (waiting.batch.blocks != event.blocks) {
      s_.ReplyTo(event.request, ReusedId(event));
      return true;
    }
    s_.ReplyTo(waiting.batch.request, absl::AbortedError("the call was made again"));
    waiting.batch.request = event.request;
    waiting.batch.deadline = event.deadline;
    return true;
  }
  return false;
}

void Acquires::OnAcquire(const AcquireBatch& event) {
  ++s_.counters.acquires;
  if (AnswerRetry(event)) return;
  // What was freed a moment ago is for those who came first.
  if (s_.progress && !waiting_.empty()) Retry();
  SessionState* const session = s_.Session(event.session);
  const absl::Status admitted =
      session == nullptr ? absl::NotFoundError("the session has ended") : Admit(event, *session);
  if (!admitted.ok()) {
    ++s_.counters.acquires_failed;
    return s_.ReplyTo(event.request, admitted);
  }
  if (waiting_.size() >= s_.limits.waiting_batches_max) {
    ++s_.counters.acquires_failed;
    return s_.ReplyTo(event.request, absl::ResourceExhaustedError(
                                         absl::StrCat(waiting_.size(), " batches wait already")));
  }
  Waiting waiting{.batch = event, .arrived = s_.now, .served_from = {}, .failed = {}};
  for (const BlockId block : event.blocks) waiting.served_from.push_back(s_.table.State(block));
  const uint64_t order = next_order_++;
  const uint64_t failed_before = s_.counters.acquires_failed;
  Want(order, waiting);
  if (Advance(order, waiting)) {
    Unwant(order, waiting);
    if (s_.counters.acquires_failed == failed_before) ++s_.counters.acquires_hit;
    return;
  }
  waiting_.emplace(order, std::move(waiting));
}

bool Acquires::Advance(uint64_t order, Waiting& waiting) {
  std::vector<SlotId> slots;
  std::vector<BlockId> stuck;
  bool complete = true;
  for (const BlockId block : waiting.batch.blocks) {
    const SlotId slot = s_.table.BestCopy(block, waiting.batch.accepts);
    slots.push_back(slot);
    if (slot.valid()) continue;
    complete = false;
    const absl::Status status = Fetch(waiting, block);
    if (status.code() == absl::StatusCode::kResourceExhausted) {
      stuck.push_back(block);
    } else if (!status.ok()) {
      Fail(waiting, status);
      return true;
    }
  }
  if (complete) {
    Grant(waiting, slots);
    return true;
  }
  if (!stuck.empty()) MakeRoom(order, waiting, stuck);
  return false;
}

absl::Status Acquires::WhyGone(const Waiting& waiting, BlockId id) const {
  const Block& block = s_.table.block(id);
  const auto it = waiting.failed.find(id);
  if (it != waiting.failed.end()) return it->second;
  if (!block.ever_had_bytes && !block.recipe.runnable()) {
    return absl::FailedPreconditionError(
        absl::StrCat("block ", ToAbsl(block.name), " has no recipe, and no bytes were put yet"));
  }
  return absl::DataLossError(absl::StrCat("block ", ToAbsl(block.name), " is lost: no copy is left",
                                          block.recipe_broken
                                              ? " and its checkpoint file is not the one it was"
                                              : " and it has no recipe",
                                          "; put its bytes again or register it with a good file"));
}

Encoding Acquires::EncodingFor(const Waiting& waiting, BlockId id, PoolId target) const {
  const AcceptMask& accepts = waiting.batch.accepts;
  const Block& block = s_.table.block(id);
  if (!accepts.hbm_lowbit || !accepts.hbm_full || !s_.config.lowbit) return Encoding::kFull;
  if (block.sensitivity > s_.config.psi_no_low_bit) return Encoding::kFull;
  if (s_.table.SuitsIn(id, target, Encoding::kLowbit) != Suitability::kSuits) {
    return Encoding::kFull;
  }
  const auto us = [&](Encoding encoding) {
    const auto path = scoring_.PathTo(id, target, SlotId(), encoding);
    return s_.links.EstimateUs(path, block.bytes, LinkClass::kDemand);
  };
  return us(Encoding::kLowbit) < kLowbitSooner * us(Encoding::kFull) ? Encoding::kLowbit
                                                                     : Encoding::kFull;
}

absl::Status Acquires::Fetch(const Waiting& waiting, BlockId id) {
  const Block& block = s_.table.block(id);
  const PoolId target = s_.RoomiestPool(waiting.batch.accepts.hbm_full ? Tier::kHbm : Tier::kDram);
  if (const LiveTransition* live = s_.table.Live(block.live)) {
    const Copy& add = s_.table.copy(live->add);
    if (waiting.batch.accepts.Accepts(s_.table.StateOf(add), add.encoding)) {
      moves_.Raise(live->ticket);
    } else if (live->cls != LinkClass::kDemand && !live->supplied) {
      moves_.Cancel(live->ticket);
    }
    return absl::OkStatus();
  }
  // An old copy there is on its way out; the new one comes after it.
  const Encoding encoding = EncodingFor(waiting, id, target);
  if (s_.table.CopyIn(id, target, encoding).valid()) return absl::OkStatus();
  if (!s_.table.ChooseSource(id, target).valid() && !block.CanRecompute()) {
    // A write that is being committed is about to be a source.
    if (s_.table.FlightOf(id)) return absl::OkStatus();
    return WhyGone(waiting, id);
  }
  Transition transition{.block = id,
                        .to = target,
                        .encoding = encoding,
                        .purpose = Purpose::kDemand,
                        .cls = LinkClass::kDemand,
                        .drop = {},
                        .supply = {},
                        .supply_checksum = {}};
  return moves_.Start(transition,
                      {.verdict = Verdict::kPromote, .reason = "demand", .competing = {}});
}

bool Acquires::WantedBefore(BlockId block, uint64_t order) const {
  const auto it = wanted_.find(block);
  if (it == wanted_.end()) return false;
  // Its own blocks are no victims either.
  return std::any_of(it->second.begin(), it->second.end(),
                     [order](uint64_t other) { return other <= order; });
}

void Acquires::MakeRoom(uint64_t order, const Waiting& waiting, const std::vector<BlockId>& stuck) {
  const PoolId target = s_.RoomiestPool(waiting.batch.accepts.hbm_full ? Tier::kHbm : Tier::kDram);
  const Pool& pool = s_.table.pool(target);
  Room::Want want{.pool = target,
                  .domain = s_.table.block(stuck.front()).domain,
                  .total = {},
                  .largest = {},
                  .purpose = Purpose::kDemand,
                  .competing = stuck.front(),
                  .untouchable = [this, order](BlockId b) { return WantedBefore(b, order); }};
  for (const BlockId block : stuck) {
    const Bytes footprint = pool.Footprint(s_.table.block(block).bytes);
    want.total += footprint;
    want.largest = std::max(want.largest, footprint);
  }
  room_.Make(want);
}

void Acquires::Grant(Waiting& waiting, const std::vector<SlotId>& slots) {
  SessionState& session = *s_.Session(waiting.batch.session);
  const Micros stall = s_.now - waiting.arrived;
  GrantedBody body;
  std::vector<LeaseId> ids;
  for (size_t i = 0; i < slots.size(); ++i) {
    body.leases.push_back(
        leases_.Grant(session, slots[i], waiting.batch.mode, waiting.served_from[i], stall));
    ids.push_back(body.leases.back().lease);
  }
  s_.counters.stall_us += stall.count();
  const auto bucket =
      std::lower_bound(kAcquireBucketsUs.begin(), kAcquireBucketsUs.end(), stall.count());
  ++s_.counters.acquire_latency[bucket - kAcquireBucketsUs.begin()];
  if (granted_.size() >= kGrantsRememberedMin && granted_.size() >= 2 * s_.table.leases().size()) {
    absl::erase_if(granted_, [&](const auto& entry) {
      return std::none_of(entry.second.begin(), entry.second.end(),
                          [&](LeaseId l) { return s_.table.FindLease(l) != nullptr; });
    });
  }
  granted_[{session.id, waiting.batch.client_request}] = std::move(ids);
  s_.ReplyTo(waiting.batch.request, std::move(body));
}

void Acquires::Fail(Waiting& waiting, absl::Status status) {
  ++s_.counters.acquires_failed;
  s_.ReplyTo(waiting.batch.request, std::move(status));
}

void Acquires::Want(uint64_t order, const Waiting& waiting) {
  for (const BlockId block : waiting.batch.blocks) wanted_[block].push_back(order);
}

void Acquires::Unwant(uint64_t order, const Waiting& waiting) {
  for (const BlockId block : waiting.batch.blocks) {
    const auto it = wanted_.find(block);
    auto& orders = it->second;
    orders.erase(std::find(orders.begin(), orders.end(), order));
    if (!orders.empty()) continue;
    wanted_.erase(it);
    // Nobody waits for it any more: it goes on, in the background.
    const LiveTransition* live = s_.table.Live(s_.table.block(block).live);
    if (live != nullptr && !live->supplied) moves_.Lower(live->ticket);
  }
}

Acquires::Queue::iterator Acquires::Drop(Queue::iterator it) {
  Unwant(it->first, it->second);
  return waiting_.erase(it);
}

void Acquires::Retry() {
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    it = Advance(it->first, it->second) ? Drop(it) : std::next(it);
  }
}

void Acquires::OnFailed(const MoveFailure& failure) {
  if (failure.supplied) return;
  const absl::Status status(CodeOf(failure.failure, failure.status),
                            absl::StrCat("block ", ToAbsl(s_.table.block(failure.block).name), ": ",
                                         failure.status.message()));
  const bool target_error = failure.failure == TransferFailure::kTargetError;
  const bool other_source = s_.table.HasLosslessBesides(failure.block, SlotId()) && !target_error;
  const ResidencyState failed_to = StateOf(s_.table.pool(failure.target).tier(), failure.encoding);
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    Waiting& waiting = it->second;
    const auto& blocks = waiting.batch.blocks;
    if (std::find(blocks.begin(), blocks.end(), failure.block) == blocks.end()) {
      ++it;
    } else if (other_source || !waiting.batch.accepts.Accepts(failed_to, failure.encoding)) {
      // Not the end of it: there is another source, or it was a stage that the batch has no use
      // for.
      if (!target_error) waiting.failed[failure.block] = status;
      ++it;
    } else {
      Fail(waiting, status);
      it = Drop(it);
    }
  }
}

void Acquires::OnAbandoned(const AcquireAbandoned& event) {
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    const bool match = it->second.batch.session == event.session &&
                       it->second.batch.client_request == event.client_request;
    if (match) s_.ReplyTo(it->second.batch.request, absl::CancelledError("the call was given up"));
    it = match ? Drop(it) : std::next(it);
  }
  const auto it = granted_.find({event.session, event.client_request});
  if (it == granted_.end()) return;
  const std::vector<LeaseId> leases = std::move(it->second);
  granted_.erase(it);
  SessionState* const session = s_.Session(event.session);
  if (session == nullptr) return;
  for (const LeaseId lease : leases) leases_.End(*session, lease);
}

void Acquires::OnSessionEnded(SessionId session) {
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    if (it->second.batch.session != session) {
      ++it;
      continue;
    }
    Fail(it->second, absl::CancelledError("the session or its stream has ended"));
    it = Drop(it);
  }
  absl::erase_if(granted_, [&](const auto& entry) { return entry.first.first == session; });
}

std::string Acquires::NameHolders() const {
  constexpr size_t kNamedMax = 4;
  std::vector<const SessionState*> holders;
  for (const auto& [id, session] : s_.sessions) {
    if (!session.leases.empty()) holders.push_back(&session);
  }
  std::sort(holders.begin(), holders.end(), [](const SessionState* a, const SessionState* b) {
    return a->leased != b->leased ? a->leased > b->leased : a->id < b->id;
  });
  std::string text;
  for (size_t i = 0; i < std::min(kNamedMax, holders.size()); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : ", ", "session ", holders[i]->id.value(), " holds ",
                    FormatBytes(holders[i]->leased), " in ", holders[i]->leases.size(), " leases",
                    holders[i]->unhealthy ? " and does not answer recalls" : "");
  }
  return text.empty() ? "nothing is leased" : text;
}

void Acquires::ExpireDeadlines() {
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    Waiting& waiting = it->second;
    if (s_.now < waiting.batch.deadline) {
      ++it;
      continue;
    }
    size_t missing = 0;
    for (const BlockId block : waiting.batch.blocks) {
      missing += s_.table.BestCopy(block, waiting.batch.accepts).valid() ? 0 : 1;
    }
    Fail(waiting, absl::ResourceExhaustedError(absl::StrCat(
                      "deadline: ", missing, " of ", waiting.batch.blocks.size(),
                      " blocks could not be brought in ", (s_.now - waiting.arrived).count() / 1000,
                      " ms; ", NameHolders())));
    it = Drop(it);
  }
}

TimePoint Acquires::NextDeadline() const {
  TimePoint next = TimePoint::max();
  for (const auto& [order, waiting] : waiting_) next = std::min(next, waiting.batch.deadline);
  return next;
}

}  // namespace residency
