// The memory of one daemon instance as this process sees it: for each pool one reserved range of
// addresses, with segment i mapped read-only at i * segment_bytes, so that a block may span
// neighbours. Outlives the daemon: leases share it, and it stays mapped until the last has gone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "client/side_channel.h"
#include "residency/v1/engine.pb.h"

namespace residency::inline client::internal {

class DaemonInstance;

// Keeps the segments under one lease from being mapped anew.
class Mapping {
 public:
  Mapping() = default;
  Mapping(std::shared_ptr<DaemonInstance> instance, uint32_t pool, uint64_t first, uint64_t count,
          const std::byte* data)
      : instance_(std::move(instance)), pool_(pool), first_(first), count_(count), data_(data) {}
  ~Mapping();
  Mapping(Mapping&&) = default;  // leaves instance_ empty
  Mapping& operator=(Mapping&&) = delete;

  const std::byte* data() const { return data_; }

 private:
  std::shared_ptr<DaemonInstance> instance_;
  uint32_t pool_ = 0;
  uint64_t first_ = 0;
  uint64_t count_ = 0;
  const std::byte* data_ = nullptr;
};

// Any thread.
class DaemonInstance : public std::enable_shared_from_this<DaemonInstance> {
 public:
  using RegionSource = std::function<absl::StatusOr<Region>(uint64_t region)>;

  // InvalidArgument if the pools make no sense.
  static absl::StatusOr<std::shared_ptr<DaemonInstance>> Create(
      const v1::GetNodeInfoResponse& info);
  ~DaemonInstance();

  const std::string& id() const { return id_; }
  v1::Tier TierOf(uint32_t pool_id) const;  // TIER_UNSPECIFIED for an unknown pool

  // Maps what the lease names, asking `source` for regions not seen yet. FailedPrecondition if the
  // lease assigns a segment anew under which another lease of ours lives.
  absl::StatusOr<Mapping> Map(const v1::Lease& lease, const RegionSource& source);

 private:
  friend class Mapping;

  struct Segment {
    uint64_t region = 0;
    uint64_t length = 0;  // mapped; 0: nothing is
    uint64_t leases = 0;
  };
  struct Pool {
    v1::Pool info;
    std::byte* base = nullptr;  // reserved at the first lease
    std::map<uint64_t, Segment> segments;
  };

  explicit DaemonInstance(std::string id) : id_(std::move(id)) {}

  absl::Status Reserve(Pool& pool) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status MapSegment(Pool& pool, uint64_t index, uint64_t region, uint64_t bytes_needed,
                          const RegionSource& source) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Unpin(uint32_t pool_id, uint64_t first, uint64_t count);

  const std::string id_;
  mutable absl::Mutex mu_;
  std::map<uint32_t, Pool> pools_ ABSL_GUARDED_BY(mu_);
};

}  // namespace residency::inline client::internal
