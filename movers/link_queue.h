// Which chunk goes next on one link. Three classes, demand before prefetch before rebalance, first
// come first served within a class, so that a transfer in progress is overtaken between two chunks.
// While demand is about, other classes may only have a small window in flight: a chunk that is
// already on the wire cannot be overtaken. Pure logic on times that it is given; not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "core/bytes.h"
#include "core/clock.h"
#include "core/ids.h"
#include "core/link.h"

namespace residency {

struct LinkQueueOptions {
  Bytes in_flight_max = MiB(16);  // of all classes: what keeps the device busy and no more
  int chunks_in_flight_max = 64;
  Bytes background_window = MiB(2);          // of other classes than demand ...
  Micros background_hold = Micros(100'000);  // ... until this long after demand was last seen
};

struct LinkChunk {
  uint32_t index = 0;
  uint32_t bytes = 0;
};

// Leave for one chunk to be on the link. The class is that of the moment of granting.
struct LinkGrant {
  Ticket ticket;
  LinkChunk chunk;
  LinkClass cls = LinkClass::kRebalance;
};

class LinkQueue {
 public:
  explicit LinkQueue(const LinkQueueOptions& options = {}) : options_(options) {}

  // Queues a chunk of a transfer behind its other chunks here. A transfer's place among the others
  // of its class is that of its first chunk; `cls` counts only with that one.
  void Offer(Ticket ticket, LinkClass cls, LinkChunk chunk, TimePoint now);

  // The chunk to issue next, or nothing if none is queued or the limits hold it back. Whatever
  // holds it back ends with a Done(), so ask again then; no timer is needed. A chunk larger than a
  // limit goes alone.
  std::optional<LinkGrant> Peek(TimePoint now) const;
  // Takes what Peek() showed. REQUIRES: Peek(now) has a value.
  LinkGrant Take(TimePoint now);
  // A granted chunk has left the link, well or badly.
  void Done(const LinkGrant& grant, TimePoint now);

  // Moves a transfer behind those of another class; chunks in flight keep theirs. Unknown tickets
  // are ignored.
  void Reclassify(Ticket ticket, LinkClass cls, TimePoint now);
  // Forgets a transfer and its queued chunks; those in flight still need Done().
  void Withdraw(Ticket ticket);

  Bytes in_flight() const { return demand_in_flight_ + background_in_flight_; }
  // Transfers that have announced themselves and were not withdrawn.
  size_t transfer_count() const { return streams_.size(); }

 private:
  struct Stream {
    LinkClass cls;
    uint64_t order;  // of arrival in its class
    std::deque<LinkChunk> chunks;
  };
  using Ready = std::set<std::pair<uint64_t, Ticket>>;  // by order; only streams with chunks

  Ready& ReadyOf(LinkClass cls) { return ready_[static_cast<int>(cls)]; }
  void SeeDemand(LinkClass cls, TimePoint now);
  bool HasRoom(LinkClass cls, uint32_t bytes, TimePoint now) const;

  const LinkQueueOptions options_;
  absl::flat_hash_map<Ticket, Stream> streams_;
  std::array<Ready, kLinkClassCount> ready_;
  uint64_t next_order_ = 0;
  std::optional<TimePoint> demand_seen_;
  Bytes demand_in_flight_;
  Bytes background_in_flight_;
  int chunks_in_flight_ = 0;
};

}  // namespace residency
