// A second, simple-minded account of what a residency table holds, for tests: plain maps, and every
// rule written down again. Whatever the table does must agree with it.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "core/residency_table.h"

namespace residency {

class TableModel {
 public:
  struct ModelBlock {
    Bytes bytes;
    bool recipe = false;
    bool broken = false;
    bool had_bytes = false;
    int pins = 0;
    bool recomputable() const { return recipe && !broken; }
  };
  struct ModelCopy {
    BlockId block;
    PoolId pool;
    Generation generation;
    CopyStatus status = CopyStatus::kArriving;
    int leases = 0;
  };
  struct ModelLive {
    BlockId block;
    SlotId add;
    SlotId source;
    std::vector<SlotId> drop;
  };

  explicit TableModel(std::vector<Tier> pools) : pools_(std::move(pools)) {}

  // --- What the rules say ---
  const ModelLive* LiveOf(BlockId block) const;
  bool HasCopyIn(BlockId block, PoolId pool) const;
  bool HasLive(BlockId block) const;  // a live copy
  bool MayRetire(SlotId slot) const;
  bool MayReclaim(SlotId slot) const;
  // Retiring, and meanwhile all that is left.
  bool MustRevive(SlotId slot) const;
  bool IsLost(BlockId block) const;
  ResidencyState Settled(BlockId block, const std::vector<SlotId>& drop = {}) const;
  std::optional<InFlight> Flight(BlockId block) const;
  // Bytes that could still be read: the block is safe while it has any, or a recipe.
  bool HasGoodBytes(BlockId block) const;

  // --- What happened ---
  void Began(Ticket ticket, BlockId block, PoolId to, SlotId add, Generation generation,
             SlotId source, std::vector<SlotId> drop);
  // Returns the slots that must have been retired.
  std::vector<SlotId> Completed(Ticket ticket);
  void Failed(Ticket ticket);

  // Fails the running test where the table differs.
  void ExpectAgrees(const ResidencyTable& table) const;

  std::map<BlockId, ModelBlock> blocks;
  std::map<SlotId, ModelCopy> copies;
  std::map<Ticket, ModelLive> live;

 private:
  void ExpectBlockAgrees(const ResidencyTable& table, BlockId block) const;
  ResidencyState StateOfCopy(const ModelCopy& copy) const;
  bool IsLastGood(SlotId slot) const;

  std::vector<Tier> pools_;
};

}  // namespace residency
