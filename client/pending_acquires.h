// Acquires that the daemon was asked for and has not answered. They survive a broken stream: the
// next one carries them again, and the daemon gives the same leases. Any thread; what it calls
// back runs without a lock and must not wait.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/connection.h"
#include "client/lease_cache.h"
#include "client/model_state.h"
#include "client/outbox.h"

namespace residency::inline client::internal {

// What the daemon gave. Noted in the lease cache; the receiver inserts or returns each.
struct Granted {
  std::shared_ptr<Connection> connection;
  std::vector<v1::Lease> leases;
  std::vector<uint32_t> wire_ids;  // as asked
};

struct Ask {
  std::vector<BlockId> blocks;
  Accepts accepts = Accepts::kNone;
  LeaseMode mode = LeaseMode::kRecallable;
  absl::Time deadline;
  // Whether ExpireBefore() ends it; else whoever added it does by Abandon().
  bool expires = false;
  std::function<void(absl::StatusOr<Granted>)> done;  // exactly once, unless abandoned
};

class PendingAcquires {
 public:
  static constexpr size_t kPendingMax = 1024;
  // What the daemon gets beyond the deadline to say who holds the room.
  static constexpr absl::Duration kAnswerGrace = absl::Milliseconds(250);

  PendingAcquires(std::shared_ptr<Outbox> outbox, const BlockRegistry* registry,
                  std::shared_ptr<LeaseCache> cache)
      : outbox_(std::move(outbox)), registry_(registry), cache_(std::move(cache)) {}

  // The outbox now leads to this daemon: what is pending is put into it.
  void Connected(uint32_t acquire_blocks_max);
  void Disconnected();

  // Returns the request's id. ResourceExhausted if too many are pending, Cancelled after the end.
  absl::StatusOr<uint64_t> Add(Ask ask);
  // True if it was still pending; then `done` is not called any more.
  bool Abandon(uint64_t request_id);
  void Answer(const std::shared_ptr<Connection>& connection, const v1::AcquireResult& result);
  // Ends those whose deadline and grace are over; returns when to come again.
  absl::Time ExpireBefore(absl::Time now);
  // Cancels all, now and later.
  void End();

 private:
  struct Entry {
    Ask ask;
    std::vector<uint32_t> wire_ids;  // as last sent
  };
  absl::Status Send(uint64_t request_id, Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Ask Remove(std::map<uint64_t, Entry>::iterator at) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::shared_ptr<Outbox> outbox_;
  const BlockRegistry* const registry_;
  const std::shared_ptr<LeaseCache> cache_;

  absl::Mutex mu_;
  bool connected_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  uint32_t blocks_max_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t next_id_ ABSL_GUARDED_BY(mu_) = 1;
  std::map<uint64_t, Entry> entries_ ABSL_GUARDED_BY(mu_);
  std::set<std::pair<absl::Time, uint64_t>> expiring_ ABSL_GUARDED_BY(mu_);
};

}  // namespace residency::inline client::internal
