#include "policy/scoring.h"

#include <algorithm>

#include "policy/activity.h"

namespace residency {

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

LinkModel::Form Scoring::FormOf(const Block& block, Encoding encoding, Bytes bytes) const {
  return {encoding, static_cast<double>(bytes.count()) / static_cast<double>(block.bytes.count())};
}

Scoring::Source Scoring::BestSource(BlockId id, PoolId to, Encoding encoding,
                                    SlotId besides) const {
  const Block& block = s_.table.block(id);
  const bool suits = s_.table.SuitsIn(id, to, encoding) == Suitability::kSuits;
  const Bytes bytes = suits ? s_.table.BytesIn(id, to, encoding) : block.bytes;
  const LinkModel::Form form = FormOf(block, encoding, bytes);
  Source best;
  s_.table.ForEachCopy(id, [&](SlotId slot, const Copy& copy) {
    if (slot == besides || copy.status != CopyStatus::kLive || !IsLossless(copy.encoding)) return;
    if (copy.pool == to && copy.encoding == encoding) return;
    auto path = s_.links.TurnPath(
        EndOf(copy.pool), FormOf(block, copy.encoding, s_.table.BytesOf(copy)), EndOf(to), form);
    const double us = s_.links.UnloadedUs(path, block.bytes);
    if (!best.known || us < best.us) best = {slot, std::move(path), true, us};
  });
  if (best.known || !block.CanRecompute()) return best;
  best.path = s_.links.Turned(RecipePath(block.recipe, to), form);
  best.us = s_.links.UnloadedUs(best.path, block.bytes);
  best.known = true;
  return best;
}

LinkModel::Path Scoring::PathOf(const TransferSpec& spec) const {
  const Block& block = s_.table.block(spec.block);
  const LinkModel::Form form = FormOf(block, spec.encoding, spec.bytes);
  if (const auto* copy = std::get_if<CopySource>(&spec.source)) {
    return s_.links.TurnPath(EndOf(copy->place.pool), FormOf(block, copy->encoding, copy->bytes),
                             EndOf(spec.target.pool), form);
  }
  return s_.links.Turned(RecipePath(std::get<Recipe>(spec.source), spec.target.pool), form);
}

bool Scoring::AcceptsLowbit(ModelId model) const {
  if (!model.valid() || model.value() >= s_.models.size()) return false;
  const ModelState& m = s_.models[model.value()];
  return m.sessions > 0 && m.lowbit_sessions == m.sessions;
}

SlotId Scoring::UsableLowbit(BlockId id) const {
  SlotId found;
  if (!AcceptsLowbit(s_.table.block(id).model)) return found;
  s_.table.ForEachCopy(id, [&](SlotId slot, const Copy& copy) {
    if (copy.encoding == Encoding::kLowbit && copy.status == CopyStatus::kLive) found = slot;
  });
  return found;
}

Score Scoring::ScoreMove(BlockId id, PoolId to, LinkClass cls, Encoding encoding) const {
  const Block& block = s_.table.block(id);
  const Source source = BestSource(id, to, encoding);
  const double delta = s_.links.CodecUs(source.path, block.bytes);
  double tau = kIrreplaceableUs;
  double restore = kIrreplaceableUs;
  if (source.known) {
    tau = std::max(0.0, s_.links.EstimateUs(source.path, block.bytes, cls) - delta);
    restore = source.us;
  }
  Bytes bytes = block.bytes;
  if (encoding != Encoding::kFull && s_.table.SuitsIn(id, to, encoding) == Suitability::kSuits) {
    bytes = s_.table.BytesIn(id, to, encoding);
    // What the copy would save is a full one's coming, less what is still to be done or missed.
    const Source full = BestSource(id, to, Encoding::kFull);
    if (full.known) restore = full.us;
    if (encoding == Encoding::kLowbit) {
      restore *= 1 - kRefineFactor;
    } else if (s_.table.pool(to).tier() == Tier::kHbm) {
      restore = std::max(0.0, restore - DecodeUs(block, to));
    }
  } else if (s_.table.pool(to).tier() == Tier::kHbm && UsableLowbit(id).valid()) {
    restore *= kRefineFactor;
  }
  return ComputeScore(TermsOf(id), {.delta_us = delta, .tau_us = tau}, restore, bytes, s_.config);
}

double Scoring::DecodeUs(const Block& block, PoolId hbm) const {
  const Bytes bytes = s_.table.BytesIn(block.id, hbm, Encoding::kCompressed);
  const auto path =
      s_.links.TurnPath(EndOf(hbm), FormOf(block, Encoding::kCompressed, bytes), EndOf(hbm), {});
  return s_.links.UnloadedUs(path, block.bytes);
}

double Scoring::RestoreUs(const Block& block, const Copy& copy, SlotId slot) const {
  const PoolId hottest = HottestPool();
  if (!hottest.valid()) return kIrreplaceableUs;
  if (copy.encoding == Encoding::kLowbit) {
    const bool used = AcceptsLowbit(block.model);
    return used ? BestSource(block.id, hottest, Encoding::kFull).us * (1 - kRefineFactor) : 0;
  }
  const ResidencyState state = s_.table.StateOf(copy);
  double best = kIrreplaceableUs;
  s_.table.ForEachCopy(block.id, [&](SlotId other, const Copy& c) {
    if (other == slot || c.status != CopyStatus::kLive || !IsLossless(c.encoding)) return;
    if (s_.table.StateOf(c) <= state) return;  // only colder ones
    const auto path =
        s_.links.TurnPath(EndOf(c.pool), FormOf(block, c.encoding, s_.table.BytesOf(c)),
                          EndOf(hottest), LinkModel::Form());
    best = std::min(best, s_.links.UnloadedUs(path, block.bytes));
  });
  if (best == kIrreplaceableUs && block.CanRecompute()) {
    best = s_.links.UnloadedUs(RecipePath(block.recipe, hottest), block.bytes);
  }
  if (state == ResidencyState::kS2CompressedHbm) {
    return std::max(0.0, best - DecodeUs(block, copy.pool));
  }
  if (state == ResidencyState::kS0FullHbm && UsableLowbit(block.id).valid()) {
    return best * kRefineFactor;
  }
  return best;
}

Score Scoring::ScoreCopy(SlotId slot) const {
  const Copy& copy = s_.table.copy(slot);
  const Block& block = s_.table.block(copy.block);
  const double restore = RestoreUs(block, copy, slot);
  return ComputeScore(TermsOf(block.id), {.delta_us = 0, .tau_us = restore}, restore,
                      s_.table.BytesOf(copy), s_.config);
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
