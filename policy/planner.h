// Background work: what should move although nobody waits for it. Looks at blocks in slices, in
// turn; what it proposes goes past the guardrails, and only to links that demand leaves idle.
#pragma once

#include <cstdint>
#include <vector>

#include "policy/acquires.h"
#include "policy/controller_state.h"
#include "policy/moves.h"
#include "policy/room.h"
#include "policy/scoring.h"
#include "policy/vetting.h"

namespace residency {

class Planner {
 public:
  Planner(ControllerState& state, Scoring& scoring, Vetting& vetting, Moves& moves, Room& room,
          const Acquires& acquires)
      : s_(state),
        scoring_(scoring),
        vetting_(vetting),
        moves_(moves),
        room_(room),
        acquires_(acquires) {}

  // One tick goes once over all blocks, or over this many of a larger node.
  static constexpr size_t kBlocksPerTick = 20'000;
  // About 200 us.
  static constexpr size_t kBlocksPerSlice = 256;

  void BeginTick();
  // True while the tick has more to look at.
  bool Slice();
  bool unfinished() const { return left_ > 0; }

  // After a visit of `layer`: begins prefetches for the layers that come next.
  void Prefetch(ModelId model, int32_t layer);
  // Goes on with proposals whose victims have left.
  void RetryPending();

 private:
  struct Proposal {
    BlockId block;
    PoolId to;
    Encoding encoding = Encoding::kFull;
    LinkClass cls = LinkClass::kRebalance;
    Verdict verdict = Verdict::kPromote;
    const char* reason = "";
    double key = 0;  // K of the copy to be made, as the pool's victim order would see it
    BlockId victim;
    TimePoint proposed;
    bool young_too = false;  // victims may have come a moment ago
  };
  void Consider(BlockId block);
  void ConsiderNvme(const Block& block);
  void ConsiderDram(const Block& block);
  void ConsiderHbm(const Block& block);
  // A low-bit copy for engines that can use one, of what has no usable copy in HBM.
  void ConsiderLowbit(const Block& block, PoolId hbm);
  // A compressed copy in HBM, where decoding beats bringing the block from where it is.
  void ConsiderCompressed(const Block& block, PoolId hbm);
  // Only if its use is likelier than that of the block that would have to go, by the margin.
  void ConsiderPrefetch(BlockId block, PoolId hbm, const char* reason);
  double KeyIn(BlockId block, PoolId pool, Encoding encoding = Encoding::kFull) const;
  // Whether the pool holds, gets or loses a lossless copy of the block.
  bool HasLossless(BlockId block, PoolId pool) const;
  void CountLowbit(PoolId hbm);
  // Whether low-bit copies have this much left of their share; lets the least worth of them go if
  // `key` beats it.
  bool LowbitShareFor(PoolId hbm, Bytes bytes, double key);
  // Begins it, makes room for it and keeps it pending, or lets it go.
  void Propose(Proposal proposal);
  bool Begin(const Proposal& proposal);

  ControllerState& s_;
  Scoring& scoring_;
  Vetting& vetting_;
  Moves& moves_;
  Room& room_;
  const Acquires& acquires_;
  uint32_t next_ = 0;                                    // block to look at next
  size_t left_ = 0;                                      // in this tick
  std::vector<std::pair<double, SlotId>> lowbit_order_;  // highest K first, as of the tick's begin
  bool closed_ = false;  // the in-flight limit was reached in this tick
  std::vector<Proposal> pending_;
};

}  // namespace residency
