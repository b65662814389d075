#include "client/acquire_op.h"

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/wire.h"

namespace residency::inline client::internal {
namespace {

LeaseFacts FactsOf(const v1::Lease& lease, BlockId block, Tier tier) {
  LeaseFacts facts;
  facts.lease_id = lease.lease_id();
  facts.block = block;
  facts.size = lease.length();
  facts.mode = FromWire(lease.mode());
  facts.encoding = FromWire(lease.encoding());
  facts.tier = tier;
  facts.checksum = lease.checksum();
  facts.generation = lease.generation();
  facts.layout = lease.layout();
  facts.element = FromWire(lease.element_type());
  facts.full_bytes = lease.full_bytes() > 0 ? lease.full_bytes() : lease.length();
  facts.lowbit_format = FromWire(lease.lowbit_format());
  facts.lowbit_error = lease.lowbit_error();
  facts.served_from = FromWire(lease.served_from());
  facts.stall = absl::Microseconds(lease.stall_us());
  return facts;
}

bool Stale(const Lease& lease) { return lease.orphaned() || lease.revoked(); }

}  // namespace

AcquireOp::AcquireOp(std::span<const BlockId> blocks, const AcquireOptions& options,
                     std::shared_ptr<ModelState> model, std::shared_ptr<LeaseCache> cache,
                     absl::Time deadline)
    : blocks_(blocks.begin(), blocks.end()),
      mode_(options.mode),
      accepts_(options.accepts == Accepts::kNone ? model->limits.accepts : options.accepts),
      model_(std::move(model)),
      cache_(std::move(cache)),
      deadline_(deadline) {
  absl::flat_hash_map<uint32_t, size_t> seen;
  const uint32_t first = static_cast<uint32_t>(model_->first);
  for (BlockId block : blocks_) {
    auto [at, added] = seen.try_emplace(static_cast<uint32_t>(block), items_.size());
    item_of_block_.push_back(at->second);
    if (!added) continue;
    Item item;
    item.block = block;
    item.bytes = model_->blocks[static_cast<uint32_t>(block) - first].bytes;
    items_.push_back(std::move(item));
  }
}

AcquireOp::~AcquireOp() { Unreserve(); }

absl::Status AcquireOp::Prepare() {
  Unreserve();
  missing_.clear();
  for (size_t i = 0; i < items_.size(); ++i) {
    Item& item = items_[i];
    if (item.lease.held() && Stale(item.lease)) item.lease.Release();
    if (!item.lease.held()) {
      if (absl::Status taken = TakeHit(item); !taken.ok()) return taken;
    }
    if (!item.lease.held()) missing_.push_back(i);
  }
  return Reserve();
}

absl::Status AcquireOp::TakeHit(Item& item) {
  if (mode_ == LeaseMode::kPinned) return absl::OkStatus();  // a cached one may be recalled
  if (cache_->Find(item.block, accepts_, &item.lease) != Lookup::kOverLimit) {
    return absl::OkStatus();
  }
  return OverLimit(item.bytes);
}

absl::Status AcquireOp::Reserve() {
  if (missing_.empty()) return absl::OkStatus();
  uint64_t wanted = 0;
  for (size_t i : missing_) wanted += items_[i].bytes;
  if (wanted > model_->limits.max_batch_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("acquire: ", wanted, " bytes to ask for, but model \"", model_->name,
                     "\" declared max_batch_bytes ", model_->limits.max_batch_bytes,
                     "; acquire less at once or attach with a larger limit"));
  }
  if (!model_->quota->TryAdd(wanted)) return OverLimit(wanted);
  for (size_t i : missing_) items_[i].reserved = items_[i].bytes;
  return absl::OkStatus();
}

void AcquireOp::Unreserve() {
  for (Item& item : items_) {
    model_->quota->in_use.fetch_sub(std::exchange(item.reserved, 0), std::memory_order_relaxed);
  }
}

absl::Status AcquireOp::OverLimit(uint64_t wanted) const {
  return absl::ResourceExhaustedError(absl::StrCat(
      "acquire: model \"", model_->name, "\" has ",
      model_->quota->in_use.load(std::memory_order_relaxed), " bytes in use; ", wanted,
      " more would exceed the declared max_leased_bytes ", model_->limits.max_leased_bytes,
      "; release leases first or attach with a larger limit"));
}

Ask AcquireOp::MakeAsk() const {
  Ask ask;
  for (size_t i : missing_) ask.blocks.push_back(items_[i].block);
  ask.accepts = accepts_;
  ask.mode = mode_;
  ask.deadline = deadline_;
  return ask;
}

absl::Status AcquireOp::Fill(const Granted& granted, absl::Duration call) {
  std::vector<uint64_t> ids;
  for (const v1::Lease& lease : granted.leases) ids.push_back(lease.lease_id());
  Connection& connection = *granted.connection;
  auto give_back = [&](absl::Status status) {
    cache_->Return(connection.epoch, ids);  // those inserted are items' and end with them
    return status;
  };
  absl::StatusOr<std::vector<const v1::Lease*>> leases = Match(granted);
  if (!leases.ok()) return give_back(leases.status());
  auto source = [&](uint64_t region) {
    return connection.side->GetRegion(region, absl::Now() + call);
  };
  for (size_t i = 0; i < missing_.size(); ++i) {
    const v1::Lease& lease = *(*leases)[i];
    Item& item = items_[missing_[i]];
    absl::StatusOr<Mapping> mapping = connection.instance->Map(lease, source);
    if (!mapping.ok()) return give_back(mapping.status());
    Tier tier = FromWire(connection.instance->TierOf(lease.pool_id()));
    std::optional<Lease> inserted =
        cache_->Insert(connection.epoch, FactsOf(lease, item.block, tier), *std::move(mapping),
                       model_->quota, item.reserved);
    if (!inserted.has_value()) return absl::UnavailableError("acquire: the session was lost");
    item.reserved = 0;
    item.lease = *std::move(inserted);
  }
  missing_.clear();
  return absl::OkStatus();
}

// By block, whatever the order. A lease on an alias may name its root, but then stands in the
// place of its question.
absl::StatusOr<std::vector<const v1::Lease*>> AcquireOp::Match(const Granted& granted) const {
  absl::flat_hash_map<uint32_t, std::vector<const v1::Lease*>> by_block;
  for (const v1::Lease& lease : granted.leases) by_block[lease.block_id()].push_back(&lease);
  std::vector<const v1::Lease*> matched;
  for (size_t i = 0; i < granted.wire_ids.size() && i < missing_.size(); ++i) {
    auto found = by_block.find(granted.wire_ids[i]);
    const uint32_t block = static_cast<uint32_t>(items_[missing_[i]].block);
    const BlockSource& source = model_->sources[block - static_cast<uint32_t>(model_->first)];
    if (found != by_block.end() && !found->second.empty()) {
      matched.push_back(found->second.back());
      found->second.pop_back();
    } else if (std::holds_alternative<Alias>(source.recipe) && i < granted.leases.size()) {
      matched.push_back(&granted.leases[i]);
    }
  }
  if (matched.size() != missing_.size() || granted.leases.size() != missing_.size()) {
    return absl::InternalError(absl::StrCat("acquire: asked for ", missing_.size(), " blocks, got ",
                                            granted.leases.size(), " leases, ", matched.size(),
                                            " of them on these blocks"));
  }
  return matched;
}

std::vector<Lease> AcquireOp::Take() {
  std::vector<Lease> leases;
  leases.reserve(blocks_.size());
  std::vector<LeaseEntry*> entries(items_.size(), nullptr);
  for (size_t index : item_of_block_) {
    if (entries[index] == nullptr) {
      entries[index] = LeaseEntry::Get(items_[index].lease);
      leases.push_back(std::move(items_[index].lease));
      continue;
    }
    entries[index]->refs.fetch_add(2, std::memory_order_relaxed);
    leases.push_back(LeaseEntry::MakeLease(entries[index]));
  }
  return leases;
}

}  // namespace residency::inline client::internal
