// The thread that writes the catalogue. Operations are applied in the order of Submit; everything
// that waits goes into one transaction. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "core/clock.h"
#include "daemon/catalogue.h"

namespace residency {

struct CatalogueWriterOptions {
  size_t queue_max = 65'536;
  size_t group_max = 4096;  // operations in one transaction
  // A transaction that the disk refuses is tried this often, the pause between doubling.
  int attempts_max = 8;
  Micros backoff_min{10'000};
  Micros backoff_max{1'000'000};
  Micros drain_deadline{5'000'000};  // of the destructor
};

// Called on the writer's thread, exactly once for each operation, in the order of Submit.
struct CatalogueCallbacks {
  std::function<void(std::vector<uint64_t> tokens)> committed;
  std::function<void(std::vector<uint64_t> tokens, absl::Status why)> failed;
};

class CatalogueWriter {
 public:
  CatalogueWriter(std::unique_ptr<CatalogueStore> store, CatalogueWriterOptions options,
                  CatalogueCallbacks callbacks);
  // Writes what waits, until the drain deadline; what is left then fails as Unavailable.
  ~CatalogueWriter();
  CatalogueWriter(const CatalogueWriter&) = delete;
  CatalogueWriter& operator=(const CatalogueWriter&) = delete;

  // `token` is what the callbacks name the operation by. ResourceExhausted if the queue is full:
  // then no callback comes.
  absl::Status Submit(CatalogueOperation operation, uint64_t token);

  // Waits until all that was submitted before has had its callback. DeadlineExceeded otherwise.
  absl::Status Flush(Micros timeout);

  // Operations without a callback yet.
  size_t waiting() const;

 private:
  struct Group {
    std::vector<CatalogueOperation> operations;
    std::vector<uint64_t> tokens;
  };

  void Work();
  Group TakeGroup();
  absl::StatusOr<std::vector<absl::Status>> ApplyWithRetries(const Group& group);
  // False if the writer gives up meanwhile.
  bool Pause(Micros duration);
  void Report(Group group, const absl::StatusOr<std::vector<absl::Status>>& results);

  const std::unique_ptr<CatalogueStore> store_;
  const CatalogueWriterOptions options_;
  const CatalogueCallbacks callbacks_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;  // of anything below
  std::deque<std::pair<CatalogueOperation, uint64_t>> queue_;
  uint64_t submitted_ = 0;
  uint64_t reported_ = 0;
  bool stopping_ = false;   // drain, then end
  bool giving_up_ = false;  // the drain deadline has passed

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace residency
