// The leases of a session: which it holds, and which lie idle for the next use.
//
// A recallable lease stays here after its last use, and a hit on it costs one short lock of one
// of many shards: no RPC, no system call. Never waits for anything else, so callbacks of the
// stream may call it. Any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "client/regions.h"
#include "residency/lease.h"

namespace residency::inline client::internal {

// What one model may have in use, and has. Bytes count while a Lease on them lives.
struct Quota {
  uint64_t max_bytes = 0;
  std::atomic<uint64_t> in_use{0};

  // False, and nothing added, if that would exceed the limit.
  bool TryAdd(uint64_t bytes);
};

// What a lease says, constant after the grant.
struct LeaseFacts {
  uint64_t lease_id = 0;
  BlockId block{};
  size_t size = 0;
  LeaseMode mode = LeaseMode::kRecallable;
  Encoding encoding = Encoding::kUnspecified;
  Tier tier = Tier::kUnspecified;
  uint64_t checksum = 0;
  uint32_t generation = 0;
  std::string layout;
  ElementType element = ElementType::kUnspecified;
  uint64_t full_bytes = 0;
  std::optional<LowbitFormat> lowbit_format;
  float lowbit_error = 0;
  ResidencyState served_from = ResidencyState::kUnspecified;
  absl::Duration stall;
};

class LeaseCache;

struct LeaseEntry {
  LeaseEntry(LeaseFacts f, Mapping m, uint64_t e, std::shared_ptr<Quota> q,
             std::shared_ptr<LeaseCache> c)
      : facts(std::move(f)),
        mapping(std::move(m)),
        epoch(e),
        quota(std::move(q)),
        cache(std::move(c)) {}

  // REQUIRES: a use is already counted for the new Lease.
  static Lease MakeLease(LeaseEntry* entry) { return Lease(entry); }
  static LeaseEntry* Get(const Lease& lease) { return lease.entry_; }

  const LeaseFacts facts;
  const Mapping mapping;
  const uint64_t epoch;
  const std::shared_ptr<Quota> quota;
  const std::shared_ptr<LeaseCache> cache;
  // Two for each Lease, one for a place in the cache. At 0 the lease is given back.
  std::atomic<uint64_t> refs{2};
  std::atomic<bool> revoked{false};
  std::atomic<bool> orphaned{false};
};

struct LeaseCounts {
  uint64_t hits = 0;
  uint64_t recalls = 0;
  uint64_t revocations = 0;
  uint64_t orphans = 0;
  uint64_t held = 0;
};

enum class Lookup : uint8_t { kHit, kMiss, kOverLimit };
enum class Loss : uint8_t { kOrphaned, kRevoked };

class LeaseCache : public std::enable_shared_from_this<LeaseCache> {
 public:
  // Told, without any lock held, of each lease to be given back to the daemon.
  using ReleaseSink = std::function<void(uint64_t lease_id)>;
  explicit LeaseCache(ReleaseSink release) : release_(std::move(release)) {}

  // On a hit, `*lease` is a use of the cached lease. kNone accepts any copy.
  Lookup Find(BlockId block, Accepts accepts, Lease* lease);

  // Grants belong to an epoch, the time with one session. `Granted` is called as soon as the
  // daemon's answer is seen, so that a recall that overtakes the mapping is not lost.
  uint64_t epoch() const;
  // False if the epoch has ended.
  bool Granted(uint64_t epoch, const std::vector<uint64_t>& lease_ids);
  // Gives back what was granted and not inserted.
  void Return(uint64_t epoch, const std::vector<uint64_t>& lease_ids);
  // Turns a grant into a Lease, for whose bytes `reserved` are already counted in `quota`.
  // Recallable ones are cached from now on, in the place of an older one. None if the epoch has
  // ended; then the reservation stays the caller's.
  std::optional<Lease> Insert(uint64_t epoch, LeaseFacts facts, Mapping mapping,
                              std::shared_ptr<Quota> quota, uint64_t reserved);

  // From the daemon. Idle leases are given back at once, used ones at their last use's end; no
  // new hits either way.
  void Recall(const std::vector<uint64_t>& lease_ids);
  // The blocks whose leases these are.
  std::vector<BlockId> Revoke(const std::vector<uint64_t>& lease_ids);
  // Forgets a cached lease that is no longer the best copy, so that the next Acquire asks.
  void ForgetColder(BlockId block);

  // Drops the cached leases of these blocks and returns their ids.
  std::vector<uint64_t> DropRange(BlockId first, size_t count);
  // The session is gone, and all its leases with it. Ends the epoch.
  void EndEpoch(Loss loss);
  std::vector<uint64_t> HeldIds() const;

  LeaseCounts Counts() const;

 private:
  friend class residency::Lease;

  struct Held {
    LeaseEntry* entry = nullptr;  // null until inserted
    bool recalled = false;
    bool revoked = false;
  };
  struct alignas(64) Shard {
    mutable absl::Mutex mu;
    absl::flat_hash_map<uint32_t, LeaseEntry*> idle_or_used ABSL_GUARDED_BY(mu);
    uint64_t hits ABSL_GUARDED_BY(mu) = 0;
  };
  static constexpr size_t kShards = 64;

  Shard& ShardOf(BlockId block) { return shards_[static_cast<uint32_t>(block) % kShards]; }
  // Takes the entry out of the cache; true if it was there, and its reference is now the caller's.
  bool Unlink(LeaseEntry* entry);
  void DropUse(LeaseEntry* entry);
  void DropCached(LeaseEntry* entry);
  void Gone(LeaseEntry* entry);

  const ReleaseSink release_;
  std::array<Shard, kShards> shards_;
  // Taken before a shard's lock. An entry is deleted only after it was erased here.
  mutable absl::Mutex mu_;
  uint64_t epoch_ ABSL_GUARDED_BY(mu_) = 1;
  absl::flat_hash_map<uint64_t, Held> held_ ABSL_GUARDED_BY(mu_);  // by lease id
  LeaseCounts counts_ ABSL_GUARDED_BY(mu_);
};

}  // namespace residency::inline client::internal
