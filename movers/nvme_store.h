// A pool of extents in one preallocated file on one disk.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/bytes.h"
#include "core/clock.h"
#include "movers/block_store.h"
#include "movers/io_queue.h"
#include "movers/owned_fd.h"

namespace residency {

struct NvmeStoreOptions {
  std::string name;  // "nvme0"
  std::string path;
  Bytes capacity;  // a multiple of 4096
  unsigned depth = 64;
  std::span<std::byte> registered_memory;  // the staging ring's
  bool allow_direct = true;                // O_DIRECT
  bool allow_uring = true;
  // How long to wait for the file's lock: the kernel keeps that of a killed daemon for a moment.
  Micros lock_wait = Micros(2'000'000);
};

class NvmeStore final : public BlockStore {
 public:
  // Makes or reuses the file, takes its lock and allocates all of it; what it holds is kept.
  // FailedPrecondition if another store has it open (waits lock_wait to be sure);
  // ResourceExhausted, naming the file, what was wanted and what is free, if the disk is too full.
  // A file that was new is then removed.
  static absl::StatusOr<std::unique_ptr<NvmeStore>> Open(const NvmeStoreOptions& options);

  void Read(uint64_t offset, std::span<std::byte> into, StoreDone done) override;
  void Write(uint64_t offset, std::span<const std::byte> from, StoreDone done) override;
  // Calls that arrive while one runs share the next.
  void Sync(StoreDone done) override;

  // "O_DIRECT, io_uring, depth 64, registered buffers, registered files"
  const std::string& status() const { return status_; }

 private:
  NvmeStore(NvmeStoreOptions options, OwnedFd fd, std::string direct);
  void Transfer(IoRequest::Kind kind, uint64_t offset, std::byte* data, size_t size,
                StoreDone done);
  void StartSync();
  void EndSync(const absl::Status& status, std::vector<StoreDone> waiters);

  // Constant after construction.
  const NvmeStoreOptions options_;
  const OwnedFd fd_;
  std::string status_;

  std::mutex mu_;
  bool sync_running_ = false;            // guarded by mu_
  std::vector<StoreDone> sync_waiters_;  // guarded by mu_; for the sync after the running one

  std::unique_ptr<IoQueue> queue_;  // ends first: its callbacks use what is above
};

}  // namespace residency
