#include "movers/transfer_route.h"

#include <algorithm>

#include "core/check.h"
#include "movers/io_alignment.h"

namespace residency {
namespace {

size_t LaneOf(const std::vector<Link>& links, LinkKind kind, PoolId pool) {
  for (size_t i = 0; i < links.size(); ++i) {
    if (links[i].kind == kind && links[i].pool == pool) return i;
  }
  CheckFailed(__FILE__, __LINE__, "a pool without its links");
}

std::optional<size_t> FillLane(const RouteEnds& ends, const std::vector<Link>& links) {
  switch (ends.source) {
    case SourceKind::kHbm:
      return LaneOf(links, LinkKind::kHbmToDram, ends.source_pool);
    case SourceKind::kNvme:
      return LaneOf(links, LinkKind::kNvmeToDram, ends.source_pool);
    case SourceKind::kFile:
      return LaneOf(links, LinkKind::kFileToDram, PoolId());
    case SourceKind::kSynthetic:
      return LaneOf(links, LinkKind::kGenerate, PoolId());
    case SourceKind::kDram:
      break;
  }
  if (ends.target == Tier::kDram) return links.size();
  return std::nullopt;
}

std::optional<size_t> DrainLane(const RouteEnds& ends, const std::vector<Link>& links) {
  switch (ends.target) {
    case Tier::kHbm:
      return LaneOf(links, LinkKind::kDramToHbm, ends.target_pool);
    case Tier::kNvme:
      return LaneOf(links, LinkKind::kDramToNvme, ends.target_pool);
    case Tier::kDram:
      break;
  }
  return std::nullopt;
}

}  // namespace

TransferRoute RouteBetween(const RouteEnds& ends, const std::vector<Link>& links, Bytes chunk) {
  TransferRoute route;
  route.source = ends.source;
  route.target = ends.target;
  route.bytes = ends.bytes;
  route.fill = FillLane(ends, links);
  route.drain = DrainLane(ends, links);
  const bool direct_file = ends.source == SourceKind::kFile && ends.file_direct;
  if (direct_file) route.shift = static_cast<uint32_t>(ends.file_offset % kIoAlignment);
  const bool from_dram = ends.source == SourceKind::kDram;
  const bool to_dram = ends.target == Tier::kDram;
  // What changes its form is never brought to its place directly, nor taken from there.
  route.staged =
      ends.transcoded ? !from_dram || !to_dram : !from_dram && (!to_dram || route.shift != 0);
  // The aligned superset of a chunk is up to one page longer than the chunk.
  const uint64_t payload = chunk.count() - (route.shift != 0 ? kIoAlignment : 0);
  route.chunk_bytes = static_cast<uint32_t>(payload);
  route.page_tail =
      from_dram && ends.target == Tier::kNvme && !IsAligned(ends.bytes) && !ends.transcoded;
  return route;
}

uint32_t TransferRoute::chunk_count() const {
  const uint64_t body = page_tail ? AlignDown(bytes) : bytes;
  return static_cast<uint32_t>((body + chunk_bytes - 1) / chunk_bytes + (page_tail ? 1 : 0));
}

ChunkRange TransferRoute::Chunk(uint32_t index) const {
  const uint64_t body = page_tail ? AlignDown(bytes) : bytes;
  const uint64_t at = std::min(uint64_t{index} * chunk_bytes, body);
  const uint64_t end = at == body ? bytes : std::min(at + chunk_bytes, body);
  return {at, static_cast<uint32_t>(end - at)};
}

}  // namespace residency
