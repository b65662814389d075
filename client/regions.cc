#include "client/regions.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace residency::inline client::internal {
namespace {

std::string Describe(const v1::Lease& lease) {
  return absl::StrCat("lease ", lease.lease_id(), " of ", lease.length(), " bytes at offset ",
                      lease.offset(), " of pool ", lease.pool_id());
}

uint64_t ReservedBytes(const v1::Pool& pool) {
  uint64_t segments = (pool.capacity_bytes() + pool.segment_bytes() - 1) / pool.segment_bytes();
  return segments * pool.segment_bytes();
}

absl::Status CheckPool(const v1::Pool& pool) {
  const uint64_t page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  constexpr uint64_t kCapacityMax = uint64_t{1} << 46;  // half of what a process can address
  if (pool.segment_bytes() == 0 || pool.segment_bytes() % page != 0 ||
      pool.segment_bytes() > kCapacityMax || pool.capacity_bytes() > kCapacityMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("pool ", pool.pool_id(), " (", pool.name(), "): ", pool.capacity_bytes(),
                     " bytes in segments of ", pool.segment_bytes(),
                     "; wanted whole pages, at most ", kCapacityMax, " bytes"));
  }
  return absl::OkStatus();
}

absl::Status CheckExtent(const v1::Lease& lease, const v1::Pool& pool) {
  uint64_t reserved = ReservedBytes(pool);
  if (lease.length() == 0 || lease.length() > reserved ||
      lease.offset() > reserved - lease.length()) {
    return absl::InternalError(absl::StrCat(Describe(lease), ": not within its ", reserved));
  }
  uint64_t first = lease.offset() / pool.segment_bytes();
  uint64_t last = (lease.offset() + lease.length() - 1) / pool.segment_bytes();
  if (static_cast<uint64_t>(lease.regions_size()) != last - first + 1) {
    return absl::InternalError(absl::StrCat(Describe(lease), ": names ", lease.regions_size(),
                                            " regions for ", last - first + 1, " segments"));
  }
  return absl::OkStatus();
}

}  // namespace

Mapping::~Mapping() {
  if (instance_ != nullptr) instance_->Unpin(pool_, first_, count_);
}

absl::StatusOr<std::shared_ptr<DaemonInstance>> DaemonInstance::Create(
    const v1::GetNodeInfoResponse& info) {
  std::shared_ptr<DaemonInstance> instance(new DaemonInstance(info.daemon_instance()));
  absl::MutexLock lock(&instance->mu_);
  for (const v1::Pool& pool : info.pools()) {
    if (pool.tier() == v1::TIER_NVME) continue;  // never mapped
    if (absl::Status valid = CheckPool(pool); !valid.ok()) return valid;
    instance->pools_[pool.pool_id()].info = pool;
  }
  return instance;
}

DaemonInstance::~DaemonInstance() {
  for (auto& [id, pool] : pools_) {
    if (pool.base != nullptr) ::munmap(pool.base, ReservedBytes(pool.info));
  }
}

v1::Tier DaemonInstance::TierOf(uint32_t pool_id) const {
  absl::MutexLock lock(&mu_);
  auto found = pools_.find(pool_id);
  return found == pools_.end() ? v1::TIER_UNSPECIFIED : found->second.info.tier();
}

absl::StatusOr<Mapping> DaemonInstance::Map(const v1::Lease& lease, const RegionSource& source) {
  absl::MutexLock lock(&mu_);
  auto found = pools_.find(lease.pool_id());
  if (found == pools_.end()) {
    return absl::InternalError(absl::StrCat(Describe(lease), ": no such pool"));
  }
  Pool& pool = found->second;
  if (absl::Status valid = CheckExtent(lease, pool.info); !valid.ok()) return valid;
  if (absl::Status reserved = Reserve(pool); !reserved.ok()) return reserved;

  const uint64_t segment_bytes = pool.info.segment_bytes();
  const uint64_t first = lease.offset() / segment_bytes;
  const uint64_t end = lease.offset() + lease.length();
  const uint64_t count = static_cast<uint64_t>(lease.regions_size());
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t index = first + i;
    uint64_t needed = std::min(end - index * segment_bytes, segment_bytes);
    absl::Status mapped =
        MapSegment(pool, index, lease.regions(static_cast<int>(i)), needed, source);
    if (!mapped.ok()) {
      return absl::Status(mapped.code(), absl::StrCat(Describe(lease), ": ", mapped.message()));
    }
  }
  for (uint64_t i = 0; i < count; ++i) ++pool.segments[first + i].leases;
  return Mapping(shared_from_this(), lease.pool_id(), first, count, pool.base + lease.offset());
}

absl::Status DaemonInstance::Reserve(Pool& pool) {
  if (pool.base != nullptr) return absl::OkStatus();
  void* base = ::mmap(nullptr, ReservedBytes(pool.info), PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("reserving ", ReservedBytes(pool.info), " bytes of addresses for pool ",
                     pool.info.name(), ": ", std::strerror(errno), "; raise ulimit -v"));
  }
  pool.base = static_cast<std::byte*>(base);
  return absl::OkStatus();
}

absl::Status DaemonInstance::MapSegment(Pool& pool, uint64_t index, uint64_t region,
                                        uint64_t bytes_needed, const RegionSource& source) {
  Segment& segment = pool.segments[index];
  if (segment.length >= bytes_needed && segment.region == region) return absl::OkStatus();
  if (segment.leases > 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("segment ", index, " became region ", region, " while ", segment.leases,
                     " leases of region ", segment.region, " are held"));
  }
  absl::StatusOr<Region> granted = source(region);
  if (!granted.ok()) return granted.status();
  struct stat file {};
  if (::fstat(granted->file.get(), &file) != 0) {
    return absl::InternalError(absl::StrCat("region ", region, ": ", std::strerror(errno)));
  }
  // Beyond the file's end a read would kill the process.
  uint64_t length = std::min(granted->length, static_cast<uint64_t>(file.st_size));
  if (granted->region != region || granted->pool_id != pool.info.pool_id() ||
      granted->segment_index != index || length < bytes_needed ||
      length > pool.info.segment_bytes()) {
    return absl::InternalError(
        absl::StrCat("wanted ", bytes_needed, " bytes of region ", region, ", segment ", index,
                     "; got ", length, " bytes of region ", granted->region, ", pool ",
                     granted->pool_id, ", segment ", granted->segment_index));
  }
  void* at = pool.base + index * pool.info.segment_bytes();
  if (::mmap(at, length, PROT_READ, MAP_SHARED | MAP_FIXED, granted->file.get(), 0) == MAP_FAILED) {
    return absl::InternalError(
        absl::StrCat("mapping region ", region, " read-only: ", std::strerror(errno)));
  }
  segment.region = region;
  segment.length = length;
  return absl::OkStatus();
}

void DaemonInstance::Unpin(uint32_t pool_id, uint64_t first, uint64_t count) {
  absl::MutexLock lock(&mu_);
  Pool& pool = pools_[pool_id];
  for (uint64_t i = 0; i < count; ++i) --pool.segments[first + i].leases;
}

}  // namespace residency::inline client::internal
