// How one chunk moves one step: into host memory, through the hash, on to the target. Knows every
// kind of source and target and nothing of queues, classes or other chunks. Thread-safe for
// different chunks.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "movers/io_queue.h"
#include "movers/mover_pools.h"
#include "movers/transfer.h"
#include "movers/worker_pool.h"

namespace residency {

class ChunkMover {
 public:
  // Runs on another thread, except where a queue refuses at once.
  using Done = std::function<void(absl::Status)>;

  // None is owned; all outlive the mover. `compute` generates synthetic bytes.
  ChunkMover(const MoverPools& pools, IoQueue* file_io, WorkerPool* compute);

  // Says where the payload is or will be in host memory.
  void Place(const Transfer& transfer, Chunk& chunk) const;
  // Brings the payload into host memory. REQUIRES: placed; the source is not in DRAM.
  void Fill(const Transfer& transfer, Chunk& chunk, Done done);
  // Hashes the payload, and brings it into the form that the target takes: in its encoding, at its
  // place in DRAM, or aligned and padded with zeros for a disk. DataLoss if it is not what it
  // should be. REQUIRES: filled; the chunks before it were hashed.
  absl::Status Hash(Transfer& transfer, Chunk& chunk) const;
  // Reads the directory of a compressed source; what `done` is given does not outlive the call.
  // REQUIRES: prepared.
  void ReadDirectory(const Transfer& transfer,
                     std::function<void(absl::StatusOr<std::span<const std::byte>>)> done);
  // Takes the payload to the target. REQUIRES: hashed; the target is not in DRAM.
  void Drain(const Transfer& transfer, const Chunk& chunk, Done done);
  // Makes drained chunks durable. REQUIRES: the target is a disk.
  void Sync(const Transfer& transfer, Done done);

 private:
  void ReadFile(const Transfer& transfer, Chunk& chunk, Done done);
  absl::Status Transcode(Transfer& transfer, Chunk& chunk) const;
  WorkerPool& CopierOf(PoolId device) { return *copiers_.at(device); }

  IoQueue* const file_io_;
  WorkerPool* const compute_;
  std::map<PoolId, std::unique_ptr<WorkerPool>> copiers_;  // one thread per device
};

}  // namespace residency
