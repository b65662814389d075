// One call of Acquire: what it has so far, and what it still wants. Used by one thread at a time.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "client/lease_cache.h"
#include "client/model_state.h"
#include "client/pending_acquires.h"
#include "residency/client.h"

namespace residency::inline client::internal {

class AcquireOp {
 public:
  AcquireOp(std::span<const BlockId> blocks, const AcquireOptions& options,
            std::shared_ptr<ModelState> model, std::shared_ptr<LeaseCache> cache,
            absl::Time deadline);
  ~AcquireOp();  // gives up what was not taken

  // Takes what the cache has, drops what went stale while waiting, and counts the room for the
  // rest. ResourceExhausted or InvalidArgument name the limit of the model that forbids it.
  absl::Status Prepare();
  bool complete() const { return missing_.empty(); }
  // For what is missing; without `done`.
  Ask MakeAsk() const;
  // Maps and takes what was granted. Unavailable: the connection broke; prepare and ask again. On
  // any error what was granted is given back.
  absl::Status Fill(const Granted& granted, absl::Duration call);
  // REQUIRES: complete(). In the order of the blocks, with a lease for each mention.
  std::vector<Lease> Take();

  absl::Time deadline() const { return deadline_; }

 private:
  struct Item {
    BlockId block{};
    uint64_t bytes = 0;
    uint64_t reserved = 0;
    Lease lease;
  };

  absl::Status TakeHit(Item& item);
  absl::Status Reserve();
  void Unreserve();
  absl::StatusOr<std::vector<const v1::Lease*>> Match(const Granted& granted) const;
  absl::Status OverLimit(uint64_t wanted) const;

  const std::vector<BlockId> blocks_;
  const LeaseMode mode_;
  const Accepts accepts_;
  const std::shared_ptr<ModelState> model_;
  const std::shared_ptr<LeaseCache> cache_;
  const absl::Time deadline_;
  std::vector<Item> items_;            // each block once
  std::vector<size_t> item_of_block_;  // for each of blocks_
  std::vector<size_t> missing_;        // indices of items_
};

}  // namespace residency::inline client::internal
