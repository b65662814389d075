#include "policy/operator_moves.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/strings.h"

namespace residency {
namespace {

std::optional<Tier> TierOf(ResidencyState state) {
  switch (state) {
    case ResidencyState::kS0FullHbm:
    case ResidencyState::kS1LowbitHbm:
    case ResidencyState::kS2CompressedHbm:
      return Tier::kHbm;
    case ResidencyState::kS3Dram:
      return Tier::kDram;
    case ResidencyState::kS4Nvme:
      return Tier::kNvme;
    default:
      return std::nullopt;
  }
}

}  // namespace

void OperatorMoves::OnMove(const OperatorMove& event) {
  if (!s_.table.Knows(event.block)) {
    return s_.ReplyTo(event.request, absl::NotFoundError("no such block"));
  }
  if (!IsSettled(event.to)) {
    return s_.ReplyTo(event.request,
                      absl::InvalidArgumentError("to: S5 is the way to a state, not a state to "
                                                 "ask for; name S0 to S4 or S6"));
  }
  Pursue({.request = event.request,
          .block = event.block,
          .to = event.to,
          .deadline = event.deadline,
          .waiting_for = {},
          .supply = {}});
}

absl::Status OperatorMoves::CheckPut(const BlockPut& event) const {
  const auto it = s_.sessions.find(event.session);
  if (it == s_.sessions.end()) return absl::NotFoundError("the session has ended");
  if (s_.draining) return absl::UnavailableError("the daemon is draining");
  if (!s_.table.Knows(event.block) || s_.table.block(event.block).domain != it->second.domain) {
    return absl::NotFoundError(absl::StrCat("block_id: no block ", event.block.value()));
  }
  const Block& block = s_.table.block(event.block);
  if (block.checksum_known && block.checksum != event.checksum) {
    return absl::FailedPreconditionError(
        absl::StrCat("checksum: block ", ToAbsl(block.name),
                     " is known with other bytes; blocks are immutable, register a new one"));
  }
  if (event.durable && !s_.RoomiestPool(Tier::kNvme).valid()) {
    return absl::FailedPreconditionError(
        "durability: DURABLE needs an NVMe pool, and this node has none");
  }
  return absl::OkStatus();
}

void OperatorMoves::OnPut(const BlockPut& event) {
  if (absl::Status status = CheckPut(event); !status.ok()) {
    return s_.ReplyTo(event.request, status);
  }
  Pursue({.request = event.request,
          .block = event.block,
          .to = event.durable ? ResidencyState::kS4Nvme : ResidencyState::kS3Dram,
          .deadline = s_.now + kPutDeadline,
          .waiting_for = {},
          .put = true,
          .supply = event.supply,
          .checksum = event.checksum});
}

void OperatorMoves::OnPin(const OperatorPin& event) {
  if (!s_.table.Knows(event.block)) {
    return s_.ReplyTo(event.request, absl::NotFoundError("no such block"));
  }
  if (!event.pin && s_.table.block(event.block).pins == 0) {
    return s_.ReplyTo(event.request, absl::FailedPreconditionError("the block is not pinned"));
  }
  event.pin ? s_.table.Pin(event.block) : s_.table.Unpin(event.block);
  s_.progress = true;
  s_.ReplyTo(event.request, MovedBody{s_.table.State(event.block)});
}

void OperatorMoves::Pursue(Goal goal) {
  if (goals_.size() >= kGoalsMax) {
    return s_.ReplyTo(goal.request, absl::ResourceExhaustedError(absl::StrCat(
                                        goals_.size(), " moves and puts are under way already")));
  }
  if (!Advance(goal)) goals_.push_back(std::move(goal));
}

bool OperatorMoves::Abort(const Goal& goal, std::string_view why) {
  s_.ReplyTo(goal.request, absl::AbortedError(ToAbsl(why)));
  return true;
}

bool OperatorMoves::Advance(Goal& goal) {
  const auto tier = TierOf(goal.to);
  if (tier.has_value()) {
    SlotId there;
    s_.table.ForEachCopy(goal.block, [&](SlotId slot, const Copy& copy) {
      if (copy.status == CopyStatus::kLive && s_.table.StateOf(copy) == goal.to) there = slot;
    });
    if (!there.valid()) {
      const PoolId pool = s_.RoomiestPool(*tier);
      if (!pool.valid()) {
        return Abort(goal, absl::StrCat("this node has no pool for ", Name(goal.to)));
      }
      return BringCopy(goal, pool);
    }
  }
  const Step dropped = goal.put ? Step::kDone : DropHotter(goal);
  if (dropped != Step::kDone) return dropped == Step::kRefused;
  s_.ReplyTo(goal.request, MovedBody{s_.table.SettledState(goal.block)});
  return true;
}

Encoding OperatorMoves::EncodingFor(const Goal& goal, PoolId to) const {
  if (goal.to == ResidencyState::kS1LowbitHbm) return Encoding::kLowbit;
  if (goal.to == ResidencyState::kS2CompressedHbm) return Encoding::kCompressed;
  return goal.put ? Encoding::kFull : s_.EncodingKept(goal.block, to);
}

bool OperatorMoves::BringCopy(Goal& goal, PoolId to) {
  const Block& block = s_.table.block(goal.block);
  const Encoding encoding = EncodingFor(goal, to);
  if (const LiveTransition* live = s_.table.Live(block.live)) {
    const Copy& add = s_.table.copy(live->add);
    goal.waiting_for = "its transition";
    if ((add.pool != to || add.encoding != encoding) && live->cls == LinkClass::kRebalance)
      moves_.Cancel(live->ticket);
    return false;
  }
  if (s_.table.CopyIn(goal.block, to, encoding).valid()) {
    goal.waiting_for = "an old copy to leave or a new one to be committed";
    return false;
  }
  MoveFacts facts = vetting_.FactsOfAdd(goal.block, to, Purpose::kDemand, encoding);
  facts.room = true;
  if (const auto veto = vetting_.Objection(facts)) {
    s_.counters.vetoes.Count(*veto, facts.from, facts.to);
    return Abort(goal, absl::StrCat("vetoed: ", Name(*veto)));
  }
  Transition transition{.block = goal.block,
                        .to = to,
                        .encoding = encoding,
                        .purpose = Purpose::kDemand,
                        .cls = LinkClass::kDemand,
                        .drop = {},
                        .supply = {},
                        .supply_checksum = {}};
  if (goal.put && !s_.table.ChooseSource(goal.block, to, encoding).valid()) {
    transition.supply = goal.supply;
    transition.supply_checksum = goal.checksum;
  }
  const absl::Status status = moves_.Start(
      transition, {.verdict = Verdict::kStage,
                   .reason = goal.put ? "put by an engine" : "asked for by an operator",
                   .competing = {}});
  if (status.ok()) {
    goal.waiting_for = "its bytes";
    return false;
  }
  if (status.code() != absl::StatusCode::kResourceExhausted) {
    s_.ReplyTo(goal.request, goal.put ? status : absl::AbortedError(status.message()));
    return true;
  }
  goal.waiting_for = "room";
  const Bytes footprint = s_.table.pool(to).Footprint(s_.table.BytesIn(block.id, to, encoding));
  room_.Make({.pool = to,
              .domain = block.domain,
              .total = footprint,
              .largest = footprint,
              .purpose = Purpose::kDemand,
              .competing = goal.block,
              .untouchable = [&](BlockId b) { return b == goal.block || acquires_.Wanted(b); }});
  return false;
}

OperatorMoves::Step OperatorMoves::DropHotter(Goal& goal) {
  std::vector<SlotId> hotter;
  s_.table.ForEachCopy(goal.block, [&](SlotId slot, const Copy& copy) {
    if (copy.status == CopyStatus::kLive && s_.table.StateOf(copy) < goal.to)
      hotter.push_back(slot);
  });
  for (const SlotId slot : hotter) {
    const MoveFacts facts = vetting_.FactsOfDrop(slot, Purpose::kDemand);
    if (facts.in_flight) {
      goal.waiting_for = "its transition";
      return Step::kWaiting;
    }
    if (const auto veto = vetting_.Objection(facts)) {
      s_.counters.vetoes.Count(*veto, facts.from, facts.to);
      Abort(goal, absl::StrCat("vetoed: ", Name(*veto)));
      return Step::kRefused;
    }
    if (s_.table.copy(slot).leases > 0) {
      leases_.Recall(slot);
      goal.waiting_for = "its leases, which were recalled";
      return Step::kWaiting;
    }
    const absl::Status status = moves_.Drop(
        slot, {.verdict = Verdict::kDemote, .reason = "asked for by an operator", .competing = {}});
    if (!status.ok()) {
      Abort(goal, ToStd(status.message()));
      return Step::kRefused;
    }
  }
  return Step::kDone;
}

void OperatorMoves::OnFailed(const MoveFailure& failure) {
  for (auto it = goals_.begin(); it != goals_.end();) {
    // Another transition of the block may fail without the goal being out of reach.
    if (it->block != failure.block || TierOf(it->to) != s_.table.pool(failure.target).tier()) {
      ++it;
      continue;
    }
    const bool wrong_bytes = failure.supplied && failure.failure == TransferFailure::kSourceCorrupt;
    s_.ReplyTo(it->request, wrong_bytes ? absl::InvalidArgumentError(
                                              absl::StrCat("checksum: ", failure.status.message()))
                            : it->put ? failure.status
                                      : absl::AbortedError(failure.status.message()));
    it = goals_.erase(it);
  }
}

void OperatorMoves::Retry() {
  for (size_t i = 0; i < goals_.size();) {
    if (Advance(goals_[i])) {
      goals_.erase(goals_.begin() + static_cast<ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
}

void OperatorMoves::ExpireDeadlines() {
  for (auto it = goals_.begin(); it != goals_.end();) {
    if (s_.now < it->deadline) {
      ++it;
      continue;
    }
    const std::string why = absl::StrCat("deadline: still waiting for ", it->waiting_for);
    s_.ReplyTo(it->request, it->put ? absl::ResourceExhaustedError(why) : absl::AbortedError(why));
    it = goals_.erase(it);
  }
}

TimePoint OperatorMoves::NextDeadline() const {
  TimePoint next = TimePoint::max();
  for (const Goal& goal : goals_) next = std::min(next, goal.deadline);
  return next;
}

}  // namespace residency
