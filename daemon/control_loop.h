// The controller's thread: takes what others posted, steps the controller, carries its commands
// out. Sole writer of the residency table. Never waits for I/O, a lock held over I/O, or the
// catalogue.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/clock.h"
#include "core/transfer.h"
#include "daemon/catalogue_writer.h"
#include "daemon/control_port.h"
#include "daemon/hint_hub.h"
#include "daemon/holders.h"
#include "daemon/mailbox.h"
#include "daemon/node_snapshot.h"
#include "daemon/region_map.h"
#include "policy/controller.h"

namespace residency {

// Everything that the loop drives, in one place. Not owned; all outlive the loop.
struct ControlDependencies {
  const Clock* clock = nullptr;
  Mover* mover = nullptr;
  CatalogueWriter* catalogue = nullptr;
  Holders* holders = nullptr;
  HintHub* hints = nullptr;
  RegionMap* regions = nullptr;
  std::function<void(TimePoint)> alive;  // a sign of life, once a tick
};

struct ControlLoopOptions {
  Micros tick{50'000};
  size_t mailbox_events = 65'536;
  size_t promises_max = 1 << 18;
  std::vector<std::string> backends;  // by pool, for readers
};

class ControlLoop final : public ControlPort {
 public:
  ControlLoop(std::unique_ptr<Controller> controller, ControlLoopOptions options);
  // Stop()s.
  ~ControlLoop() override;

  // Starts the thread. Events posted before wait for it.
  void Start(const ControlDependencies& dependencies);
  // Ends the thread and answers every call with UNAVAILABLE.
  void Stop();

  void Call(std::function<Event(RequestId)> make, ReplyHandler handler) override;
  bool Post(Event event) override;
  bool Ask(Question question) override;

  // Room for one event that must not be lost; PostPromised keeps the promise.
  bool Promise() { return mailbox_.Promise(); }
  void PostPromised(Event event) { mailbox_.PostPromised(std::move(event)); }

  // Callbacks of the movers and the catalogue, on their threads.
  void OnOutcome(TransferOutcome outcome);
  void OnCommitted(std::vector<uint64_t> tokens);
  void OnCommitFailed(std::vector<uint64_t> tokens, const absl::Status& why);

  // Never null.
  std::shared_ptr<const NodeSnapshot> snapshot() const;
  uint64_t events_refused() const { return mailbox_.refused(); }

 private:
  struct PendingCall {
    std::function<Event(RequestId)> make;
    ReplyHandler handler;
  };
  using Message = std::variant<Event, PendingCall, Question>;

  void Work();
  void TakeIn(std::vector<Message>& messages);
  Micros WaitFor(TimePoint now, TimePoint next_tick) const;
  void Carry(std::vector<Command> commands);
  void Do(StartTransfer command);
  void Do(const CancelTransfer& command);
  void Do(const ReclassifyTransfer& command);
  void Do(const ReclaimCopy& command);
  void Do(const SendHint& command);
  void Do(const Persist& command);
  void Do(Reply command);
  void Publish(TimePoint now, Micros tick_duration);
  // One posted event stands for as many promises as it has tokens.
  void PostTokens(Event event, size_t tokens);

  const ControlLoopOptions options_;
  const std::unique_ptr<Controller> controller_;
  ControlDependencies deps_;
  Mailbox<Message> mailbox_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> ended_{false};

  // Controller thread only.
  std::vector<Event> events_;  // of the next step
  std::vector<Question> questions_;
  absl::flat_hash_map<RequestId, ReplyHandler> handlers_;
  uint64_t next_request_ = 1;

  mutable std::mutex snapshot_mutex_;
  std::shared_ptr<const NodeSnapshot> snapshot_;

  std::thread thread_;
};

}  // namespace residency
