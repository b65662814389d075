#include "policy/scoring.h"

#include <algorithm>

#include "policy/activity.h"

namespace residency {
namespace {}  // namespace

double Scoring::ActivityOf(ModelId model) const {
  if (!model.valid() || model.value() >= s_.models.size()) return 0;
  const ModelState& m = s_.models[model.value()];
  return Activity(m.in_step > 0, m.last_sign, s_.now, s_.config.activity_half_life);
}

Terms Scoring::TermsOf(BlockId id) const {
  const Block& block = s_.table.block(id);
  Terms terms;
  terms.activity = ActivityOf(block.model);
  terms.kappa = block.criticality;
  terms.psi = block.sensitivity;
  const uint64_t step =
      block.model.value() < s_.models.size() ? s_.models[block.model.value()].step : 0;
  terms.rho = s_.accesses.Reuse(id, step);
  if (block.expert >= 0) {
    const Signals signals = s_.estimator->Estimate(block.model, block.layer, block.expert);
    terms.rho = std::max(terms.rho, signals.rho);
    terms.lambda = signals.lambda;
  } else if (block.layer >= 0) {
    terms.lambda = terms.activity;  // a stepping model visits every dense block of a layer
  }
  return terms;
}

LinkModel::End Scoring::EndOf(PoolId pool) const { return {s_.table.pool(pool).tier(), pool}; }

LinkModel::Path Scoring::RecipePath(const Recipe& recipe, PoolId to) const {
  if (recipe.kind == RecipeKind::kSynthetic) return s_.links.GeneratePath(EndOf(to));
  return s_.links.FilePath(EndOf(to));
}

LinkModel::Path Scoring::PathTo(BlockId id, PoolId to, SlotId besides) const {
  const Block& block = s_.table.block(id);
  SlotId source;
  s_.table.ForEachCopy(id, [&](SlotId slot, const Copy& copy) {
    if (slot == besides || copy.status != CopyStatus::kLive || !IsLossless(copy.encoding)) return;
    if (copy.pool == to) return;
    const auto tier = [&](SlotId s) { return s_.table.pool(s_.table.copy(s).pool).tier(); };
    if (!source.valid() || tier(slot) < tier(source)) source = slot;
  });
  if (source.valid()) return s_.links.CopyPath(EndOf(s_.table.copy(source).pool), EndOf(to));
  if (block.CanRecompute()) return RecipePath(block.recipe, to);
  return {};
}

LinkModel::Path Scoring::PathOf(const TransferSpec& spec) const {
  if (const auto* copy = std::get_if<CopySource>(&spec.source)) {
    return s_.links.CopyPath(EndOf(copy->place.pool), EndOf(spec.target.pool));
  }
  return RecipePath(std::get<Recipe>(spec.source), spec.target.pool);
}

Score Scoring::ScoreMove(BlockId id, PoolId to, LinkClass cls) const {
  const Block& block = s_.table.block(id);
  const LinkModel::Path path = PathTo(id, to);
  const double tau = path.empty() ? kIrreplaceableUs : s_.links.EstimateUs(path, block.bytes, cls);
  const double restore = path.empty() ? kIrreplaceableUs : s_.links.UnloadedUs(path, block.bytes);
  return ComputeScore(TermsOf(id), {.delta_us = 0, .tau_us = tau}, restore, block.bytes, s_.config);
}

double Scoring::RestoreUs(const Block& block, const Copy& copy, SlotId slot) const {
  const PoolId hottest = HottestPool();
  if (!hottest.valid()) return kIrreplaceableUs;
  const Tier tier = s_.table.pool(copy.pool).tier();
  double best = kIrreplaceableUs;
  s_.table.ForEachCopy(block.id, [&](SlotId other, const Copy& c) {
    if (other == slot || c.status != CopyStatus::kLive || !IsLossless(c.encoding)) return;
    if (s_.table.pool(c.pool).tier() <= tier) return;  // only colder ones
    const auto path = s_.links.CopyPath(EndOf(c.pool), EndOf(hottest));
    best = std::min(best, s_.links.UnloadedUs(path, block.bytes));
  });
  if (best == kIrreplaceableUs && block.CanRecompute()) {
    best = s_.links.UnloadedUs(RecipePath(block.recipe, hottest), block.bytes);
  }
  return best;
}

Score Scoring::ScoreCopy(SlotId slot) const {
  const Copy& copy = s_.table.copy(slot);
  const Block& block = s_.table.block(copy.block);
  const double restore = RestoreUs(block, copy, slot);
  return ComputeScore(TermsOf(block.id), {.delta_us = 0, .tau_us = restore}, restore, block.bytes,
                      s_.config);
}

double Scoring::OrderKey(SlotId slot, const Score& score) const {
  const Copy& copy = s_.table.copy(slot);
  const bool shadowed = s_.table.SettledState(copy.block) < s_.table.StateOf(copy);
  return shadowed ? score.k * kShadowFactor : score.k;
}

void Scoring::Refresh(BlockId id) {
  s_.table.ForEachCopy(id, [&](SlotId slot, const Copy& copy) {
    VictimOrder& order = s_.victims[copy.pool.value()];
    if (copy.status == CopyStatus::kLive) {
      order.Update(slot, OrderKey(slot, ScoreCopy(slot)));
    } else {
      order.Remove(slot);
    }
  });
}

void Scoring::RefreshLayer(ModelId model_id, int32_t layer) {
  const Model& model = s_.table.model(model_id);
  for (int32_t expert = -1; expert < model.experts_of(layer); ++expert) {
    for (BlockId b = model.FirstAt(layer, expert); b.valid(); b = s_.table.block(b).next_sibling) {
      if (s_.table.block(b).first_copy.valid()) Refresh(b);
    }
  }
}

}  // namespace residency
