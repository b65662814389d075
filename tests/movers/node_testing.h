// A small node for the tests of the transfer engine: two devices, host memory in two pools, two
// disks, and seams that a test may stand in front of.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "movers/checksum.h"
#include "movers/host_device.h"
#include "movers/nvme_store.h"
#include "movers/transfer_engine.h"
#include "tests/movers/movers_testing.h"

namespace residency {

// Holds I/O back until the test lets it go: the test decides what is "midway". Open at first.
class Gate {
 public:
  void Close() {
    monitor_.Change([&] { closed_ = true; });
  }
  // Runs what is held, and everything from then on.
  void Open() {
    std::vector<std::function<void()>> held;
    monitor_.Change([&] {
      closed_ = false;
      held.swap(held_);
    });
    for (auto& call : held) call();
  }
  // Runs the call that was held first. False if none comes in time.
  bool LetOneGo() {
    if (!AwaitHeld(1)) return false;
    std::function<void()> call;
    monitor_.Change([&] {
      call = std::move(held_.front());
      held_.erase(held_.begin());
    });
    call();
    return true;
  }
  [[nodiscard]] bool AwaitHeld(size_t count) {
    return monitor_.Wait([&] { return held_.size() >= count; });
  }
  size_t held() const {
    return monitor_.Read([&] { return held_.size(); });
  }
  void Pass(std::function<void()> call) {
    bool now = false;
    monitor_.Change([&] {
      now = !closed_;
      if (!now) held_.push_back(call);
    });
    if (now) call();
  }

 private:
  Monitor monitor_;
  bool closed_ = false;
  std::vector<std::function<void()>> held_;
};

// Stands in front of a store: holds calls back, and can fail writes or syncs as a disk would.
class GatedStore final : public BlockStore {
 public:
  explicit GatedStore(BlockStore* store) : store_(store) {}

  void Read(uint64_t offset, std::span<std::byte> into, StoreDone done) override {
    monitor_.Change([&] { reads_.push_back(offset); });
    gate.Pass([=, this] { store_->Read(offset, into, done); });
  }
  void Write(uint64_t offset, std::span<const std::byte> from, StoreDone done) override {
    gate.Pass([=, this] {
      const absl::Status fault = monitor_.Read([&] { return write_fault_; });
      fault.ok() ? store_->Write(offset, from, done) : done(fault);
    });
  }
  void Sync(StoreDone done) override {
    const absl::Status fault = monitor_.Read([&] { return sync_fault_; });
    monitor_.Change([&] { ++syncs_; });
    gate.Pass([=, this] { fault.ok() ? store_->Sync(done) : done(fault); });
  }

  void FailWrites(absl::Status status) {
    monitor_.Change([&] { write_fault_ = std::move(status); });
  }
  void FailSyncs(absl::Status status) {
    monitor_.Change([&] { sync_fault_ = std::move(status); });
  }
  std::vector<uint64_t> reads() const {
    return monitor_.Read([&] { return reads_; });
  }
  int syncs() const {
    return monitor_.Read([&] { return syncs_; });
  }

  Gate gate;

 private:
  BlockStore* const store_;
  Monitor monitor_;
  absl::Status write_fault_;
  absl::Status sync_fault_;
  std::vector<uint64_t> reads_;
  int syncs_ = 0;
};

class GatedIoQueue final : public IoQueue {
 public:
  explicit GatedIoQueue(IoQueue* queue) : queue_(queue) {}
  void Submit(IoRequest request) override {
    gate.Pass([=, this] { queue_->Submit(request); });
  }
  const std::string& status() const override { return queue_->status(); }

  Gate gate;

 private:
  IoQueue* const queue_;
};

// Every outcome that came, by ticket.
class Outcomes {
 public:
  void Add(TransferOutcome outcome) {
    monitor_.Change([&] {
      const Ticket ticket = outcome.ticket;
      EXPECT_TRUE(all_.emplace(ticket, std::move(outcome)).second) << "two outcomes of " << ticket;
    });
  }
  bool Has(Ticket ticket) const {
    return monitor_.Read([&] { return all_.contains(ticket); });
  }
  TransferOutcome Wait(Ticket ticket) {
    EXPECT_TRUE(monitor_.Wait([&] { return all_.contains(ticket); })) << "ticket " << ticket;
    return monitor_.Read([&] { return all_[ticket]; });
  }
  size_t size() const {
    return monitor_.Read([&] { return all_.size(); });
  }

 private:
  mutable Monitor monitor_;
  mutable std::map<Ticket, TransferOutcome> all_;
};

inline constexpr PoolId kHbm0(0);
inline constexpr PoolId kHbm1(1);
inline constexpr PoolId kDram(2);
inline constexpr PoolId kNvme0(3);
inline constexpr PoolId kNvme1(4);
inline constexpr uint64_t kTestSegment = 1 << 20;

struct TestNodeOptions {
  bool uring = true;
  bool direct = true;
  size_t transfers_max = 4096;
  int chunks_in_flight_max = 64;
  int compute_threads = 2;
  Bytes staging = KiB(512);
  Bytes chunk = KiB(32);
};

class TestNode {
 public:
  explicit TestNode(const TestNodeOptions& options = {}) : options_(options) {
    staging_ = StagingRing::Create({options.staging, options.chunk}).value();
    for (auto& arena : hbm_arenas_) arena = MakeArena("hbm");
    dram_ = MakeArena("dram");
    for (int i = 0; i < 2; ++i) {
      devices_[i] = std::make_unique<HostDevice>(hbm_arenas_[i].get());
      stores_[i] = OpenStore(i);
      gated_[i] = std::make_unique<GatedStore>(stores_[i].get());
    }
    IoQueueOptions io;
    io.name = "files";
    io.registered_memory = staging_->memory();
    io.allow_uring = options.uring;
    file_io_ = OpenIoQueue(io);
    gated_files_ = std::make_unique<GatedIoQueue>(file_io_.get());
    files_ = std::make_unique<FileRegistry>(FileRegistryOptions{{}, 64, options.direct});
    MakeEngine();
  }

  // A place of `bytes` at `offset`, a multiple of 4096, under the first assignment of each segment.
  static CopyPlace Place(PoolId pool, uint64_t offset, uint64_t bytes) {
    CopyPlace place{pool, {offset, AlignUp(bytes)}, {}};
    if (pool == kNvme0 || pool == kNvme1) return place;
    const uint64_t last = (place.extent.end() - 1) / kTestSegment;
    for (uint64_t s = offset / kTestSegment; s <= last; ++s) {
      place.regions.push_back(RegionNumber(s + 1));
    }
    return place;
  }

  // Writes and reads pools from outside the engine.
  void Put(const CopyPlace& place, const ByteVector& bytes) {
    if (Arena* arena = ArenaOf(place.pool)) {
      ASSERT_TRUE(arena->EnsureExtent(place.extent, place.regions).ok());
      std::copy(bytes.begin(), bytes.end(), arena->Data(place.extent.offset));
    } else {
      ByteVector padded = bytes;
      padded.resize(place.extent.length, std::byte{0xee});
      WriteAt(DiskPath(place.pool), place.extent.offset, padded);
    }
  }
  // The whole extent, padding included.
  ByteVector Get(const CopyPlace& place) {
    ByteVector bytes(place.extent.length);
    if (Arena* arena = ArenaOf(place.pool)) {
      const std::byte* data = arena->Data(place.extent.offset);
      std::copy(data, data + bytes.size(), bytes.begin());
    } else {
      const OwnedFd fd = OpenRead(DiskPath(place.pool));
      EXPECT_EQ(
          pread(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(place.extent.offset)),
          static_cast<ssize_t>(bytes.size()));
    }
    return bytes;
  }
  std::string DiskPath(PoolId pool) const { return dir_ / (pool == kNvme0 ? "nvme0" : "nvme1"); }

  // Starts under a fresh ticket.
  Ticket Start(TransferSource source, CopyPlace target, uint64_t bytes,
               LinkClass cls = LinkClass::kDemand,
               std::optional<uint64_t> expected = std::nullopt) {
    TransferSpec spec;
    spec.ticket = Ticket(next_ticket_++);
    spec.block = BlockId(static_cast<uint32_t>(spec.ticket.value()));
    spec.bytes = Bytes(bytes);
    spec.source = std::move(source);
    spec.target = std::move(target);
    spec.cls = cls;
    spec.expected_checksum = expected;
    const Ticket ticket = spec.ticket;
    engine_->Start(std::move(spec));
    return ticket;
  }
  TransferOutcome Run(TransferSource source, CopyPlace target, uint64_t bytes) {
    return outcomes.Wait(Start(std::move(source), std::move(target), bytes));
  }
  Recipe FileRecipe(const std::string& path, uint64_t offset) {
    Recipe recipe;
    recipe.kind = RecipeKind::kFileRange;
    recipe.file = files_->Add(DomainId(1), OpenRead(path), path).value();
    recipe.offset = offset;
    return recipe;
  }

  TransferEngine& engine() { return *engine_; }
  void EndEngine() { engine_.reset(); }
  GatedStore& disk(PoolId pool) { return *gated_[pool == kNvme0 ? 0 : 1]; }
  Gate& file_gate() { return gated_files_->gate; }
  StagingRing& staging() { return *staging_; }
  const TestDir& dir() const { return dir_; }
  const std::vector<Link>& links() const { return links_; }

  Outcomes outcomes;

 private:
  static std::unique_ptr<Arena> MakeArena(const std::string& name) {
    ArenaOptions options;
    options.name = name;
    options.capacity = MiB(16);
    options.segment_bytes = Bytes(kTestSegment);
    return Arena::Create(options).value();
  }
  std::unique_ptr<NvmeStore> OpenStore(int i) {
    NvmeStoreOptions options;
    options.name = "nvme";
    options.path = DiskPath(i == 0 ? kNvme0 : kNvme1);
    options.capacity = MiB(16);
    options.registered_memory = staging_->memory();
    options.allow_direct = options_.direct;
    options.allow_uring = options_.uring;
    return NvmeStore::Open(options).value();
  }
  void MakeEngine() {
    links_ = LinksOf({{kHbm0, Tier::kHbm},
                      {kHbm1, Tier::kHbm},
                      {kDram, Tier::kDram},
                      {kNvme0, Tier::kNvme},
                      {kNvme1, Tier::kNvme}});
    TransferEngineOptions options;
    options.pools = {{kHbm0, Tier::kHbm, nullptr, devices_[0].get(), nullptr},
                     {kHbm1, Tier::kHbm, nullptr, devices_[1].get(), nullptr},
                     {kDram, Tier::kDram, dram_.get(), nullptr, nullptr},
                     {kNvme0, Tier::kNvme, nullptr, nullptr, gated_[0].get()},
                     {kNvme1, Tier::kNvme, nullptr, nullptr, gated_[1].get()}};
    options.links = links_;
    options.files = files_.get();
    options.file_io = gated_files_.get();
    options.staging = staging_.get();
    options.clock = &clock_;
    options.on_outcome = [this](TransferOutcome outcome) { outcomes.Add(std::move(outcome)); };
    options.chunk = options_.chunk;
    options.link.chunks_in_flight_max = options_.chunks_in_flight_max;
    options.compute_threads = options_.compute_threads;
    options.transfers_max = options_.transfers_max;
    engine_ = std::make_unique<TransferEngine>(std::move(options));
  }
  Arena* ArenaOf(PoolId pool) {
    if (pool == kHbm0) return hbm_arenas_[0].get();
    if (pool == kHbm1) return hbm_arenas_[1].get();
    return pool == kDram ? dram_.get() : nullptr;
  }

  const TestNodeOptions options_;
  TestDir dir_;
  SteadyClock clock_;
  std::vector<Link> links_;
  std::unique_ptr<StagingRing> staging_;
  std::unique_ptr<Arena> hbm_arenas_[2];
  std::unique_ptr<Arena> dram_;
  std::unique_ptr<HostDevice> devices_[2];
  std::unique_ptr<NvmeStore> stores_[2];
  std::unique_ptr<GatedStore> gated_[2];
  std::unique_ptr<IoQueue> file_io_;
  std::unique_ptr<GatedIoQueue> gated_files_;
  std::unique_ptr<FileRegistry> files_;
  std::unique_ptr<TransferEngine> engine_;
  uint64_t next_ticket_ = 1;
};

}  // namespace residency
