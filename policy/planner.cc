#include "policy/planner.h"

#include <algorithm>

namespace residency {
namespace {

// Proposals that wait for their victims to leave, and how long they may.
constexpr size_t kPendingMax = 32;
constexpr Micros kPendingFor{100'000};
constexpr size_t kPrefetchesPerVisitMax = 4;

}  // namespace

void Planner::BeginTick() {
  left_ = std::min(s_.table.block_count(), kBlocksPerTick);
  const PoolId hbm = s_.RoomiestPool(Tier::kHbm);
  CountLowbit(hbm);
  closed_ = false;
}

bool Planner::Slice() {
  for (size_t n = std::min(left_, kBlocksPerSlice); n > 0; --n, --left_) {
    if (next_ >= s_.table.block_count()) next_ = 0;
    Consider(BlockId(next_++));
  }
  return left_ > 0;
}

bool Planner::HasLossless(BlockId id, PoolId pool) const {
  return s_.table.CopyIn(id, pool, Encoding::kFull).valid() ||
         s_.table.CopyIn(id, pool, Encoding::kCompressed).valid();
}

double Planner::KeyIn(BlockId id, PoolId to, Encoding encoding) const {
  const Block& block = s_.table.block(id);
  // What a copy there would save: bringing the block back to HBM from where it would come without.
  const PoolId hottest = scoring_.HottestPool();
  if (!hottest.valid()) return 0;
  const Score score = scoring_.ScoreMove(id, hottest, LinkClass::kDemand,
                                         to == hottest ? encoding : Encoding::kFull);
  if (to == hottest) return score.k;
  const double bytes = static_cast<double>(s_.table.BytesIn(id, to, encoding).count());
  const bool in_hottest = s_.table.CopyIn(id, hottest, Encoding::kFull).valid();
  if (!in_hottest) return score.k * score.bytes / bytes;
  // Shadowed by the copy in HBM: needed only after that has gone.
  const auto path = scoring_.PathTo(id, hottest, s_.table.CopyIn(id, to, encoding));
  const double restore = path.empty() ? kIrreplaceableUs : s_.links.UnloadedUs(path, block.bytes);
  return score.numerator * restore / bytes * kShadowFactor;
}

void Planner::Consider(BlockId id) {
  const Block& block = s_.table.block(id);
  scoring_.Refresh(id);
  if (closed_ || s_.draining || block.live.valid() || acquires_.Wanted(id)) return;
  ConsiderNvme(block);
  if (!block.live.valid()) ConsiderDram(block);
  if (!block.live.valid()) ConsiderHbm(block);
}

void Planner::ConsiderNvme(const Block& block) {
  if (!s_.config.stage_nvme || moves_.StagingSuspended() || !block.checksum_known) return;
  const PoolId nvme = s_.RoomiestPool(Tier::kNvme);
  if (!nvme.valid() || !s_.table.ChooseSource(block.id, nvme).valid()) return;
  for (const auto& pool : s_.table.pools()) {
    if (pool->tier() == Tier::kNvme && HasLossless(block.id, pool->id())) return;
  }
  const Encoding encoding = s_.EncodingKept(block.id, nvme);
  Propose({.block = block.id,
           .to = nvme,
           .encoding = encoding,
           .cls = LinkClass::kRebalance,
           .verdict = Verdict::kStage,
           .reason = "kept across restarts",
           .key = KeyIn(block.id, nvme, encoding),
           .victim = {},
           .proposed = s_.now});
}

void Planner::ConsiderDram(const Block& block) {
  const PoolId dram = s_.RoomiestPool(Tier::kDram);
  if (!s_.config.stage_dram || !dram.valid()) return;
  if (HasLossless(block.id, dram)) return;
  const Encoding encoding = s_.EncodingKept(block.id, dram);
  const auto path = scoring_.PathTo(block.id, dram, SlotId(), encoding);
  if (path.empty() || !s_.links.Idle(path)) return;
  Propose({.block = block.id,
           .to = dram,
           .encoding = encoding,
           .cls = LinkClass::kRebalance,
           .verdict = Verdict::kStage,
           .reason = "closer to HBM",
           .key = KeyIn(block.id, dram, encoding),
           .victim = {},
           .proposed = s_.now});
}

void Planner::ConsiderHbm(const Block& block) {
  const PoolId hbm = s_.RoomiestPool(Tier::kHbm);
  if (!hbm.valid() || s_.table.CopyIn(block.id, hbm, Encoding::kFull).valid()) return;
  if (scoring_.ActivityOf(block.model) < kActiveFrom) return;
  ConsiderPrefetch(block.id, hbm, "likelier used than what is there");
  if (!block.live.valid()) ConsiderLowbit(block, hbm);
  if (!block.live.valid()) ConsiderCompressed(block, hbm);
}

void Planner::CountLowbit(PoolId hbm) {
  s_.lowbit_bytes = Bytes();
  lowbit_order_.clear();
  if (!hbm.valid()) return;
  for (const auto& [k, slot] : s_.victims[hbm.value()].ascending()) {
    const Copy& copy = s_.table.copy(slot);
    if (copy.encoding != Encoding::kLowbit) continue;
    s_.lowbit_bytes += Bytes(copy.length);
    lowbit_order_.emplace_back(k, slot);
  }
  std::reverse(lowbit_order_.begin(), lowbit_order_.end());
}

bool Planner::LowbitShareFor(PoolId hbm, Bytes bytes, double key) {
  const double most =
      s_.config.lowbit_hbm_share * static_cast<double>(s_.table.pool(hbm).capacity().count());
  const auto fits = [&] { return static_cast<double>((s_.lowbit_bytes + bytes).count()) <= most; };
  while (!fits() && !lowbit_order_.empty()) {
    const auto [k, slot] = lowbit_order_.back();
    if (key <= (1 + s_.config.hysteresis) * k) return false;
    lowbit_order_.pop_back();
    const Copy copy = s_.table.copy(slot);
    const bool idle = copy.status == CopyStatus::kLive && copy.encoding == Encoding::kLowbit &&
                      copy.leases == 0 && s_.table.block(copy.block).pins == 0;
    if (!idle || !moves_
                      .Drop(slot, {.verdict = Verdict::kDemote,
                                   .reason = "a better low-bit copy",
                                   .competing = {}})
                      .ok()) {
      continue;
    }
    s_.lowbit_bytes = s_.lowbit_bytes - std::min(s_.lowbit_bytes, Bytes(copy.length));
  }
  return fits();
}

void Planner::ConsiderLowbit(const Block& block, PoolId hbm) {
  if (!s_.config.lowbit || !scoring_.AcceptsLowbit(block.model)) return;
  if (s_.table.CopyIn(block.id, hbm, Encoding::kLowbit).valid()) return;
  if (s_.table.SuitsIn(block.id, hbm, Encoding::kLowbit) != Suitability::kSuits) return;
  const auto path = scoring_.PathTo(block.id, hbm, SlotId(), Encoding::kLowbit);
  if (path.empty() || !s_.links.Idle(path)) return;
  const Bytes bytes =
      s_.table.pool(hbm).Footprint(s_.table.BytesIn(block.id, hbm, Encoding::kLowbit));
  const double key = KeyIn(block.id, hbm, Encoding::kLowbit);
  if (!LowbitShareFor(hbm, bytes, key)) return;
  Propose({.block = block.id,
           .to = hbm,
           .encoding = Encoding::kLowbit,
           .cls = LinkClass::kPrefetch,
           .verdict = Verdict::kPromote,
           .reason = "low-bit takes less room",
           .key = key,
           .victim = {},
           .proposed = s_.now,
           .young_too = true});
}

void Planner::ConsiderCompressed(const Block& block, PoolId hbm) {
  if (!s_.config.hbm_compressed) return;
  if (HasLossless(block.id, hbm) || scoring_.UsableLowbit(block.id).valid()) return;
  if (s_.table.SuitsIn(block.id, hbm, Encoding::kCompressed) != Suitability::kSuits) return;
  const auto path = scoring_.PathTo(block.id, hbm, SlotId(), Encoding::kCompressed);
  if (path.empty() || !s_.links.Idle(path)) return;
  const double key = KeyIn(block.id, hbm, Encoding::kCompressed);
  if (key <= 0) return;  // it would come as soon from where it is
  Propose({.block = block.id,
           .to = hbm,
           .encoding = Encoding::kCompressed,
           .cls = LinkClass::kPrefetch,
           .verdict = Verdict::kPromote,
           .reason = "decoding is sooner done than bringing",
           .key = key,
           .victim = {},
           .proposed = s_.now});
}

void Planner::Prefetch(ModelId model_id, int32_t layer) {
  const PoolId hbm = s_.RoomiestPool(Tier::kHbm);
  if (!s_.config.prefetch || s_.draining || !hbm.valid()) return;
  const Model& model = s_.table.model(model_id);
  if (model.layers() <= 0) return;
  std::vector<std::pair<double, BlockId>> candidates;
  for (int lead = 1; lead <= s_.config.prefetch_lead_layers; ++lead) {
    const int32_t next = (layer + lead) % model.layers();
    for (int32_t expert = 0; expert < model.experts_of(next); ++expert) {
      const Signals signals = s_.estimator->Estimate(model_id, next, expert);
      if (signals.lambda < s_.config.prefetch_min_lambda) continue;
      for (BlockId b = model.FirstAt(next, expert); b.valid(); b = s_.table.block(b).next_sibling) {
        const Block& block = s_.table.block(b);
        if (block.live.valid() || s_.table.CopyIn(b, hbm, Encoding::kFull).valid()) continue;
        candidates.emplace_back(scoring_.ScoreMove(b, hbm, LinkClass::kPrefetch).r, b);
      }
    }
  }
  const size_t count = std::min(kPrefetchesPerVisitMax, candidates.size());
  std::partial_sort(candidates.begin(), candidates.begin() + static_cast<ptrdiff_t>(count),
                    candidates.end(), [](const auto& a, const auto& b) {
                      return a.first != b.first ? a.first > b.first : a.second < b.second;
                    });
  for (size_t i = 0; i < count; ++i)
    ConsiderPrefetch(candidates[i].second, hbm, "likely at the next visit");
}

void Planner::ConsiderPrefetch(BlockId id, PoolId hbm, const char* reason) {
  const auto path = scoring_.PathTo(id, hbm);
  if (path.empty() || !s_.links.Idle(path)) return;
  const auto& order = s_.victims[hbm.value()].ascending();
  BlockId victim;
  const Bytes footprint = s_.table.pool(hbm).Footprint(s_.table.block(id).bytes);
  if (footprint + s_.table.pool(hbm).demand_reserve() > s_.table.pool(hbm).free()) {
    if (order.empty()) return;
    victim = s_.table.copy(order.begin()->second).block;
    const double gain = Scoring::UseLikelihood(scoring_.TermsOf(id)) -
                        Scoring::UseLikelihood(scoring_.TermsOf(victim));
    if (gain <= s_.config.prefetch_margin) return;
  }
  Propose({.block = id,
           .to = hbm,
           .cls = LinkClass::kPrefetch,
           .verdict = Verdict::kPrefetch,
           .reason = reason,
           .key = KeyIn(id, hbm),
           .victim = victim,
           .proposed = s_.now});
}

void Planner::Propose(Proposal proposal) {
  const double lowest = s_.victims[proposal.to.value()].LowestK();
  MoveFacts facts =
      vetting_.FactsOfAdd(proposal.block, proposal.to, Purpose::kBackground, proposal.encoding);
  const bool room = facts.room;
  const double needed = (1 + s_.config.hysteresis) * lowest;
  if (!room && proposal.key <= needed) return;  // it does not win: nothing is wanted
  facts.room = true;
  const Score score =
      scoring_.ScoreMove(proposal.block, proposal.to, proposal.cls, proposal.encoding);
  if (!vetting_.Allows(facts, proposal.block, proposal.to, score)) {
    closed_ |= vetting_.background_in_flight >= s_.config.in_flight_limit;
    return;
  }
  if (Begin(proposal)) return;
  const Block& block = s_.table.block(proposal.block);
  const Bytes footprint =
      s_.table.pool(proposal.to)
          .Footprint(s_.table.BytesIn(block.id, proposal.to, proposal.encoding));
  const bool coming =
      room_.Make({.pool = proposal.to,
                  .domain = block.domain,
                  .total = footprint,
                  .largest = footprint,
                  .purpose = Purpose::kBackground,
                  .competing = block.id,
                  .k_limit = proposal.key / (1 + s_.config.hysteresis),
                  .young_too = proposal.young_too,
                  .untouchable = [this](BlockId b) { return acquires_.Wanted(b); }});
  if (coming && pending_.size() < kPendingMax) {
    pending_.push_back(proposal);
  } else if (!coming) {
    facts.room = false;
    vetting_.Allows(facts, proposal.block, proposal.to, score);
  }
}

bool Planner::Begin(const Proposal& proposal) {
  return moves_
      .Start({.block = proposal.block,
              .to = proposal.to,
              .encoding = proposal.encoding,
              .purpose = Purpose::kBackground,
              .cls = proposal.cls,
              .drop = {},
              .supply = {},
              .supply_checksum = {}},
             {.verdict = proposal.verdict, .reason = proposal.reason, .competing = proposal.victim})
      .ok();
}

void Planner::RetryPending() {
  std::vector<Proposal> left;
  for (const Proposal& proposal : std::exchange(pending_, {})) {
    const bool stale = s_.now - proposal.proposed > kPendingFor || s_.draining;
    const bool overtaken = s_.table.block(proposal.block).live.valid() ||
                           s_.table.CopyIn(proposal.block, proposal.to, proposal.encoding).valid();
    if (stale || overtaken || Begin(proposal)) continue;
    left.push_back(proposal);
  }
  pending_ = std::move(left);
}

}  // namespace residency
