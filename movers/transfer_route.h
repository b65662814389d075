// How one transfer goes: over which links, through the staging ring or not, in which chunks. Pure.
//
// Every transfer has at most two hops: a fill, which brings bytes into host memory, and a drain,
// which takes them on to the target. A source in DRAM needs no fill, a target in DRAM no drain.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/bytes.h"
#include "core/ids.h"
#include "core/link.h"
#include "core/tier.h"

namespace residency {

enum class SourceKind : uint8_t { kDram, kHbm, kNvme, kFile, kSynthetic };

// The ends of a transfer, as far as its route depends on them.
struct RouteEnds {
  uint64_t bytes = 0;
  SourceKind source = SourceKind::kDram;
  PoolId source_pool;        // of a copy
  uint64_t file_offset = 0;  // kFile
  bool file_direct = false;  // kFile: read with O_DIRECT, so in aligned pieces
  Tier target = Tier::kDram;
  PoolId target_pool;
  bool transcoded = false;  // the target's encoding is another than the source's
};

// Payload bytes [at, at + size) of the block.
struct ChunkRange {
  uint64_t at = 0;
  uint32_t size = 0;
};

struct TransferRoute {
  SourceKind source = SourceKind::kDram;
  Tier target = Tier::kDram;
  // Indices of lanes: the links by number, and after them one for copies within DRAM.
  std::optional<size_t> fill;
  std::optional<size_t> drain;
  bool staged = false;  // chunks pass through staging buffers

  uint64_t bytes = 0;
  uint32_t chunk_bytes = 0;  // payload of each chunk but the last
  // A direct read of a file begins this many bytes before the payload.
  uint32_t shift = 0;
  // The last partial page is a chunk of its own, copied so that it can be padded with zeros.
  bool page_tail = false;

  // Where chunks queue first.
  size_t first_lane() const { return fill.has_value() ? *fill : *drain; }
  uint32_t chunk_count() const;
  ChunkRange Chunk(uint32_t index) const;  // REQUIRES: index < chunk_count()
};

// REQUIRES: bytes > 0; `chunk` a multiple of 4096, at least two of them, no larger than a staging
// buffer; `links` are LinksOf the pools that `ends` names.
TransferRoute RouteBetween(const RouteEnds& ends, const std::vector<Link>& links, Bytes chunk);

}  // namespace residency
