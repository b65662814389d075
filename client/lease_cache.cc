#include "client/lease_cache.h"

#include <utility>

#include "absl/strings/str_cat.h"

#include "client/wire.h"

namespace residency::inline client {

Lease::Lease(internal::LeaseEntry* entry)
    : data_(entry->mapping.data()), size_(entry->facts.size), entry_(entry) {}

void Lease::Release() {
  if (internal::LeaseEntry* entry = std::exchange(entry_, nullptr); entry != nullptr) {
    entry->cache->DropUse(entry);
  }
}

BlockId Lease::block() const { return entry_->facts.block; }
LeaseMode Lease::mode() const { return entry_->facts.mode; }
Encoding Lease::encoding() const { return entry_->facts.encoding; }
Tier Lease::tier() const { return entry_->facts.tier; }
uint64_t Lease::checksum() const { return entry_->facts.checksum; }
uint32_t Lease::generation() const { return entry_->facts.generation; }
std::string_view Lease::layout() const { return entry_->facts.layout; }
ElementType Lease::element() const { return entry_->facts.element; }
uint64_t Lease::full_bytes() const { return entry_->facts.full_bytes; }
std::optional<LowbitFormat> Lease::lowbit_format() const { return entry_->facts.lowbit_format; }
float Lease::lowbit_error() const { return entry_->facts.lowbit_error; }

absl::StatusOr<std::vector<float>> Lease::DecodeLowbit() const {
  const uint64_t element_bytes = ElementBytes(element());
  if (!lowbit_format().has_value() || element_bytes == 0) {
    return absl::FailedPreconditionError(absl::StrCat("the lease is of a ", Name(encoding()),
                                                      " copy of ", Name(element()), " elements"));
  }
  std::vector<float> out(full_bytes() / element_bytes);
  const absl::Status status =
      client::DecodeLowbit(*lowbit_format(), bytes(), out.size(), out.data());
  if (!status.ok()) return status;
  return out;
}

absl::StatusOr<float> Lease::ErrorBound() const {
  const uint64_t element_bytes = ElementBytes(element());
  if (!lowbit_format().has_value() || element_bytes == 0) return 0.0f;
  return LowbitErrorBound(*lowbit_format(), bytes(), 0, full_bytes() / element_bytes);
}

ResidencyState Lease::served_from() const { return entry_->facts.served_from; }
absl::Duration Lease::stall() const { return entry_->facts.stall; }
bool Lease::revoked() const { return entry_->revoked.load(std::memory_order_acquire); }
bool Lease::orphaned() const { return entry_->orphaned.load(std::memory_order_acquire); }

namespace internal {

bool Quota::TryAdd(uint64_t bytes) {
  uint64_t before = in_use.fetch_add(bytes, std::memory_order_relaxed);
  if (bytes <= max_bytes && before <= max_bytes - bytes) return true;
  in_use.fetch_sub(bytes, std::memory_order_relaxed);
  return false;
}

Lookup LeaseCache::Find(BlockId block, Accepts accepts, Lease* lease) {
  Shard& shard = ShardOf(block);
  absl::MutexLock lock(&shard.mu);
  auto found = shard.idle_or_used.find(static_cast<uint32_t>(block));
  if (found == shard.idle_or_used.end()) return Lookup::kMiss;
  LeaseEntry* entry = found->second;
  if (accepts != Accepts::kNone &&
      !Includes(accepts, AcceptanceOf(entry->facts.tier, entry->facts.encoding))) {
    return Lookup::kMiss;
  }
  uint64_t before = entry->refs.fetch_add(2, std::memory_order_relaxed);
  if (before == 1 && !entry->quota->TryAdd(entry->facts.size)) {
    // Uses begin only under this lock, so none came in between.
    entry->refs.fetch_sub(2, std::memory_order_relaxed);
    return Lookup::kOverLimit;
  }
  ++shard.hits;
  *lease = LeaseEntry::MakeLease(entry);
  return Lookup::kHit;
}

uint64_t LeaseCache::epoch() const {
  absl::MutexLock lock(&mu_);
  return epoch_;
}

bool LeaseCache::Granted(uint64_t epoch, const std::vector<uint64_t>& lease_ids) {
  absl::MutexLock lock(&mu_);
  if (epoch != epoch_) return false;
  for (uint64_t id : lease_ids) held_.try_emplace(id);
  return true;
}

void LeaseCache::Return(uint64_t epoch, const std::vector<uint64_t>& lease_ids) {
  std::vector<uint64_t> returned;
  {
    absl::MutexLock lock(&mu_);
    if (epoch != epoch_) return;
    for (uint64_t id : lease_ids) {
      auto held = held_.find(id);
      if (held == held_.end() || held->second.entry != nullptr) continue;
      held_.erase(held);
      returned.push_back(id);
    }
  }
  for (uint64_t id : returned) release_(id);
}

std::optional<Lease> LeaseCache::Insert(uint64_t epoch, LeaseFacts facts, Mapping mapping,
                                        std::shared_ptr<Quota> quota, uint64_t reserved) {
  LeaseEntry* replaced = nullptr;
  LeaseEntry* entry = nullptr;
  {
    absl::MutexLock lock(&mu_);
    auto held = held_.find(facts.lease_id);
    // An id granted twice was answered twice; the second answer holds nothing of its own.
    if (epoch != epoch_ || held == held_.end() || held->second.entry != nullptr)
      return std::nullopt;
    entry = new LeaseEntry(std::move(facts), std::move(mapping), epoch, std::move(quota),
                           shared_from_this());
    held->second.entry = entry;
    entry->revoked.store(held->second.revoked, std::memory_order_release);
    entry->quota->in_use.fetch_add(entry->facts.size - reserved, std::memory_order_relaxed);
    if (entry->facts.mode == LeaseMode::kRecallable && !held->second.recalled &&
        !held->second.revoked) {
      Shard& shard = ShardOf(entry->facts.block);
      absl::MutexLock shard_lock(&shard.mu);
      entry->refs.fetch_add(1, std::memory_order_relaxed);
      replaced =
          std::exchange(shard.idle_or_used[static_cast<uint32_t>(entry->facts.block)], entry);
    }
  }
  if (replaced != nullptr) DropCached(replaced);
  return LeaseEntry::MakeLease(entry);
}

void LeaseCache::Recall(const std::vector<uint64_t>& lease_ids) {
  std::vector<LeaseEntry*> unlinked;
  {
    absl::MutexLock lock(&mu_);
    for (uint64_t id : lease_ids) {
      auto held = held_.find(id);
      if (held == held_.end()) continue;
      ++counts_.recalls;
      held->second.recalled = true;
      LeaseEntry* entry = held->second.entry;
      if (entry != nullptr && Unlink(entry)) unlinked.push_back(entry);
    }
  }
  for (LeaseEntry* entry : unlinked) DropCached(entry);
}

std::vector<BlockId> LeaseCache::Revoke(const std::vector<uint64_t>& lease_ids) {
  std::vector<LeaseEntry*> unlinked;
  std::vector<BlockId> blocks;
  {
    absl::MutexLock lock(&mu_);
    for (uint64_t id : lease_ids) {
      auto held = held_.find(id);
      if (held == held_.end()) continue;
      ++counts_.revocations;
      held->second.revoked = true;
      LeaseEntry* entry = held->second.entry;
      if (entry == nullptr) continue;
      blocks.push_back(entry->facts.block);
      entry->revoked.store(true, std::memory_order_release);
      if (Unlink(entry)) unlinked.push_back(entry);
    }
  }
  for (LeaseEntry* entry : unlinked) DropCached(entry);
  return blocks;
}

void LeaseCache::ForgetColder(BlockId block) {
  LeaseEntry* colder = nullptr;
  {
    Shard& shard = ShardOf(block);
    absl::MutexLock lock(&shard.mu);
    auto found = shard.idle_or_used.find(static_cast<uint32_t>(block));
    if (found == shard.idle_or_used.end()) return;
    const LeaseFacts& facts = found->second->facts;
    if (AcceptanceOf(facts.tier, facts.encoding) == Accepts::kHbmFull) return;
    colder = found->second;
    shard.idle_or_used.erase(found);
  }
  DropCached(colder);
}

std::vector<uint64_t> LeaseCache::DropRange(BlockId first, size_t count) {
  std::vector<LeaseEntry*> unlinked;
  std::vector<uint64_t> ids;
  for (size_t i = 0; i < count; ++i) {
    uint32_t block = static_cast<uint32_t>(first) + static_cast<uint32_t>(i);
    Shard& shard = ShardOf(BlockId{block});
    absl::MutexLock lock(&shard.mu);
    auto found = shard.idle_or_used.find(block);
    if (found == shard.idle_or_used.end()) continue;
    unlinked.push_back(found->second);
    ids.push_back(found->second->facts.lease_id);
    shard.idle_or_used.erase(found);
  }
  for (LeaseEntry* entry : unlinked) DropCached(entry);
  return ids;
}

void LeaseCache::EndEpoch(Loss loss) {
  std::vector<LeaseEntry*> unlinked;
  {
    absl::MutexLock lock(&mu_);
    ++epoch_;
    for (auto& [id, held] : held_) {
      ++(loss == Loss::kOrphaned ? counts_.orphans : counts_.revocations);
      if (held.entry == nullptr) continue;
      std::atomic<bool>& mark =
          loss == Loss::kOrphaned ? held.entry->orphaned : held.entry->revoked;
      mark.store(true, std::memory_order_release);
      if (Unlink(held.entry)) unlinked.push_back(held.entry);
    }
    held_.clear();
  }
  for (LeaseEntry* entry : unlinked) DropCached(entry);
}

std::vector<uint64_t> LeaseCache::HeldIds() const {
  absl::MutexLock lock(&mu_);
  std::vector<uint64_t> ids;
  ids.reserve(held_.size());
  for (const auto& [id, held] : held_) ids.push_back(id);
  return ids;
}

LeaseCounts LeaseCache::Counts() const {
  LeaseCounts counts;
  {
    absl::MutexLock lock(&mu_);
    counts = counts_;
    counts.held = held_.size();
  }
  for (const Shard& shard : shards_) {
    absl::MutexLock lock(&shard.mu);
    counts.hits += shard.hits;
  }
  return counts;
}

bool LeaseCache::Unlink(LeaseEntry* entry) {
  Shard& shard = ShardOf(entry->facts.block);
  absl::MutexLock lock(&shard.mu);
  auto found = shard.idle_or_used.find(static_cast<uint32_t>(entry->facts.block));
  if (found == shard.idle_or_used.end() || found->second != entry) return false;
  shard.idle_or_used.erase(found);
  return true;
}

void LeaseCache::DropUse(LeaseEntry* entry) {
  // Once the use is dropped another thread may delete the entry.
  std::shared_ptr<Quota> quota = entry->quota;
  const uint64_t size = entry->facts.size;
  uint64_t before = entry->refs.fetch_sub(2, std::memory_order_acq_rel);
  if (before <= 3) quota->in_use.fetch_sub(size, std::memory_order_relaxed);
  if (before == 2) Gone(entry);
}

void LeaseCache::DropCached(LeaseEntry* entry) {
  if (entry->refs.fetch_sub(1, std::memory_order_acq_rel) == 1) Gone(entry);
}

void LeaseCache::Gone(LeaseEntry* entry) {
  std::shared_ptr<LeaseCache> self = entry->cache;  // may be the last reference
  const uint64_t id = entry->facts.lease_id;
  bool ours = false;
  {
    absl::MutexLock lock(&mu_);
    ours = entry->epoch == epoch_;
    if (ours) held_.erase(id);
  }
  delete entry;
  if (ours) release_(id);
}

}  // namespace internal
}  // namespace residency::inline client
