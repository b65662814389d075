// Hints on their way from the controller to engines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/hint.h"
#include "core/ids.h"

namespace residency {

// Where the controller's hints go: to the session's stream while it has one, else to its bounded
// queue, from which PullHints takes them. A full queue drops and counts hints; recalls and
// revocations are never dropped, those that follow each other become one. Thread-safe; sinks and
// ready functions may call back.
class HintHub {
 public:
  using Sink = std::function<void(const Hint&)>;  // must not block

  explicit HintHub(size_t queue_max) : queue_max_(queue_max) {}

  void Open(SessionId session);  // from then on hints are kept
  void Close(SessionId session);
  // The stream's sink; what is queued goes to it at once. Null takes it away.
  void SetSink(SessionId session, Sink sink);
  // Called on the controller's thread.
  void Deliver(SessionId session, const Hint& hint);

  struct Pulled {
    std::vector<Hint> hints;
    uint64_t dropped = 0;  // for want of room, since the last pull
  };
  Pulled Pull(SessionId session, size_t max);
  // Runs `ready` once, on any thread, as soon as the session has a hint (maybe at once) or is
  // closed; a later call replaces an earlier one.
  void WhenReady(SessionId session, std::function<void()> ready);

 private:
  struct Queue;
  std::shared_ptr<Queue> Find(SessionId session);  // null if the session is not open

  const size_t queue_max_;
  std::mutex mutex_;
  absl::flat_hash_map<SessionId, std::shared_ptr<Queue>> queues_;
};

}  // namespace residency
