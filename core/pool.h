// The arithmetic of one pool: which bytes of its address space are free, reserved or used, and
// which segment belongs to which domain. Owns no memory. Not thread-safe.
//
// Allocation is grouped by size without rounding to powers of two: a hole left by a block of the
// same size is taken first, then a hole in a segment that holds blocks of that size, then a fresh
// segment, then the best fit anywhere in the domain. A block may span adjacent segments.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "core/bytes.h"
#include "core/element.h"
#include "core/free_space.h"
#include "core/ids.h"
#include "core/tier.h"
#include "core/transfer.h"

namespace residency {

struct PoolOptions {
  PoolId id;
  Tier tier = Tier::kDram;
  std::string name;
  Bytes capacity;                // rounded down to the alignment
  Bytes segment_bytes = GiB(1);  // a multiple of the alignment
  Bytes alignment = Bytes(4096);
  // Whether segments are kept apart by domain (memory that clients map) or not (disks).
  bool domain_segments = true;
  LowbitFormat lowbit = LowbitFormat::kInt8;  // of S1 copies; HBM
  // Background work keeps copies here compressed where that suits the block; DRAM and NVMe.
  bool compressed = false;
};

// Demand may use the pool's last bytes; nothing else may enter the demand reserve.
enum class Purpose : uint8_t { kDemand, kBackground };

class Pool {
 public:
  explicit Pool(PoolOptions options);
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Room taken before a transition begins. Goes back when it dies, unless it was kept.
  class Reservation {
   public:
    Reservation(Reservation&& other) noexcept;
    Reservation& operator=(Reservation&& other) noexcept;
    ~Reservation();
    const Extent& extent() const { return extent_; }
    // Gives back what lies beyond the first `bytes`. REQUIRES: 0 < bytes <= extent().length.
    void Shrink(Bytes bytes);
    // The bytes are used from now on; Free gives them back.
    void Keep() &&;

   private:
    friend class Pool;
    Reservation(Pool* pool, Extent extent) : pool_(pool), extent_(extent) {}
    Pool* pool_;
    Extent extent_;
  };

  // ResourceExhausted says what was wanted and what is free. REQUIRES: bytes > 0.
  absl::StatusOr<Reservation> Reserve(DomainId domain, Bytes bytes, Purpose purpose);
  // Marks bytes as used that a catalogue remembers; OutOfRange or AlreadyExists if they can't be.
  absl::Status Restore(Extent extent);
  // Gives back kept bytes.
  void Free(Extent extent);

  // The runs that this domain could be given if these extents were free as well: empty segments,
  // and what is free in its own.
  FreeSpace UsableSpace(DomainId domain, const std::vector<Extent>& freed) const;
  // Whether Reserve would succeed if these extents were free as well.
  bool WouldFit(DomainId domain, Bytes bytes, Purpose purpose,
                const std::vector<Extent>& freed) const;

  // The assignment of every segment that the extent touches, in address order.
  CopyPlace PlaceOf(Extent extent) const;
  // The domain of a live region of this pool.
  std::optional<DomainId> DomainOfRegion(RegionNumber region) const;
  std::optional<uint64_t> SegmentOfRegion(RegionNumber region) const;

  void set_demand_reserve(Bytes bytes) { demand_reserve_ = bytes; }
  Bytes demand_reserve() const { return demand_reserve_; }
  const PoolOptions& options() const { return options_; }
  PoolId id() const { return options_.id; }
  Tier tier() const { return options_.tier; }
  Bytes capacity() const { return options_.capacity; }
  Bytes used() const { return used_; }
  Bytes reserved() const { return reserved_; }
  Bytes free() const { return options_.capacity - used_ - reserved_; }
  Bytes used_by(DomainId domain) const;
  double pressure() const;
  // 1 - largest free run / free bytes, over all domains; 0 when nothing is free.
  double fragmentation() const;
  // A block of `bytes` occupies this much.
  Bytes Footprint(Bytes bytes) const { return RoundUp(bytes, options_.alignment); }

  // Crashes, naming the segment or run that is wrong. `used` are all kept and reserved extents.
  void CheckInvariants(std::vector<Extent> used) const;

 private:
  struct Segment {
    DomainId domain;          // none: unassigned
    RegionNumber region;      // of this assignment
    uint64_t occupied = 0;    // used and reserved bytes
    uint64_t size_group = 0;  // footprint of the first block placed since it was empty
  };

  // Where a block of `length` goes, with the segments there assigned to the domain.
  std::optional<uint64_t> Find(DomainId domain, uint64_t length);
  // In a hole of this very length, in a segment of this size group, or in an empty segment.
  std::optional<uint64_t> FindGrouped(DomainId domain, uint64_t length) const;
  std::optional<uint64_t> FindAny(DomainId domain, uint64_t length) const;
  // Each assigns unassigned segments so that `length` fits in one run: past the free tail of a
  // segment of this size group, in fresh segments alone, in whatever runs these and the domain's
  // holes make up together.
  bool ClaimExtending(DomainId domain, uint64_t length);
  bool ClaimFresh(DomainId domain, uint64_t length);
  bool ClaimAnywhere(DomainId domain, uint64_t length);
  void Assign(uint64_t segment, DomainId domain);
  // Takes wholly free segments back from the domains that hold them.
  void UnassignEmpty(DomainId except);
  void Occupy(Extent extent);
  void Vacate(Extent extent);
  // Calls f(segment index, the part of the extent in it) in address order.
  template <class F>
  void ForEachPart(Extent extent, F f) const;
  uint64_t SegmentIndex(uint64_t offset) const { return offset / options_.segment_bytes.count(); }
  Extent SegmentExtent(uint64_t segment) const;
  DomainId KeyOf(DomainId domain) const;

  PoolOptions options_;
  std::vector<Segment> segments_;
  absl::flat_hash_map<DomainId, FreeSpace> free_;
  absl::flat_hash_map<DomainId, Bytes> domain_occupied_;
  Bytes demand_reserve_;
  Bytes used_;
  Bytes reserved_;
  uint64_t next_region_ = 1;
};

}  // namespace residency
