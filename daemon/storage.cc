#include "daemon/storage.h"

#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"

namespace residency {
namespace {

constexpr PoolId kHbm(0);
constexpr PoolId kDram(1);
constexpr int kTouchThreadsMax = 4;

int TouchThreads(bool wanted) {
  if (!wanted) return 0;
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency() / 2), 1, kTouchThreadsMax);
}

}  // namespace

std::vector<PoolOptions> PoolsOf(const Config& config) {
  std::vector<PoolOptions> pools = {{.id = kHbm,
                                     .tier = Tier::kHbm,
                                     .name = "hbm",
                                     .capacity = config.hbm.capacity,
                                     .segment_bytes = config.hbm.segment,
                                     .lowbit = config.hbm.lowbit},
                                    {.id = kDram,
                                     .tier = Tier::kDram,
                                     .name = "dram",
                                     .capacity = config.dram.capacity,
                                     .segment_bytes = config.dram.segment,
                                     .compressed = config.dram.compressed}};
  for (const NvmePoolConfig& disk : config.nvme) {
    pools.push_back({.id = PoolId(static_cast<uint16_t>(pools.size())),
                     .tier = Tier::kNvme,
                     .name = disk.name,
                     .capacity = disk.capacity,
                     .segment_bytes = std::max(RoundUp(disk.capacity, Bytes(4096)), Bytes(4096)),
                     .domain_segments = false,
                     .compressed = disk.compressed});
  }
  return pools;
}

absl::Status Storage::OpenMemory(const Config& config) {
  if (config.hbm.backend == HbmBackend::kCuda) {
    return absl::FailedPreconditionError(absl::StrCat(
        "pools.hbm.backend: \"cuda\" is asked for, but ", SelectDeviceBackend().reason));
  }
  auto hbm = Arena::Create({.name = "hbm",
                            .capacity = config.hbm.capacity,
                            .segment_bytes = config.hbm.segment,
                            .touch_threads = TouchThreads(config.dram.pretouch)});
  if (!hbm.ok()) return hbm.status();
  hbm_arena_ = *std::move(hbm);
  hbm_device_ = std::make_unique<HostDevice>(hbm_arena_.get());
  const DeviceBackend backend = SelectDeviceBackend();
  backends_.push_back(absl::StrCat(backend.name, " (", backend.reason, ")"));

  auto dram = Arena::Create({.name = "dram",
                             .capacity = config.dram.capacity,
                             .segment_bytes = config.dram.segment,
                             .touch_threads = TouchThreads(config.dram.pretouch),
                             .lock_memory = config.dram.lock});
  if (!dram.ok()) return dram.status();
  dram_arena_ = *std::move(dram);
  backends_.push_back("memfd");
  return absl::OkStatus();
}

absl::Status Storage::OpenDisks(const Config& config) {
  for (const NvmePoolConfig& disk : config.nvme) {
    auto store = NvmeStore::Open({.name = disk.name,
                                  .path = disk.path,
                                  .capacity = disk.capacity,
                                  .registered_memory = staging_->memory(),
                                  .allow_uring = disk.io != DiskIo::kPread});
    if (!store.ok()) {
      return absl::Status(store.status().code(),
                          absl::StrCat("pool ", disk.name, ": ", store.status().message()));
    }
    backends_.push_back((*store)->status());
    disks_.push_back(*std::move(store));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Storage>> Storage::Open(const Config& config) {
  std::unique_ptr<Storage> storage(new Storage());
  storage->pools_ = PoolsOf(config);
  // Beside a chunk, the rest of a page at either end, or the directory of a compressed copy.
  auto staging = StagingRing::Create({.total = MiB(64), .buffer = MiB(1) + KiB(64)});
  if (!staging.ok()) return staging.status();
  storage->staging_ = *std::move(staging);
  if (absl::Status status = storage->OpenMemory(config); !status.ok()) return status;
  if (absl::Status status = storage->OpenDisks(config); !status.ok()) return status;
  storage->files_ = std::make_unique<FileRegistry>(
      FileRegistryOptions{.recipe_roots = config.daemon.recipe_roots});
  storage->file_io_ = OpenIoQueue(
      {.name = "files", .registered_memory = storage->staging_->memory(), .registered_files = {}});
  return storage;
}

void Storage::StartEngine(const Clock* clock, std::function<void(TransferOutcome)> on_outcome) {
  std::vector<PoolBinding> bindings = {
      {.pool = kHbm, .tier = Tier::kHbm, .device = hbm_device_.get()},
      {.pool = kDram, .tier = Tier::kDram, .memory = dram_arena_.get()}};
  std::vector<PoolTier> tiers;
  for (const PoolOptions& pool : pools_) tiers.push_back({pool.id, pool.tier});
  for (size_t i = 0; i < disks_.size(); ++i) {
    bindings.push_back({.pool = pools_[2 + i].id, .tier = Tier::kNvme, .store = disks_[i].get()});
  }
  engine_ =
      std::make_unique<TransferEngine>(TransferEngineOptions{.pools = std::move(bindings),
                                                             .links = LinksOf(tiers),
                                                             .files = files_.get(),
                                                             .file_io = file_io_.get(),
                                                             .staging = staging_.get(),
                                                             .clock = clock,
                                                             .on_outcome = std::move(on_outcome),
                                                             .link = {}});
}

absl::StatusOr<OwnedFd> Storage::ExportRegion(PoolId pool, RegionNumber region) {
  if (pool == kHbm) return hbm_device_->Export(region);
  if (pool == kDram) return dram_arena_->Export(region);
  return absl::NotFoundError("only memory pools have regions");
}

uint64_t Storage::SegmentLength(PoolId pool, uint64_t segment) const {
  const PoolOptions& options = pools_[pool.value()];
  const uint64_t begin = segment * options.segment_bytes.count();
  return std::min(options.segment_bytes.count(), options.capacity.count() - begin);
}

}  // namespace residency
