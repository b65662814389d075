// One live transfer and its chunks: the record that the transfer engine keeps.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>

#include "core/clock.h"
#include "core/link.h"
#include "core/transfer.h"
#include "movers/checksum.h"
#include "movers/content_meter.h"
#include "movers/file_registry.h"
#include "movers/io_alignment.h"
#include "movers/link_queue.h"
#include "movers/mover_pools.h"
#include "movers/staging_ring.h"
#include "movers/transcoder.h"
#include "movers/transfer_route.h"

namespace residency {

// A chunk from its first grant until it has reached the target.
struct Chunk {
  uint32_t index = 0;
  ChunkRange range;                     // of the source; of the target once it was hashed
  std::optional<StagingBuffer> buffer;  // if the route is staged
  AlignedMemory page;                   // of a page tail
  std::byte* data = nullptr;            // where the payload is, or will be, in host memory
  bool ready = false;                   // in host memory, to be hashed in order
  size_t lane = 0;                      // of the grant
  std::optional<LinkGrant> grant;
};

// What a transfer used of one hop.
struct HopMeter {
  uint64_t bytes = 0;
  std::optional<TimePoint> first_issued;
  TimePoint last_done;
  std::optional<uint32_t> first_chunk;  // the one whose latency is taken
  int64_t latency_us = 0;

  void Issued(uint32_t chunk, TimePoint now) {
    if (first_issued.has_value()) return;
    first_issued = now;
    first_chunk = chunk;
  }
  void Done(uint32_t chunk, uint32_t chunk_bytes, TimePoint now) {
    bytes += chunk_bytes;
    last_done = now;
    if (chunk == first_chunk) latency_us = (now - *first_issued).count();
  }
};

struct Transfer {
  explicit Transfer(TransferSpec s) : spec(std::move(s)) {}

  TransferSpec spec;  // constant, but for `cls`, which is guarded by the engine's mutex

  // Written by the one task that prepares it, constant from then on.
  TransferRoute route;
  const PoolBinding* source_pool = nullptr;  // null for recipes
  const PoolBinding* target_pool = nullptr;
  std::shared_ptr<const OpenFile> file;  // of a file recipe

  // Of the one task that hashes at a time. A transfer that changes the encoding has a transcoder,
  // which sums by itself.
  Checksum checksum;
  std::unique_ptr<ContentMeter> meter;
  std::unique_ptr<Transcoder> transcoder;

  // Guarded by the engine's mutex.
  TransferFailure failure = TransferFailure::kNone;
  absl::Status status;
  bool done = false;     // every byte is in the target, verified and durable
  bool hashing = false;  // a task for the chunk `next_hash` is posted or running
  int steps = 0;         // tasks and I/O under way; nothing ends before it is 0
  uint32_t next_offer = 0;
  uint32_t next_hash = 0;
  uint32_t chunks_done = 0;
  std::map<uint32_t, Chunk> chunks;  // addresses are stable while a step uses them
  HopMeter fill;
  HopMeter drain;

  uint32_t chunk_count() const {
    return transcoder ? transcoder->piece_count() : route.chunk_count();
  }
  ChunkRange ChunkAt(uint32_t index) const {
    return transcoder ? transcoder->SourceRange(index) : route.Chunk(index);
  }
  Encoding source_encoding() const { return copy() ? copy()->encoding : Encoding::kFull; }
  bool transcoded() const { return source_encoding() != spec.encoding; }
  Bytes full_bytes() const { return spec.full_bytes.zero() ? spec.bytes : spec.full_bytes; }
  Bytes source_bytes() const {
    return copy() && !copy()->bytes.zero() ? copy()->bytes : full_bytes();
  }
  bool failed() const { return failure != TransferFailure::kNone; }
  const CopySource* copy() const { return std::get_if<CopySource>(&spec.source); }
  const Recipe* recipe() const { return std::get_if<Recipe>(&spec.source); }
  bool reads_file() const { return recipe() && recipe()->kind == RecipeKind::kFileRange; }
};
using TransferPtr = std::shared_ptr<Transfer>;

// Why a transfer cannot go on. kNone: it can.
struct TransferFault {
  TransferFailure failure = TransferFailure::kNone;
  absl::Status status;
  bool ok() const { return failure == TransferFailure::kNone; }
};

}  // namespace residency
