// Scores blocks and copies with what is known now, and keeps the victim orders in step.
#pragma once

#include "policy/controller_state.h"
#include "policy/scorer.h"

namespace residency {

// What it costs to lose a copy that nothing can bring back.
inline constexpr double kIrreplaceableUs = 60e6;

// A copy below a hotter one is needed only after that one has gone: its key counts this much.
inline constexpr double kShadowFactor = 0.25;
// Of what a low-bit copy leaves to gain by a full one: the part of a stall that quality is worth.
inline constexpr double kRefineFactor = 0.25;
// From this activity on a model counts as active.
inline constexpr double kActiveFrom = 0.5;

class Scoring {
 public:
  explicit Scoring(ControllerState& state) : s_(state) {}

  // Where a block is used best: the roomiest HBM pool, or DRAM on a node without HBM; none without
  // either.
  PoolId HottestPool() const {
    const PoolId hbm = s_.RoomiestPool(Tier::kHbm);
    return hbm.valid() ? hbm : s_.RoomiestPool(Tier::kDram);
  }
  double ActivityOf(ModelId model) const;
  Terms TermsOf(BlockId block) const;
  // What bringing the block to this pool is worth (R), and what keeping it there would be (K).
  Score ScoreMove(BlockId block, PoolId to, LinkClass cls,
                  Encoding encoding = Encoding::kFull) const;
  // What keeping this copy is worth: its K; R speaks of bringing it back as demand.
  Score ScoreCopy(SlotId slot) const;
  // The copy's key in its pool's victim order: K, lowered while a hotter copy shadows it.
  double OrderKey(SlotId slot, const Score& score) const;
  // S = lambda + (1 - lambda)·rho: how surely the block is used, soon or later; what prefetch
  // compares.
  static double UseLikelihood(const Terms& terms) {
    return terms.lambda + (1 - terms.lambda) * terms.rho;
  }

  // Rescores the block's copies and moves them to their places.
  void Refresh(BlockId block);
  void RefreshLayer(ModelId model, int32_t layer);

  // Where a copy would be made from: the lossless copy from which it takes least on idle links, or
  // else the recipe. `besides` is a copy to look past.
  struct Source {
    SlotId slot;
    LinkModel::Path path;
    bool known = false;  // there is one; the path is empty where no link is used
    double us = kIrreplaceableUs;
  };
  Source BestSource(BlockId block, PoolId to, Encoding encoding, SlotId besides = SlotId()) const;
  // Links from where the full block would come. Empty if there is no source.
  LinkModel::Path PathTo(BlockId block, PoolId to, SlotId besides = SlotId(),
                         Encoding encoding = Encoding::kFull) const {
    return BestSource(block, to, encoding, besides).path;
  }
  LinkModel::Path PathOf(const TransferSpec& spec) const;

  // Whether every session of the model can use low-bit copies.
  bool AcceptsLowbit(ModelId model) const;
  // A live low-bit copy of the block that its engines may be served from.
  SlotId UsableLowbit(BlockId block) const;

 private:
  // From a compressed copy in this pool to a full one there. REQUIRES: it suits the block.
  double DecodeUs(const Block& block, PoolId hbm) const;
  double RestoreUs(const Block& block, const Copy& copy, SlotId slot) const;
  LinkModel::End EndOf(PoolId pool) const;
  LinkModel::Path RecipePath(const Recipe& recipe, PoolId to) const;
  LinkModel::Form FormOf(const Block& block, Encoding encoding, Bytes bytes) const;

  ControllerState& s_;
};

}  // namespace residency
