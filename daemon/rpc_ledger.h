// Promises of the engine port that outlive a call: what a call was granted and couldn't deliver
// goes back, and events that must not be lost are kept when the mailbox is full.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "core/ids.h"
#include "daemon/control_port.h"
#include "policy/events.h"

namespace residency {

// Thread-safe. The port must outlive it.
class RpcLedger {
 public:
  // Events kept at most for want of room in the mailbox; then PostSurely fails.
  static constexpr size_t kKeptMax = 65'536;

  explicit RpcLedger(ControlPort& port) : port_(port) {}

  // Which call speaks for an acquire: the newest with its (session, client_request).
  struct Claim {
    SessionId session;
    uint64_t client_request = 0;
    uint64_t call = 0;
  };
  // Before the acquire is posted.
  Claim Begin(SessionId session, uint64_t client_request);
  // The call has ended, and the leases are the client's, or there are none.
  void Settle(const Claim& claim);
  // The call has ended and the client doesn't have the leases: they go back, unless a newer call
  // has taken the request over.
  void Abandon(const Claim& claim);

  // Posts now, or later in the same order, with the next call of anybody. False if too much is kept
  // already.
  bool PostSurely(SessionId session, Event event);
  // Posts what is kept, as far as there is room. Cheap if nothing is.
  void Flush();
  // Drops what is kept of a session: its client has said anew what it holds.
  void Forget(SessionId session);

 private:
  using Key = std::pair<SessionId, uint64_t>;

  // REQUIRES: mutex_ is held.
  bool PostOrKeep(SessionId session, Event event);
  void FlushLocked();

  ControlPort& port_;
  std::atomic<size_t> kept_count_{0};

  std::mutex mutex_;
  absl::flat_hash_map<Key, uint64_t> calls_;
  uint64_t next_call_ = 1;
  std::deque<std::pair<SessionId, Event>> kept_;
};

}  // namespace residency
