#include "policy/link_model.h"

#include <algorithm>

#include "core/check.h"

namespace residency {
namespace {

// What is believed of a link before anything has used it: cautious for today's hardware.
struct Prior {
  double bytes_per_us;
  double latency_us;
};
constexpr Prior PriorOf(LinkKind kind) {
  constexpr Prior kPriors[] = {
      /* kFileToDram */ {1000, 200}, /* kGenerate */ {4000, 20},
      /* kNvmeToDram */ {2000, 150}, /* kDramToNvme */ {1000, 200},
      /* kDramToHbm */ {8000, 20},   /* kHbmToDram */ {8000, 20},
      /* kQuantize */ {1000, 10},    /* kCompress */ {300, 10},
      /* kDecompress */ {1500, 10},
  };
  return kPriors[static_cast<int>(kind)];
}

// The prior counts as much as this many bytes measured: a few small transfers, which measure
// latency more than bandwidth, say little.
constexpr double kPriorBytes = 32.0 * (1 << 20);
// What was measured longer ago than this many bytes fades. Long, since K compares copies that were
// scored at different moments: figures that follow each gust let them change places.
constexpr double kMemoryBytes = 2048.0 * (1 << 20);
// Of one latency sample.
constexpr double kLatencyWeightMin = 1.0 / 256;
constexpr double kLatencyWeightMax = 1.0 / 8;

uint64_t BytesOn(const LinkModel::Hop& hop, Bytes bytes) {
  if (hop.share == 1) return bytes.count();
  return static_cast<uint64_t>(hop.share * static_cast<double>(bytes.count()));
}

}  // namespace

LinkModel::LinkModel(std::vector<Link> links) : links_(std::move(links)) {
  for (size_t i = 0; i < links_.size(); ++i) {
    RESIDENCY_CHECK(links_[i].id.value() == i, "links must be numbered in order");
    Figures figures;
    figures.bytes_per_us = PriorOf(links_[i].kind).bytes_per_us;
    figures.latency_us = PriorOf(links_[i].kind).latency_us;
    figures_.push_back(figures);
  }
}

LinkId LinkModel::Find(LinkKind kind, PoolId pool) const {
  for (const Link& link : links_) {
    if (link.kind == kind && link.pool == pool) return link.id;
  }
  RESIDENCY_CHECK(false, "a move between pools that no link joins");
}

LinkModel::Path LinkModel::HopsBetween(End from, End to) const {
  Path path;
  if (from.tier == Tier::kNvme) path.push_back(Find(LinkKind::kNvmeToDram, from.pool));
  if (from.tier == Tier::kHbm) path.push_back(Find(LinkKind::kHbmToDram, from.pool));
  if (to.tier == Tier::kNvme) path.push_back(Find(LinkKind::kDramToNvme, to.pool));
  if (to.tier == Tier::kHbm) path.push_back(Find(LinkKind::kDramToHbm, to.pool));
  return path;
}

LinkModel::Path LinkModel::CopyPath(End from, End to) const {
  // Within host memory, or within one device, no link is used.
  if (from.tier != Tier::kNvme && from.tier == to.tier && from.pool == to.pool) return {};
  return HopsBetween(from, to);
}

void LinkModel::AddCodecs(Path& path, Encoding from, Encoding to) const {
  if (from == to) return;
  if (from == Encoding::kCompressed) path.push_back(Find(LinkKind::kDecompress, PoolId()));
  if (to == Encoding::kCompressed) path.push_back(Find(LinkKind::kCompress, PoolId()));
  if (to == Encoding::kLowbit) path.push_back(Find(LinkKind::kQuantize, PoolId()));
}

LinkModel::Path LinkModel::TurnPath(End from, Form source, End to, Form target) const {
  Path path = source.encoding == target.encoding ? CopyPath(from, to) : HopsBetween(from, to);
  for (Hop& hop : path) {
    const LinkKind kind = links_[hop.link.value()].kind;
    const bool out = kind == LinkKind::kDramToNvme || kind == LinkKind::kDramToHbm;
    hop.share = out ? target.share : source.share;
  }
  AddCodecs(path, source.encoding, target.encoding);
  return path;
}

LinkModel::Path LinkModel::Turned(Path recipe, Form target) const {
  for (size_t i = 1; i < recipe.size(); ++i) recipe[i].share = target.share;
  AddCodecs(recipe, Encoding::kFull, target.encoding);
  return recipe;
}

LinkModel::Path LinkModel::FilePath(End to) const {
  Path path = CopyPath({Tier::kDram, PoolId()}, to);
  path.insert(path.begin(), Find(LinkKind::kFileToDram, PoolId()));
  return path;
}

LinkModel::Path LinkModel::GeneratePath(End to) const {
  Path path = CopyPath({Tier::kDram, PoolId()}, to);
  path.insert(path.begin(), Find(LinkKind::kGenerate, PoolId()));
  return path;
}

void LinkModel::OnStarted(const Path& path, LinkClass cls, Bytes bytes) {
  for (const Hop& hop : path) {
    figures_[hop.link.value()].queued_bytes[static_cast<int>(cls)] += BytesOn(hop, bytes);
  }
}

void LinkModel::OnEnded(const Path& path, LinkClass cls, Bytes bytes) {
  for (const Hop& hop : path) {
    uint64_t& queued = figures_[hop.link.value()].queued_bytes[static_cast<int>(cls)];
    queued -= std::min(queued, BytesOn(hop, bytes));
  }
}

void LinkModel::OnReclassified(const Path& path, LinkClass from, LinkClass to, Bytes bytes) {
  OnEnded(path, from, bytes);
  OnStarted(path, to, bytes);
}

void LinkModel::OnMeasured(const LinkUse& use) {
  if (!use.link.valid() || use.link.value() >= figures_.size()) return;
  Figures& figures = figures_[use.link.value()];
  const int cls = static_cast<int>(use.cls);
  figures.moved_bytes[cls] += use.bytes;
  if (use.busy_us > 0) figures.busy_seconds[cls] += static_cast<double>(use.busy_us) * 1e-6;
  double moved = 0;
  for (const uint64_t bytes : figures.moved_bytes) moved += static_cast<double>(bytes);
  const double bytes = static_cast<double>(use.bytes);
  const double weight = bytes / (kPriorBytes + std::min(moved, kMemoryBytes));
  if (use.bytes > 0 && use.busy_us > 0) {
    // Times are averaged, not speeds: what counts is how long the next bytes take.
    const double us_per_byte = static_cast<double>(use.busy_us) / bytes;
    const double mean = 1 / figures.bytes_per_us;
    figures.bytes_per_us = 1 / (mean + weight * (us_per_byte - mean));
    figures.measured = true;
  }
  if (use.latency_us > 0) {
    const double latency_weight = std::clamp(weight, kLatencyWeightMin, kLatencyWeightMax);
    figures.latency_us +=
        latency_weight * (static_cast<double>(use.latency_us) - figures.latency_us);
  }
}

double LinkModel::UnloadedUs(const Path& path, Bytes bytes) const {
  double latency = 0;
  double slowest = 0;
  for (const Hop& hop : path) {
    const Figures& figures = figures_[hop.link.value()];
    latency += figures.latency_us;
    slowest = std::max(slowest, static_cast<double>(BytesOn(hop, bytes)) / figures.bytes_per_us);
  }
  return latency + slowest;
}

double LinkModel::CodecUs(const Path& path, Bytes bytes) const {
  double us = 0;
  for (const Hop& hop : path) {
    if (!IsCodec(links_[hop.link.value()].kind)) continue;
    const Figures& figures = figures_[hop.link.value()];
    us += figures.latency_us + static_cast<double>(bytes.count()) / figures.bytes_per_us;
  }
  return us;
}

double LinkModel::EstimateUs(const Path& path, Bytes bytes, LinkClass cls) const {
  double latency = 0;
  double slowest = 0;
  for (const Hop& hop : path) {
    const Figures& figures = figures_[hop.link.value()];
    uint64_t ahead = 0;
    for (int c = 0; c <= static_cast<int>(cls); ++c) ahead += figures.queued_bytes[c];
    latency += figures.latency_us;
    slowest =
        std::max(slowest, static_cast<double>(ahead + BytesOn(hop, bytes)) / figures.bytes_per_us);
  }
  return latency + slowest;
}

double LinkModel::BacklogSeconds(const Path& path) const {
  double most = 0;
  for (const Hop& hop : path) {
    const Figures& figures = figures_[hop.link.value()];
    uint64_t background = 0;
    for (int c = static_cast<int>(LinkClass::kDemand) + 1; c < kLinkClassCount; ++c) {
      background += figures.queued_bytes[c];
    }
    most = std::max(most, static_cast<double>(background) / figures.bytes_per_us * 1e-6);
  }
  return most;
}

bool LinkModel::Idle(const Path& path) const {
  return std::all_of(path.begin(), path.end(), [&](const Hop& hop) {
    const auto& queued = figures_[hop.link.value()].queued_bytes;
    return std::all_of(queued.begin(), queued.end(), [](uint64_t bytes) { return bytes == 0; });
  });
}

}  // namespace residency
