#include "core/pool.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/check.h"

namespace residency {
namespace {

constexpr int kHoleScanMax = 64;
// The domain under which a pool without domain segments keeps everything.
constexpr DomainId kShared(0);

}  // namespace

Pool::Reservation::Reservation(Reservation&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), extent_(other.extent_) {}

Pool::Reservation& Pool::Reservation::operator=(Reservation&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(extent_, other.extent_);
  return *this;
}

Pool::Reservation::~Reservation() {
  if (pool_ == nullptr) return;
  pool_->reserved_ -= Bytes(extent_.length);
  pool_->Vacate(extent_);
}

void Pool::Reservation::Shrink(Bytes bytes) {
  const uint64_t kept = pool_->Footprint(bytes).count();
  RESIDENCY_CHECK(kept > 0 && kept <= extent_.length, "a reservation only gets smaller");
  if (kept == extent_.length) return;
  const Extent rest{extent_.offset + kept, extent_.length - kept};
  extent_.length = kept;
  pool_->reserved_ -= Bytes(rest.length);
  pool_->Vacate(rest);
}

void Pool::Reservation::Keep() && {
  Pool* const pool = std::exchange(pool_, nullptr);
  pool->reserved_ -= Bytes(extent_.length);
  pool->used_ += Bytes(extent_.length);
}

Pool::Pool(PoolOptions options) : options_(std::move(options)) {
  const uint64_t alignment = options_.alignment.count();
  RESIDENCY_CHECK(alignment > 0 && options_.segment_bytes.count() % alignment == 0 &&
                      !options_.segment_bytes.zero(),
                  "segments must be whole multiples of the alignment");
  options_.capacity = Bytes(options_.capacity.count() / alignment * alignment);
  const Bytes rounded = RoundUp(options_.capacity, options_.segment_bytes);
  segments_.resize(rounded / options_.segment_bytes);
  if (!options_.domain_segments) {
    for (uint64_t i = 0; i < segments_.size(); ++i) Assign(i, kShared);
  }
}

DomainId Pool::KeyOf(DomainId domain) const { return options_.domain_segments ? domain : kShared; }

Extent Pool::SegmentExtent(uint64_t segment) const {
  const uint64_t size = options_.segment_bytes.count();
  const uint64_t begin = segment * size;
  return {begin, std::min(size, options_.capacity.count() - begin)};
}

template <class F>
void Pool::ForEachPart(Extent extent, F f) const {
  for (uint64_t i = SegmentIndex(extent.offset); i <= SegmentIndex(extent.end() - 1); ++i) {
    const Extent segment = SegmentExtent(i);
    const uint64_t begin = std::max(segment.offset, extent.offset);
    f(i, Extent{begin, std::min(segment.end(), extent.end()) - begin});
  }
}

void Pool::Occupy(Extent extent) {
  const DomainId domain = segments_[SegmentIndex(extent.offset)].domain;
  free_[domain].Take(extent);
  domain_occupied_[domain] += Bytes(extent.length);
  ForEachPart(extent, [&](uint64_t index, Extent part) {
    Segment& segment = segments_[index];
    if (segment.occupied == 0) segment.size_group = extent.length;
    segment.occupied += part.length;
  });
}

void Pool::Vacate(Extent extent) {
  const DomainId domain = segments_[SegmentIndex(extent.offset)].domain;
  free_[domain].Add(extent);
  domain_occupied_[domain] -= Bytes(extent.length);
  ForEachPart(extent,
              [&](uint64_t index, Extent part) { segments_[index].occupied -= part.length; });
}

void Pool::Assign(uint64_t index, DomainId domain) {
  Segment& segment = segments_[index];
  segment.domain = domain;
  segment.region = RegionNumber((uint64_t{options_.id.value()} << 48) | next_region_++);
  segment.size_group = 0;
  free_[domain].Add(SegmentExtent(index));
}

void Pool::UnassignEmpty(DomainId except) {
  for (uint64_t i = 0; i < segments_.size(); ++i) {
    Segment& segment = segments_[i];
    if (!segment.domain.valid() || segment.domain == except || segment.occupied > 0) continue;
    free_[segment.domain].Take(SegmentExtent(i));
    segment = Segment();
  }
}

std::optional<uint64_t> Pool::FindGrouped(DomainId domain, uint64_t length) const {
  const auto it = free_.find(domain);
  if (it == free_.end()) return std::nullopt;
  // The first place in one of the smallest runs at which `suits` its segment.
  const auto first = [&](auto suits) {
    std::optional<uint64_t> place;
    it->second.BestFitWhere(length, kHoleScanMax, [&](Extent run) {
      ForEachPart(run, [&](uint64_t index, Extent part) {
        if (!place && run.end() - part.offset >= length && suits(segments_[index], run)) {
          place = part.offset;
        }
      });
      return place.has_value();
    });
    return place;
  };
  auto place = first([&](const Segment&, Extent run) { return run.length == length; });
  if (!place) {
    place = first([&](const Segment& segment, Extent) {
      return segment.occupied > 0 && segment.size_group == length;
    });
  }
  if (!place) place = first([](const Segment& segment, Extent) { return segment.occupied == 0; });
  return place;
}

std::optional<uint64_t> Pool::FindAny(DomainId domain, uint64_t length) const {
  const auto it = free_.find(domain);
  if (it == free_.end()) return std::nullopt;
  const auto run = it->second.BestFit(length);
  if (!run) return std::nullopt;
  return run->offset;
}

bool Pool::ClaimExtending(DomainId domain, uint64_t length) {
  const uint64_t size = options_.segment_bytes.count();
  const FreeSpace& space = free_[domain];
  for (uint64_t i = 1; i < segments_.size(); ++i) {
    const Segment& last = segments_[i - 1];
    if (segments_[i].domain.valid() || last.domain != domain) continue;
    if (last.occupied > 0 && last.size_group != length) continue;
    const auto tail = space.EndingAt(i * size);
    if (!tail.has_value()) continue;
    uint64_t reach = std::min(tail->length, size);
    uint64_t end = i;
    while (reach < length && end < segments_.size() && !segments_[end].domain.valid()) {
      reach += SegmentExtent(end++).length;
    }
    if (reach < length) continue;
    for (uint64_t s = i; s < end; ++s) Assign(s, domain);
    return true;
  }
  return false;
}

bool Pool::ClaimFresh(DomainId domain, uint64_t length) {
  uint64_t begin = 0;
  uint64_t reach = 0;
  for (uint64_t i = 0; i < segments_.size(); ++i) {
    if (segments_[i].domain.valid()) {
      begin = i + 1;
      reach = 0;
      continue;
    }
    reach += SegmentExtent(i).length;
    if (reach < length) continue;
    for (uint64_t s = begin; s <= i; ++s) Assign(s, domain);
    return true;
  }
  return false;
}

bool Pool::ClaimAnywhere(DomainId domain, uint64_t length) {
  FreeSpace space;
  for (const auto& [offset, run_length] : free_[domain].runs()) space.Add({offset, run_length});
  for (uint64_t i = 0; i < segments_.size(); ++i) {
    if (!segments_[i].domain.valid()) space.Add(SegmentExtent(i));
  }
  const auto run = space.BestFit(length);
  if (!run) return false;
  ForEachPart({run->offset, length}, [&](uint64_t index, Extent) {
    if (!segments_[index].domain.valid()) Assign(index, domain);
  });
  return true;
}

std::optional<uint64_t> Pool::Find(DomainId domain, uint64_t length) {
  auto found = FindGrouped(domain, length);
  if (!found && (ClaimExtending(domain, length) || ClaimFresh(domain, length))) {
    found = FindGrouped(domain, length);
  }
  if (!found) found = FindAny(domain, length);
  if (!found && ClaimAnywhere(domain, length)) found = FindAny(domain, length);
  if (!found && options_.domain_segments) {
    UnassignEmpty(domain);
    if (ClaimAnywhere(domain, length)) found = FindAny(domain, length);
  }
  return found;
}

absl::StatusOr<Pool::Reservation> Pool::Reserve(DomainId domain, Bytes bytes, Purpose purpose) {
  RESIDENCY_CHECK(!bytes.zero(), "a reservation of no bytes");
  const Bytes wanted = Footprint(bytes);
  const Bytes floor = purpose == Purpose::kDemand ? Bytes() : demand_reserve_;
  if (wanted + floor > free()) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "pool ", options_.name, ": ", FormatBytes(wanted), " wanted, ", FormatBytes(free()),
        " free of ", FormatBytes(capacity()),
        floor.zero() ? "" : absl::StrCat(", ", FormatBytes(floor), " of it kept for demand")));
  }
  const auto offset = Find(KeyOf(domain), wanted.count());
  if (!offset) {
    return absl::ResourceExhaustedError(absl::StrCat("pool ", options_.name, ": no run of ",
                                                     FormatBytes(wanted), " for this domain among ",
                                                     FormatBytes(free()), " free bytes"));
  }
  const Extent extent{*offset, wanted.count()};
  Occupy(extent);
  reserved_ += wanted;
  return Reservation(this, extent);
}

absl::Status Pool::Restore(Extent extent) {
  const uint64_t alignment = options_.alignment.count();
  if (extent.length == 0 || extent.offset % alignment != 0 || extent.length % alignment != 0 ||
      extent.end() < extent.offset || extent.end() > options_.capacity.count()) {
    return absl::OutOfRangeError(absl::StrCat("pool ", options_.name, ": extent [", extent.offset,
                                              ", +", extent.length, ") lies outside its ",
                                              FormatBytes(capacity())));
  }
  RESIDENCY_CHECK(!options_.domain_segments, "only pools without domains outlive the daemon");
  if (!free_[kShared].Contains(extent)) {
    return absl::AlreadyExistsError(absl::StrCat("pool ", options_.name, ": extent [",
                                                 extent.offset, ", +", extent.length,
                                                 ") overlaps another one"));
  }
  Occupy(extent);
  used_ += Bytes(extent.length);
  return absl::OkStatus();
}

void Pool::Free(Extent extent) {
  used_ -= Bytes(extent.length);
  Vacate(extent);
}

FreeSpace Pool::UsableSpace(DomainId domain, const std::vector<Extent>& freed) const {
  // Replayed on free space alone: empty and unassigned segments, then the domain's runs in others.
  const DomainId key = KeyOf(domain);
  std::vector<uint64_t> occupied(segments_.size());
  for (uint64_t i = 0; i < segments_.size(); ++i) occupied[i] = segments_[i].occupied;
  for (const Extent& extent : freed) {
    ForEachPart(extent, [&](uint64_t segment, Extent part) { occupied[segment] -= part.length; });
  }
  FreeSpace space;
  const auto add_in_occupied = [&](Extent run) {
    ForEachPart(run, [&](uint64_t segment, Extent part) {
      if (occupied[segment] > 0) space.Add(part);
    });
  };
  for (uint64_t i = 0; i < segments_.size(); ++i) {
    if (occupied[i] == 0) space.Add(SegmentExtent(i));
  }
  if (const auto it = free_.find(key); it != free_.end()) {
    for (const auto& [offset, length] : it->second.runs()) add_in_occupied({offset, length});
  }
  for (const Extent& extent : freed) {
    if (segments_[SegmentIndex(extent.offset)].domain == key) add_in_occupied(extent);
  }
  return space;
}

bool Pool::WouldFit(DomainId domain, Bytes bytes, Purpose purpose,
                    const std::vector<Extent>& freed) const {
  const Bytes wanted = Footprint(bytes);
  Bytes available = free();
  for (const Extent& extent : freed) available += Bytes(extent.length);
  const Bytes floor = purpose == Purpose::kDemand ? Bytes() : demand_reserve_;
  if (wanted + floor > available) return false;
  return UsableSpace(domain, freed).largest() >= wanted.count();
}

CopyPlace Pool::PlaceOf(Extent extent) const {
  CopyPlace place{options_.id, extent, {}};
  if (!options_.domain_segments) return place;
  for (uint64_t i = SegmentIndex(extent.offset); i <= SegmentIndex(extent.end() - 1); ++i) {
    place.regions.push_back(segments_[i].region);
  }
  return place;
}

std::optional<uint64_t> Pool::SegmentOfRegion(RegionNumber region) const {
  for (uint64_t i = 0; i < segments_.size(); ++i) {
    if (segments_[i].domain.valid() && segments_[i].region == region) return i;
  }
  return std::nullopt;
}

std::optional<DomainId> Pool::DomainOfRegion(RegionNumber region) const {
  const auto segment = SegmentOfRegion(region);
  if (!segment) return std::nullopt;
  return segments_[*segment].domain;
}

Bytes Pool::used_by(DomainId domain) const {
  const auto it = domain_occupied_.find(domain);
  return it == domain_occupied_.end() ? Bytes() : it->second;
}

double Pool::pressure() const {
  if (capacity().zero()) return 1;
  return static_cast<double>((used_ + reserved_).count()) / static_cast<double>(capacity().count());
}

double Pool::fragmentation() const {
  if (free().zero()) return 0;
  uint64_t largest = 0;
  for (const auto& [domain, space] : free_) largest = std::max(largest, space.largest());
  uint64_t run = 0;
  for (uint64_t i = 0; i < segments_.size(); ++i) {
    run = segments_[i].domain.valid() ? 0 : run + SegmentExtent(i).length;
    largest = std::max(largest, run);
  }
  return 1 - static_cast<double>(largest) / static_cast<double>(free().count());
}

void Pool::CheckInvariants(std::vector<Extent> used) const {
  std::sort(used.begin(), used.end(),
            [](const Extent& a, const Extent& b) { return a.offset < b.offset; });
  std::vector<uint64_t> occupied(segments_.size(), 0);
  uint64_t total = 0;
  uint64_t end = 0;
  for (const Extent& extent : used) {
    RESIDENCY_CHECK(extent.offset >= end && extent.length > 0,
                    absl::StrCat("extent at ", extent.offset, " overlaps the one before it"));
    end = extent.end();
    total += extent.length;
    RESIDENCY_CHECK(end <= capacity().count(), "an extent leaves its pool");
    const DomainId domain = segments_[SegmentIndex(extent.offset)].domain;
    ForEachPart(extent, [&](uint64_t i, Extent part) {
      RESIDENCY_CHECK(segments_[i].domain == domain && domain.valid(),
                      absl::StrCat("segment ", i, " is not of the domain of its extent"));
      occupied[i] += part.length;
    });
  }
  RESIDENCY_CHECK(total == (used_ + reserved_).count(), "used and reserved bytes do not add up");
  uint64_t free_total = 0;
  std::vector<uint64_t> vacant(segments_.size(), 0);
  for (const auto& [domain, space] : free_) {
    free_total += space.total();
    for (const auto& [offset, length] : space.runs()) {
      ForEachPart({offset, length}, [&](uint64_t i, Extent part) {
        RESIDENCY_CHECK(segments_[i].domain == domain,
                        absl::StrCat("a free run lies in segment ", i, " of another domain"));
        vacant[i] += part.length;
      });
    }
  }
  for (uint64_t i = 0; i < segments_.size(); ++i) {
    RESIDENCY_CHECK(
        !segments_[i].domain.valid() || vacant[i] + occupied[i] == SegmentExtent(i).length,
        absl::StrCat("segment ", i, " is neither free nor used in part"));
    RESIDENCY_CHECK(occupied[i] == segments_[i].occupied,
                    absl::StrCat("segment ", i, " counts its bytes wrongly"));
    if (!segments_[i].domain.valid()) free_total += SegmentExtent(i).length;
  }
  RESIDENCY_CHECK(free_total == free().count(), "free runs do not add up");
}

}  // namespace residency
