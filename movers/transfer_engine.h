// The mover: real bytes between checkpoint files, disks, host memory and devices.
//
// Chunks of every transfer queue per link by class, so a transfer is overtaken, raised or cancelled
// between two chunks. A chunk is granted the link that brings it into host memory, is hashed there
// in order, is granted the link to the target, and leaves. Nothing here waits for I/O: each
// completion grants what it made room for.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/clock.h"
#include "core/link.h"
#include "core/transfer.h"
#include "movers/chunk_mover.h"
#include "movers/file_registry.h"
#include "movers/io_queue.h"
#include "movers/link_queue.h"
#include "movers/mover_pools.h"
#include "movers/staging_ring.h"
#include "movers/transfer.h"
#include "movers/transfer_checks.h"
#include "movers/worker_pool.h"

namespace residency {

struct TransferEngineOptions {
  std::vector<PoolBinding> pools;
  std::vector<Link> links;  // LinksOf the pools
  // Not owned; all outlive the engine. The staging ring has no other user.
  FileRegistry* files = nullptr;
  IoQueue* file_io = nullptr;
  StagingRing* staging = nullptr;
  const Clock* clock = nullptr;  // thread-safe
  // Called from the engine's own threads, several at a time, once for each Start().
  std::function<void(TransferOutcome)> on_outcome;

  Bytes chunk = MiB(1);  // a multiple of 4096, at least 8 KiB, no larger than a staging buffer
  LinkQueueOptions link;
  // In place of link.in_flight_max where a processor copies and no depth is needed.
  Bytes copy_in_flight_max = MiB(8);
  int compute_threads = 2;      // hash, generate, check
  size_t transfers_max = 4096;  // live at a time; beyond, kTargetError with ResourceExhausted
};

class TransferEngine final : public Mover {
 public:
  explicit TransferEngine(TransferEngineOptions options);
  // Cancels everything and waits for the last I/O and the last outcome; crashes if the kernel has
  // not finished within kShutdownDeadline, since memory under I/O cannot be given up.
  ~TransferEngine() override;
  TransferEngine(const TransferEngine&) = delete;
  TransferEngine& operator=(const TransferEngine&) = delete;

  void Start(TransferSpec spec) override;
  void Reclassify(Ticket ticket, LinkClass cls) override;
  void Cancel(Ticket ticket) override;

  size_t live_count() const;

  static constexpr Micros kShutdownDeadline = Micros(60'000'000);

 private:
  // A chunk that may go on its next hop.
  struct Granted {
    TransferPtr transfer;
    Chunk* chunk;
  };

  // The life of a transfer. The second group needs mu_.
  void Prepare(const TransferPtr& transfer);
  // Continue the step of Prepare().
  void ReadDirectory(const TransferPtr& transfer);
  void Prepared(const TransferPtr& transfer, TransferFault fault);
  void Verify(const TransferPtr& transfer);
  void Sync(const TransferPtr& transfer);
  void Deliver(const TransferPtr& transfer);
  TransferOutcome OutcomeOf(const Transfer& transfer) const;
  static void DescribeBytes(const Transfer& transfer, TransferOutcome& outcome);
  void AddCodecUses(const Transfer& transfer, TransferOutcome& outcome) const;

  void Fail(Transfer& transfer, TransferFailure failure, absl::Status status);
  void EndStep(const TransferPtr& transfer);
  void RetireIfEnded(const TransferPtr& transfer);
  bool Quiet() const { return undelivered_ == 0 && external_calls_ == 0; }

  // The life of a chunk. The second group needs mu_.
  void Pump();
  void Issue(const Granted& granted);
  void IssueFill(const TransferPtr& transfer, Chunk* chunk);
  void IssueDrain(const TransferPtr& transfer, Chunk* chunk);
  void OnFilled(const TransferPtr& transfer, Chunk* chunk, absl::Status status);
  void Hash(const TransferPtr& transfer);
  void OnDrained(const TransferPtr& transfer, Chunk* chunk, absl::Status status);

  void GrantFrom(size_t lane, std::vector<Granted>* granted);
  void OfferNext(Transfer& transfer);
  Chunk* AddChunk(Transfer& transfer, uint32_t index, std::optional<StagingBuffer> buffer);
  void ScheduleHash(const TransferPtr& transfer);
  // True if the chunk, already granted its drain, goes there at once.
  bool AfterHash(const TransferPtr& transfer, Chunk& chunk);
  void CompleteChunk(const TransferPtr& transfer, Chunk& chunk);
  void EndGrant(Chunk& chunk);

  // Calls into queues and devices that are not ours end with EndCall(), after which they touch
  // nothing here.
  void BeginCall(HopMeter& meter, const Chunk& chunk);
  void EndCall();
  TimePoint Now() const { return options_.clock->Now(); }

  // Constant after construction.
  const TransferEngineOptions options_;
  const MoverPools pools_;
  const TransferChecks checks_;

  mutable std::mutex mu_;
  std::condition_variable quiet_;
  absl::flat_hash_map<Ticket, TransferPtr> live_;  // guarded by mu_
  std::vector<LinkQueue> lanes_;  // by link, then one for copies within DRAM; guarded by mu_
  size_t first_asked_ = 0;        // lane; guarded by mu_
  size_t undelivered_ = 0;        // outcomes owed; guarded by mu_
  size_t external_calls_ = 0;     // guarded by mu_
  bool stopping_ = false;         // guarded by mu_

  // End first, in reverse order: their tasks use everything above.
  WorkerPool compute_;
  ChunkMover chunk_mover_;
};

}  // namespace residency
