#include "daemon/control_loop.h"

#include <algorithm>
#include <utility>

#include "daemon/rows.h"

namespace residency {
namespace {

// The longest wait without a tick due; a tick always is due sooner.
constexpr Micros kWaitMax{1'000'000};

template <class... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};

}  // namespace

ControlLoop::ControlLoop(std::unique_ptr<Controller> controller, ControlLoopOptions options)
    : options_(std::move(options)),
      controller_(std::move(controller)),
      mailbox_(options_.mailbox_events, options_.promises_max) {
  Publish(TimePoint(), Micros(0));
}

ControlLoop::~ControlLoop() { Stop(); }

void ControlLoop::Start(const ControlDependencies& dependencies) {
  deps_ = dependencies;
  thread_ = std::thread([this] { Work(); });
}

void ControlLoop::Stop() {
  if (stopping_.exchange(true)) return;
  mailbox_.Wake();
  if (thread_.joinable()) thread_.join();
}

void ControlLoop::Call(std::function<Event(RequestId)> make, ReplyHandler handler) {
  if (ended_.load()) return handler(Reply{{}, absl::UnavailableError("the daemon is ending"), {}});
  if (!mailbox_.TryPost(PendingCall{std::move(make), handler})) {
    handler(Reply{{}, absl::ResourceExhaustedError("the daemon's mailbox is full; try again"), {}});
  }
}

bool ControlLoop::Post(Event event) { return mailbox_.TryPost(std::move(event)); }

bool ControlLoop::Ask(Question question) { return mailbox_.TryPost(std::move(question)); }

void ControlLoop::OnOutcome(TransferOutcome outcome) {
  mailbox_.PostPromised(Event(TransferEnded{std::move(outcome)}));
}

void ControlLoop::PostTokens(Event event, size_t tokens) {
  if (tokens == 0) return;
  for (size_t i = 1; i < tokens; ++i) mailbox_.Forgo();
  mailbox_.PostPromised(std::move(event));
}

void ControlLoop::OnCommitted(std::vector<uint64_t> tokens) {
  std::erase(tokens, uint64_t{0});  // nobody waits for these
  const size_t count = tokens.size();
  PostTokens(CatalogueCommitted{std::move(tokens)}, count);
}

void ControlLoop::OnCommitFailed(std::vector<uint64_t> tokens, const absl::Status& why) {
  std::erase(tokens, uint64_t{0});
  const size_t count = tokens.size();
  PostTokens(CatalogueFailed{std::move(tokens), why}, count);
}

std::shared_ptr<const NodeSnapshot> ControlLoop::snapshot() const {
  const std::lock_guard lock(snapshot_mutex_);
  return snapshot_;
}

void ControlLoop::Publish(TimePoint now, Micros tick_duration) {
  auto snapshot = TakeSnapshot(*controller_, options_.backends, now, tick_duration);
  const std::lock_guard lock(snapshot_mutex_);
  snapshot_ = std::move(snapshot);
}

void ControlLoop::TakeIn(std::vector<Message>& messages) {
  for (Message& message : messages) {
    std::visit(Overloaded{[&](Event& event) { events_.push_back(std::move(event)); },
                          [&](PendingCall& call) {
                            const RequestId id(next_request_++);
                            handlers_.emplace(id, std::move(call.handler));
                            events_.push_back(call.make(id));
                          },
                          [&](Question& question) { questions_.push_back(std::move(question)); }},
               message);
  }
  messages.clear();
}

Micros ControlLoop::WaitFor(TimePoint now, TimePoint next_tick) const {
  if (controller_->tick_unfinished() || !events_.empty() || stopping_.load()) return Micros(0);
  const TimePoint wake = std::min({next_tick, controller_->NextWake(), now + kWaitMax});
  return std::max(Micros(0), wake - now);
}

void ControlLoop::Work() {
  std::vector<Message> messages;
  TimePoint next_tick = deps_.clock->Now();
  TimePoint tick_began = next_tick;
  bool in_tick = false;
  while (!stopping_.load()) {
    mailbox_.Drain(messages, WaitFor(deps_.clock->Now(), next_tick));
    TakeIn(messages);
    const TimePoint now = deps_.clock->Now();
    if (now >= next_tick && !controller_->tick_unfinished()) {
      events_.push_back(TimerFired{});
      // A tick that came late is not made up for.
      next_tick = std::max(next_tick + options_.tick, now);
      tick_began = now;
      in_tick = true;
    }
    const std::vector<Event> events = std::exchange(events_, {});
    Carry(controller_->Step(now, events));
    for (Question& question : std::exchange(questions_, {})) question(controller_.get());
    if (in_tick && !controller_->tick_unfinished()) {
      in_tick = false;
      Publish(now, deps_.clock->Now() - tick_began);
      if (deps_.alive) deps_.alive(now);
    }
  }
  ended_.store(true);
  mailbox_.Drain(messages, Micros(0));
  TakeIn(messages);
  for (auto& [id, handler] : std::exchange(handlers_, {})) {
    handler(Reply{id, absl::UnavailableError("the daemon is ending"), {}});
  }
  for (Question& question : std::exchange(questions_, {})) question(nullptr);
}

void ControlLoop::Carry(std::vector<Command> commands) {
  for (Command& command : commands) {
    std::visit([this](auto& c) { Do(std::move(c)); }, command);
  }
}

void ControlLoop::Do(StartTransfer command) {
  TransferSpec& spec = command.spec;
  if (!mailbox_.Promise()) {
    TransferOutcome outcome;
    outcome.ticket = spec.ticket;
    outcome.failure = TransferFailure::kTargetError;
    outcome.status = absl::ResourceExhaustedError("too many transfers are live");
    events_.push_back(TransferEnded{std::move(outcome)});
    return;
  }
  const ResidencyTable& table = controller_->state().table;
  deps_.regions->Assign(spec.target, table.pool(spec.target.pool).options().segment_bytes,
                        table.block(spec.block).domain);
  deps_.mover->Start(std::move(spec));
}

void ControlLoop::Do(const CancelTransfer& command) { deps_.mover->Cancel(command.ticket); }

void ControlLoop::Do(const ReclassifyTransfer& command) {
  deps_.mover->Reclassify(command.ticket, command.cls);
}

void ControlLoop::Do(const ReclaimCopy& command) {
  const SlotId slot = command.slot;
  const Generation generation = command.generation;
  if (!mailbox_.Promise()) {
    events_.push_back(CopyStillHeld{slot, generation});  // asked again at the next tick
    return;
  }
  deps_.holders->Ask(slot, generation, command.place, [this, slot, generation](bool free) {
    mailbox_.PostPromised(free ? Event(CopyReclaimed{slot, generation})
                               : Event(CopyStillHeld{slot, generation}));
  });
}

void ControlLoop::Do(const SendHint& command) {
  deps_.hints->Deliver(command.session, command.hint);
}

void ControlLoop::Do(const Persist& command) {
  const bool wanted = command.token != 0;
  absl::Status status = absl::ResourceExhaustedError("too many rows wait to be written");
  if (!wanted || mailbox_.Promise()) {
    status = deps_.catalogue->Submit(RowOf(controller_->state().table, command), command.token);
    if (!status.ok() && wanted) mailbox_.Forgo();
  }
  if (!status.ok() && wanted) events_.push_back(CatalogueFailed{{command.token}, status});
}

void ControlLoop::Do(Reply command) {
  const auto it = handlers_.find(command.request);
  if (it == handlers_.end()) return;
  const ReplyHandler handler = std::move(it->second);
  handlers_.erase(it);
  handler(std::move(command));
}

}  // namespace residency
