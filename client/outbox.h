// What waits to be sent on the session stream, in order. Reports are bounded: what does not fit is
// dropped, counted, and left as a gap in the sequence numbers. Acquires and releases always fit;
// their number is bounded by what is pending and what is held. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "residency/v1/engine.pb.h"

namespace residency::inline client::internal {

struct OutboxCounts {
  uint64_t reports_accepted = 0;  // sent or still to be sent
  uint64_t reports_dropped = 0;
  uint64_t messages_sent = 0;
};

class Outbox {
 public:
  // Neighbouring releases and access reports are joined up to this many numbers a message.
  static constexpr int kJoinedMax = 1024;

  explicit Outbox(size_t reports_max) : reports_max_(reports_max) {}

  // While closed, which it is at first, nothing is kept: reports count as dropped, and releases are
  // implied by the list of held leases that opens the next stream.
  void Open();
  // Sequence numbers begin anew with this message, which goes first.
  void PushOpen(std::vector<uint64_t> held_lease_ids);
  void Close();

  void PushAcquire(v1::AcquireBatch batch);
  void PushRelease(uint64_t lease_id);
  // `request` holds an access or routing report or a step marker. False if it was dropped.
  bool PushReport(v1::SessionRequest request);
  // A report that was not even made, for want of sense or of a daemon.
  void CountDropped();

  std::optional<v1::SessionRequest> Pop();
  OutboxCounts Counts() const;

 private:
  struct Item {
    v1::SessionRequest request;
    uint64_t dropped_before = 0;
    uint64_t reports = 0;  // joined in this message; 0 for what is no report
  };

  void Push(v1::SessionRequest request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool JoinAccess(const v1::SessionRequest& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const size_t reports_max_;
  mutable absl::Mutex mu_;
  bool open_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<Item> items_ ABSL_GUARDED_BY(mu_);
  size_t reports_ ABSL_GUARDED_BY(mu_) = 0;  // messages of them in items_
  uint64_t sequence_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t gap_ ABSL_GUARDED_BY(mu_) = 0;  // dropped since the last push
  OutboxCounts counts_ ABSL_GUARDED_BY(mu_);
};

}  // namespace residency::inline client::internal
