#include "policy/controller.h"

#include <algorithm>

#include "policy/acquires.h"
#include "policy/lease_book.h"
#include "policy/moves.h"
#include "policy/operator_moves.h"
#include "policy/planner.h"
#include "policy/registry.h"
#include "policy/reports.h"
#include "policy/room.h"
#include "policy/scoring.h"
#include "policy/vetting.h"

namespace residency {
namespace {

// One step lets waiting work go on this often; what is left goes on with the next event.
constexpr int kProgressRoundsMax = 8;

}  // namespace

struct Controller::Parts {
  Parts(const std::vector<PoolOptions>& pools, const PolicyConfig& config,
        const ControllerLimits& limits)
      : s(pools, config, limits),
        scoring(s),
        recorder(s, scoring),
        vetting(s, scoring, recorder),
        moves(s, scoring, recorder, vetting),
        leases(s, moves),
        room(s, scoring, vetting, moves, leases),
        acquires(s, scoring, moves, leases, room),
        registry(s, leases, acquires),
        planner(s, scoring, vetting, moves, room, acquires),
        operators(s, scoring, vetting, moves, leases, room, acquires),
        reports(s, scoring, registry, planner) {}

  void Handle(const SessionOpened& e) { registry.OnOpened(e); }
  void Handle(const SessionEnded& e) { registry.OnEnded(e); }
  void Handle(const SessionResumed& e) { registry.OnResumed(e); }
  void Handle(const ModelAttach& e) { registry.OnAttach(e); }
  void Handle(const ModelDetach& e) { registry.OnDetach(e); }
  void Handle(const BlocksRegister& e) { registry.OnRegister(e); }
  void Handle(const BlockPut& e) { operators.OnPut(e); }
  void Handle(const AccessReported& e) { reports.OnAccess(e); }
  void Handle(const RoutingReported& e) { reports.OnRouting(e); }
  void Handle(const StepMarked& e) { reports.OnStep(e); }
  void Handle(const AcquireBatch& e) { acquires.OnAcquire(e); }
  void Handle(const AcquireAbandoned& e) { acquires.OnAbandoned(e); }
  void Handle(const LeasesReleased& e);
  void Handle(const TransferEnded& e) { moves.OnEnded(e.outcome); }
  void Handle(const CatalogueCommitted& e) {
    for (const uint64_t token : e.tokens) moves.OnCommitted(token);
  }
  void Handle(const CatalogueFailed& e) {
    for (const uint64_t token : e.tokens) moves.OnCommitFailed(token, e.status);
  }
  void Handle(const CopyReclaimed& e) { moves.OnReclaimed(e.slot, e.generation); }
  void Handle(const CopyStillHeld& e) { moves.OnStillHeld(e.slot, e.generation); }
  void Handle(const OperatorPin& e) { operators.OnPin(e); }
  void Handle(const OperatorMove& e) { operators.OnMove(e); }
  void Handle(const OperatorDrain& e) {
    s.draining = true;
    s.ReplyTo(e.request, DrainedBody{s.table.leases().size()});
  }
  void Handle(const PolicyChanged& e) { next_config = e.config; }
  void Handle(const TimerFired&) { BeginTick(); }

  void BeginTick();
  void LetProgress();
  void ExplainAbsent(Recorder::Note& note) const;

  ControllerState s;
  Scoring scoring;
  Recorder recorder;
  Vetting vetting;
  Moves moves;
  LeaseBook leases;
  Room room;
  Acquires acquires;
  Registry registry;
  Planner planner;
  OperatorMoves operators;
  Reports reports;
  std::optional<PolicyConfig> next_config;  // taken over at a tick boundary
};

void Controller::Parts::Handle(const LeasesReleased& e) {
  SessionState* const session = s.Session(e.session);
  if (session == nullptr) {
    return s.ReplyTo(e.request, absl::NotFoundError("the session has ended"));
  }
  ReleasedBody body;
  for (const LeaseId lease : e.leases) body.unknown += leases.End(*session, lease) ? 0 : 1;
  s.ReplyTo(e.request, body);
}

// Why a block is not in the hottest pool, and whether it would be brought there.
void Controller::Parts::ExplainAbsent(Recorder::Note& note) const {
  note.score = scoring.ScoreMove(note.block, note.pool, LinkClass::kPrefetch);
  MoveFacts facts = vetting.FactsOfAdd(note.block, note.pool, Purpose::kBackground);
  const bool fits = facts.room;
  facts.room = true;
  const double needed = (1 + s.config.hysteresis) * s.victims[note.pool.value()].LowestK();
  if (scoring.PathTo(note.block, note.pool).empty()) {
    note.reason = "there is neither a copy nor a recipe to bring it from";
    return;
  }
  if (!fits && note.score.k <= needed) {
    note.reason = "its K does not beat (1+h) times the victim's";
    return;
  }
  note.to = StateOf(s.table.pool(note.pool).tier(), Encoding::kFull);
  if (const auto veto = vetting.Objection(facts)) {
    note.verdict = Verdict::kVeto;
    note.veto = *veto;
    note.reason = "to be brought";
    return;
  }
  note.verdict = Verdict::kPromote;
  note.reason = fits ? "there is room" : "its K beats the victim's";
}

void Controller::Parts::BeginTick() {
  ++s.tick;
  if (next_config) {
    s.config = *std::exchange(next_config, std::nullopt);
    registry.RefreshReserves();
  }
  moves.AskAgain();
  vetting.Prune();
  leases.CheckDeadlines();
  for (const auto& pool : s.table.pools()) {
    room.RefreshProtection(pool->id());
    if (pool->tier() == Tier::kHbm) room.KeepHeadroom(pool->id());
  }
  planner.BeginTick();
  s.progress = true;
}

void Controller::Parts::LetProgress() {
  leases.DropSuperseded(moves.TakeSuperseded());
  leases.DropStreamed([this](BlockId block) { return acquires.Wanted(block); });
  for (int round = 0; round < kProgressRoundsMax; ++round) {
    for (const MoveFailure& failure : moves.TakeFailures()) {
      acquires.OnFailed(failure);
      operators.OnFailed(failure);
    }
    if (!std::exchange(s.progress, false)) break;
    acquires.Retry();
    operators.Retry();
    planner.RetryPending();
  }
  acquires.ExpireDeadlines();
  operators.ExpireDeadlines();
  leases.SendRecalls();
}

Controller::Controller(const std::vector<PoolOptions>& pools, const PolicyConfig& config,
                       const ControllerLimits& limits)
    : parts_(std::make_unique<Parts>(pools, config, limits)) {}
Controller::~Controller() = default;

ResidencyTable& Controller::table_for_restore() { return parts_->s.table; }

std::vector<Command> Controller::Step(TimePoint now, std::span<const Event> events) {
  ControllerState& s = parts_->s;
  s.now = std::max(now, s.now);
  s.models.resize(s.table.model_count());  // restored ones
  for (const Event& event : events) {
    std::visit([this](const auto& e) { parts_->Handle(e); }, event);
  }
  if (parts_->planner.unfinished()) parts_->planner.Slice();
  parts_->LetProgress();
  return std::exchange(s.out, {});
}

bool Controller::tick_unfinished() const { return parts_->planner.unfinished(); }

TimePoint Controller::NextWake() const {
  return std::min(parts_->acquires.NextDeadline(), parts_->operators.NextDeadline());
}

const ControllerState& Controller::state() const { return parts_->s; }
const std::string& Controller::stage_problem() const { return parts_->moves.stage_problem(); }
size_t Controller::waiting_batches() const { return parts_->acquires.waiting(); }
double Controller::ActivityOf(ModelId model) const { return parts_->scoring.ActivityOf(model); }
void Controller::CheckInvariants() const { parts_->s.table.CheckInvariants(); }

Explanation Controller::Explain(BlockId id, size_t decisions_max) const {
  const ControllerState& s = parts_->s;
  const PoolId pool = parts_->scoring.HottestPool();
  std::vector<Decision> decisions = s.ring.Of(id, decisions_max);
  const ResidencyState settled = s.table.SettledState(id);
  Recorder::Note note{
      .block = id, .pool = pool, .from = settled, .to = settled, .competing = {}, .score = {}};
  if (!pool.valid()) {
    note.reason = "this node has no pool to bring it to";
    return {parts_->recorder.Make(note), std::move(decisions)};
  }
  const auto& order = s.victims[pool.value()].ascending();
  for (const auto& [k, slot] : order) {
    if (s.table.copy(slot).block == id) continue;
    note.competing = s.table.copy(slot).block;  // the next to go besides this one
    break;
  }
  SlotId copy;  // the hottest there
  s.table.ForEachCopy(id, [&](SlotId slot, const Copy& c) {
    if (c.pool != pool || c.status != CopyStatus::kLive) return;
    if (!copy.valid() || s.table.StateOf(c) < s.table.StateOf(s.table.copy(copy))) copy = slot;
  });
  if (copy.valid()) {
    note.score = parts_->scoring.ScoreCopy(copy);
    const bool lowest = !order.empty() && order.begin()->second == copy;
    note.reason =
        lowest ? "the lowest K of its pool: the next to go" : "its K is above the threshold";
  } else {
    parts_->ExplainAbsent(note);
  }
  return {parts_->recorder.Make(note), std::move(decisions)};
}

}  // namespace residency
