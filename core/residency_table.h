// The one record of which weights live where. Every change of residency is a method here;
// everything else reads. Not thread-safe: controller thread only.
//
// It promises: a leased copy is never moved, changed or reused; the last lossless copy of a block
// that can't be recomputed is never dropped; at most one transition of a block is live; bytes of
// one domain are never placed in a segment of another; a slot's generation rises before reuse.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/block.h"
#include "core/copy.h"
#include "core/encodings.h"
#include "core/lease.h"
#include "core/model.h"
#include "core/pool.h"
#include "core/residency_state.h"
#include "core/transfer.h"
#include "core/transition.h"

namespace residency {

struct StateTotal {
  uint64_t blocks = 0;
  uint64_t bytes = 0;
};

class ResidencyTable {
 public:
  explicit ResidencyTable(const std::vector<PoolOptions>& pools);
  ResidencyTable(const ResidencyTable&) = delete;
  ResidencyTable& operator=(const ResidencyTable&) = delete;

  // --- Models and blocks ---

  // The model with this (domain, fingerprint), made if need be.
  ModelId AddModel(DomainId domain, std::string_view name, std::string_view fingerprint);
  // Idempotent by name: known blocks keep their number and get a broken recipe renewed.
  // InvalidArgument names block and field; NotFound for an alias of nothing in the domain;
  // FailedPrecondition if a known name comes with other bytes.
  absl::StatusOr<BlockId> AddBlock(ModelId model, const BlockSpec& spec);
  // Marks every block whose recipe reads `file` as not recomputable. Returns how many.
  int BreakRecipes(FileId file);

  // --- What a catalogue remembers; only before the first transition ---

  absl::Status RestoreExtent(BlockId block, PoolId pool, Extent extent, Encoding encoding,
                             uint64_t checksum);

  // The block once had bytes: without copies and recipe it is lost, not merely empty.
  void MarkHadBytes(BlockId block);

  // --- Transitions ---

  // Reserves room at the target and marks the copy arriving. NotFound for an unknown block;
  // FailedPrecondition if a transition is live, the edge is illegal, such a copy is there already
  // or no lossless source is; ResourceExhausted if the pool has no room.
  absl::StatusOr<TransferSpec> Begin(const Transition& transition);
  // The copy is there: live, or committing on NVMe until Committed. nullopt, and counted, for
  // tickets that are no longer live. The slots to drop are retired where that is still allowed.
  struct Completed {
    StateChange change;
    SlotId slot;
    bool needs_commit = false;
    bool stage = false;  // added in S3 or S4 without a change of state
    std::vector<SlotId> retired;
  };
  // REQUIRES: the outcome is no failure.
  std::optional<Completed> Complete(const TransferOutcome& outcome, TimePoint now);
  // The bytes did not come: the room goes back. Returns what it was, nullopt if not live.
  struct Failed {
    BlockId block;
    SlotId source;
    Recipe recipe;
    bool supplied = false;
  };
  std::optional<Failed> Fail(Ticket ticket);
  // What a transfer found out about a block's bytes, whether or not it brought them.
  void Learn(BlockId block, const ContentFacts& facts, Bytes compressed);
  void MarkCancelling(Ticket ticket);
  void Reclassify(Ticket ticket, LinkClass cls);
  // The catalogue has the extent's row: the copy is live.
  std::optional<StateChange> Committed(SlotId slot, Generation generation, TimePoint now);
  // The catalogue could not take the row: the copy never was. REQUIRES: committing.
  void Abandon(SlotId slot);

  // --- Dropping, in two phases ---

  // Bars new leases. FailedPrecondition says why not: leased, the last lossless copy, the source
  // of a live transition, not live.
  absl::Status Retire(SlotId slot);
  // Nobody holds it any more: its bytes may be reused. nullopt if the slot is not that copy or is
  // not going; also if it has meanwhile become the last lossless copy of a block that can't be
  // recomputed (another went bad, the recipe broke): it is live again then, and one whose row has
  // left the catalogue must be recorded anew.
  std::optional<StateChange> Reclaim(SlotId slot, Generation generation);
  // Somebody does: live again, unless an equal copy came meanwhile.
  bool StillHeld(SlotId slot, Generation generation);
  // A bad copy: never leased or read again. Returns the leases on it.
  std::vector<LeaseId> Quarantine(SlotId slot);

  // --- Leases and pins ---

  // FailedPrecondition if the copy is not live.
  absl::StatusOr<LeaseId> Grant(SessionId session, SlotId slot, LeaseMode mode, TimePoint now);
  // False if there is no such lease of this session.
  bool EndLease(SessionId session, LeaseId lease);
  Lease* FindLease(LeaseId lease);
  void Pin(BlockId block) { blocks_[block.value()].pins++; }
  // Without effect on a block that has no pin.
  void Unpin(BlockId block) { blocks_[block.value()].pins -= blocks_[block.value()].pins > 0; }
  void SetSensitivity(BlockId block, float psi) { blocks_[block.value()].sensitivity = psi; }

  // --- Reading ---

  ResidencyState State(BlockId block) const;         // S5 while in flight
  ResidencyState SettledState(BlockId block) const;  // the hottest live copy, else S6
  std::optional<InFlight> FlightOf(BlockId block) const;
  // Neither copy nor recipe, though it had bytes or never got any.
  bool IsLost(BlockId block) const;
  // The hottest live copy that `accept` allows; with `accept` absent, any.
  SlotId BestCopy(BlockId block, const AcceptMask& accept) const;
  SlotId CopyIn(BlockId block, PoolId pool, Encoding encoding) const;  // any status but free
  bool HasLosslessBesides(BlockId block, SlotId slot) const;
  // A live full or compressed copy in this pool.
  SlotId LosslessIn(BlockId block, PoolId pool) const;
  // The lossless copy to make another one from that is nearest, by tier and encoding alone; none:
  // only the recipe can.
  SlotId ChooseSource(BlockId block, PoolId target, Encoding encoding = Encoding::kFull) const;
  // Whether a copy in this encoding may be made there.
  Suitability SuitsIn(BlockId block, PoolId pool, Encoding encoding) const;
  // Bytes of a copy there in this encoding, and of one that is held. REQUIRES: it suits.
  Bytes BytesIn(BlockId block, PoolId pool, Encoding encoding) const {
    return EncodedBytes(blocks_[block.value()], encoding, this->pool(pool).options().lowbit);
  }
  Bytes BytesOf(const Copy& copy) const {
    return copy.encoding == Encoding::kCompressed ? Bytes(copy.length)
                                                  : BytesIn(copy.block, copy.pool, copy.encoding);
  }
  bool IsSourceOfLive(SlotId slot) const;
  const LiveTransition* Live(Ticket ticket) const;

  bool Knows(BlockId block) const { return block.valid() && block.value() < blocks_.size(); }
  const Block& block(BlockId id) const { return blocks_[id.value()]; }
  const Copy& copy(SlotId slot) const { return copies_[slot]; }
  const CopyTable& copies() const { return copies_; }
  bool HasModel(ModelId id) const { return id.valid() && id.value() < models_.size(); }
  const Model& model(ModelId id) const { return *models_[id.value()]; }
  size_t block_count() const { return blocks_.size(); }
  size_t model_count() const { return models_.size(); }
  const std::string& layout(const Block& b) const { return layouts_[b.layout]; }
  Pool& pool(PoolId id) { return *pools_[id.value()]; }
  const Pool& pool(PoolId id) const { return *pools_[id.value()]; }
  const std::vector<std::unique_ptr<Pool>>& pools() const { return pools_; }
  ResidencyState StateOf(const Copy& copy) const {
    return residency::StateOf(pool(copy.pool).tier(), copy.encoding);
  }
  const absl::flat_hash_map<Ticket, LiveTransition>& live() const { return live_; }
  const absl::flat_hash_map<LeaseId, Lease>& leases() const { return leases_; }
  const std::array<StateTotal, kStateCount>& state_totals() const { return totals_; }
  Bytes leased_bytes(PoolId pool) const { return leased_bytes_[pool.value()]; }
  uint64_t lost_blocks() const { return lost_blocks_; }
  uint64_t stale_tickets() const { return stale_tickets_; }

  template <class F>
  void ForEachCopy(BlockId block, F f) const {
    for (SlotId s = blocks_[block.value()].first_copy; s.valid(); s = copies_[s].next) {
      f(s, copies_[s]);
    }
  }

  // Crashes, naming the offending copy.
  void CheckInvariants() const;

 private:
  class Watch;  // keeps totals_ right around a change of one block

  absl::Status ValidateSpec(const Model& model, const BlockSpec& spec) const;
  absl::StatusOr<BlockId> Renew(BlockId known, const BlockSpec& spec);
  BlockId Insert(Model& model, const BlockSpec& spec);
  absl::Status CheckBegin(const Transition& transition) const;
  SlotId SourceOf(const Transition& transition) const;
  static uint32_t PagesOf(Bytes bytes) { return static_cast<uint32_t>(bytes.count() >> 12); }
  SlotId NewCopy(Block& block, PoolId pool, Extent extent, Encoding encoding, CopyStatus status);
  void RemoveCopy(SlotId slot);
  bool MayRetire(SlotId slot, std::string* why) const;
  bool IsLastLossless(SlotId slot) const;
  ResidencyState HottestBesides(BlockId block, const std::vector<SlotId>& drop) const;

  std::vector<std::unique_ptr<Pool>> pools_;
  std::vector<Block> blocks_;
  std::vector<std::unique_ptr<Model>> models_;
  absl::flat_hash_map<std::pair<DomainId, std::string>, ModelId> model_ids_;
  NameArena names_;
  std::vector<std::string> layouts_;
  CopyTable copies_;
  absl::flat_hash_map<Ticket, LiveTransition> live_;
  absl::flat_hash_map<LeaseId, Lease> leases_;
  std::array<StateTotal, kStateCount> totals_;
  std::vector<Bytes> leased_bytes_;
  uint64_t next_ticket_ = 1;
  uint64_t next_lease_ = 1;
  uint64_t lost_blocks_ = 0;
  uint64_t stale_tickets_ = 0;
};

}  // namespace residency
