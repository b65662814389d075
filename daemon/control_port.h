// How other threads talk to the controller: events in, replies out, questions between two steps.
// Thread-safe; nothing here waits for the controller.
#pragma once

#include <functional>
#include <memory>

#include "core/ids.h"
#include "daemon/node_snapshot.h"
#include "policy/controller.h"
#include "policy/events.h"

namespace residency {

class ControlPort {
 public:
  // Runs once, on the controller's thread, and must not block.
  using ReplyHandler = std::function<void(Reply)>;
  // Runs once, on the controller's thread, between two steps: reads, never blocks. With null if the
  // controller has ended.
  using Question = std::function<void(const Controller*)>;

  virtual ~ControlPort() = default;

  // Posts the event that `make` returns for a fresh request id. The handler gets the reply; at
  // once, with RESOURCE_EXHAUSTED, if the mailbox is full, and with UNAVAILABLE if the daemon ends
  // first.
  virtual void Call(std::function<Event(RequestId)> make, ReplyHandler handler) = 0;
  // An event that nobody answers. False, and counted, if the mailbox is full.
  virtual bool Post(Event event) = 0;
  // False if the mailbox is full; then the question is not asked.
  virtual bool Ask(Question question) = 0;
};

}  // namespace residency
