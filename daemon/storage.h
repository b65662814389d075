// The memory and the disks that the node owns, and the engine that moves bytes between them, as the
// configuration asks. Made once at start; order of construction is order of dependence.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/clock.h"
#include "core/pool.h"
#include "daemon/config.h"
#include "movers/arena.h"
#include "movers/file_registry.h"
#include "movers/host_device.h"
#include "movers/io_queue.h"
#include "movers/nvme_store.h"
#include "movers/staging_ring.h"
#include "movers/transfer_engine.h"

namespace residency {

// The pools of this configuration, numbered: HBM first, then DRAM, then the disks.
std::vector<PoolOptions> PoolsOf(const Config& config);

class Storage {
 public:
  // Errors name the pool and, for disks, the file.
  static absl::StatusOr<std::unique_ptr<Storage>> Open(const Config& config);

  // Starts moving. `on_outcome` is called on threads of the engine.
  void StartEngine(const Clock* clock, std::function<void(TransferOutcome)> on_outcome);
  // Cancels what is live and waits for the last I/O.
  void StopEngine() { engine_.reset(); }

  Mover& mover() { return *engine_; }
  FileRegistry& files() { return *files_; }
  const std::vector<PoolOptions>& pools() const { return pools_; }
  // What runs behind each pool, and why; by pool.
  const std::vector<std::string>& backends() const { return backends_; }

  // Of the bounce buffers, how many transfers hold now.
  size_t staging_buffers_used() const { return staging_->buffer_count() - staging_->free_count(); }

  // A read-only descriptor of a region. NotFound if it is not assigned.
  absl::StatusOr<OwnedFd> ExportRegion(PoolId pool, RegionNumber region);
  // The length of a segment, the pool's last one being shorter.
  uint64_t SegmentLength(PoolId pool, uint64_t segment) const;

 private:
  Storage() = default;
  absl::Status OpenMemory(const Config& config);
  absl::Status OpenDisks(const Config& config);

  std::vector<PoolOptions> pools_;
  std::vector<std::string> backends_;
  std::unique_ptr<StagingRing> staging_;
  std::unique_ptr<Arena> hbm_arena_;
  std::unique_ptr<HostDevice> hbm_device_;
  std::unique_ptr<Arena> dram_arena_;
  std::vector<std::unique_ptr<NvmeStore>> disks_;
  std::unique_ptr<FileRegistry> files_;
  std::unique_ptr<IoQueue> file_io_;
  std::unique_ptr<TransferEngine> engine_;
};

}  // namespace residency
