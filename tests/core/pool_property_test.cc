// Random work on pools, with every promise checked after every step.
#include <map>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "core/pool.h"
#include "gtest/gtest.h"

namespace residency {
namespace {

constexpr uint64_t kPage = 4096;

class PoolWork {
 public:
  PoolWork(uint64_t seed, bool domain_segments)
      : rng_(seed), pool_(Options(seed, domain_segments)) {
    if (seed % 3 == 0) pool_.set_demand_reserve(Bytes(kPage * (rng_() % 20)));
  }

  void Step() {
    switch (rng_() % 8) {
      case 0:
      case 1:
      case 2:
        Reserve();
        break;
      case 3:
      case 4:
        KeepOne();
        break;
      case 5:
        CancelOne();
        break;
      default:
        FreeOne();
    }
    Check();
  }

 private:
  struct Kept {
    Extent extent;
    DomainId domain;
  };
  struct Pending {
    Pool::Reservation room;
    DomainId domain;
  };

  static PoolOptions Options(uint64_t seed, bool domain_segments) {
    std::mt19937_64 rng(seed * 977);
    return {.id = PoolId(1),
            .tier = Tier::kHbm,
            .name = "hbm",
            .capacity = Bytes(kPage * (40 + rng() % 100)),
            .segment_bytes = Bytes(kPage * (8 + rng() % 20)),
            .alignment = Bytes(kPage),
            .domain_segments = domain_segments};
  }

  std::vector<Extent> SomeKept() {
    std::vector<Extent> some;
    for (const Kept& kept : kept_) {
      if (rng_() % 3 == 0) some.push_back(kept.extent);
    }
    return some;
  }

  void Reserve() {
    const DomainId domain(rng_() % 3);
    // Mostly a few sizes, as models have them; sometimes larger than a segment.
    constexpr uint64_t kSizes[] = {1, 3, 3, 3, 5, 7, 7, 35};
    const Bytes bytes(kSizes[rng_() % 8] * kPage - (rng_() % 2 == 0 ? 0 : rng_() % kPage));
    const Purpose purpose = rng_() % 2 == 0 ? Purpose::kDemand : Purpose::kBackground;
    const bool fits = pool_.WouldFit(domain, bytes, purpose, {});
    const uint64_t length = pool_.Footprint(bytes).count();
    const bool had_hole = HasHoleOf(domain, length);
    const Bytes free = pool_.free();
    auto room = pool_.Reserve(domain, bytes, purpose);
    ASSERT_EQ(room.ok(), fits) << room.status();
    if (!room.ok()) return;
    ASSERT_EQ(room->extent().length, length) << "rounded to anything but the alignment";
    ASSERT_EQ(room->extent().offset % kPage, 0u);
    if (purpose == Purpose::kBackground) {
      ASSERT_GE(free - Bytes(length), pool_.demand_reserve()) << "the demand reserve was entered";
    }
    if (had_hole) {
      ASSERT_TRUE(WasHole(room->extent())) << "a hole of the same size was passed over";
    }
    pending_.push_back({*std::move(room), domain});
  }

  void KeepOne() {
    if (pending_.empty()) return;
    const size_t i = rng_() % pending_.size();
    kept_.push_back({pending_[i].room.extent(), pending_[i].domain});
    std::move(pending_[i].room).Keep();
    pending_.erase(pending_.begin() + i);
  }

  void CancelOne() {
    if (pending_.empty()) return;
    pending_.erase(pending_.begin() + rng_() % pending_.size());
  }

  void FreeOne() {
    if (rng_() % 4 == 0) CheckPromiseToFree();
    if (kept_.empty()) return;
    const size_t i = rng_() % kept_.size();
    pool_.Free(kept_[i].extent);
    kept_.erase(kept_.begin() + i);
  }

  // What WouldFit says of some extents is what Reserve does once they are free.
  void CheckPromiseToFree() {
    const std::vector<Extent> some = SomeKept();
    const DomainId domain(rng_() % 3);
    const Bytes bytes(kPage * (1 + rng_() % 30));
    const bool promised = pool_.WouldFit(domain, bytes, Purpose::kDemand, some);
    for (const Extent& extent : some) {
      pool_.Free(extent);
      std::erase_if(kept_, [&](const Kept& kept) { return kept.extent == extent; });
    }
    Check();
    auto room = pool_.Reserve(domain, bytes, Purpose::kDemand);
    ASSERT_EQ(room.ok(), promised) << room.status();
    if (room.ok()) pending_.push_back({*std::move(room), domain});
  }

  // Occupied extents by offset, from the test's own books.
  std::map<uint64_t, std::pair<Extent, DomainId>> Occupied() const {
    std::map<uint64_t, std::pair<Extent, DomainId>> all;
    for (const Kept& kept : kept_) all[kept.extent.offset] = {kept.extent, kept.domain};
    for (const Pending& p : pending_) all[p.room.extent().offset] = {p.room.extent(), p.domain};
    return all;
  }

  // A hole of exactly this length between two neighbours of the domain within one segment.
  bool HasHoleOf(DomainId domain, uint64_t length) {
    holes_.clear();
    const uint64_t segment = pool_.options().segment_bytes.count();
    std::optional<std::pair<Extent, DomainId>> before;
    for (const auto& [offset, entry] : Occupied()) {
      if (before && before->first.end() + length == offset && before->second == domain &&
          entry.second == domain && (before->first.end() - 1) / segment == offset / segment) {
        holes_.push_back({before->first.end(), length});
      }
      before = entry;
    }
    // Without domains the neighbours' owners do not matter; those holes are not asked about.
    return !holes_.empty() && pool_.options().domain_segments;
  }
  // Taken was this hole or another of the very length that the books do not see.
  bool WasHole(Extent extent) const {
    const auto occupied = Occupied();
    const auto after = occupied.lower_bound(extent.offset);
    const uint64_t segment = pool_.options().segment_bytes.count();
    const bool ends_tight = after == occupied.end()
                                ? extent.end() == pool_.capacity().count()
                                : after->first == extent.end() || extent.end() % segment == 0;
    return ends_tight;
  }

  void Check() {
    std::vector<Extent> used;
    std::map<uint64_t, DomainId> owner;
    const uint64_t segment = pool_.options().segment_bytes.count();
    uint64_t total = 0;
    for (const auto& [offset, entry] : Occupied()) {
      const auto& [extent, domain] = entry;
      used.push_back(extent);
      total += extent.length;
      if (!pool_.options().domain_segments) continue;
      const CopyPlace place = pool_.PlaceOf(extent);
      ASSERT_EQ(place.regions.size(), (extent.end() - 1) / segment - offset / segment + 1);
      for (size_t i = 0; i < place.regions.size(); ++i) {
        const uint64_t index = offset / segment + i;
        ASSERT_EQ(owner.try_emplace(index, domain).first->second, domain) << "a shared segment";
        // A segment that holds anything keeps the region it had.
        const auto known = regions_.find(index);
        if (known != regions_.end()) {
          ASSERT_EQ(known->second, place.regions[i]) << "reassigned while occupied";
        }
        ASSERT_EQ(pool_.DomainOfRegion(place.regions[i]), domain);
        const auto [seen, fresh] = domain_of_region_.try_emplace(place.regions[i], domain);
        ASSERT_EQ(seen->second, domain) << "a region number was reused for another domain";
      }
    }
    regions_.clear();
    for (const Extent& extent : used) {
      const CopyPlace place = pool_.PlaceOf(extent);
      for (size_t i = 0; i < place.regions.size(); ++i) {
        regions_[extent.offset / segment + i] = place.regions[i];
      }
    }
    ASSERT_EQ(total, (pool_.used() + pool_.reserved()).count());
    pool_.CheckInvariants(used);
  }

  std::mt19937_64 rng_;
  Pool pool_;
  std::vector<Kept> kept_;
  std::vector<Pending> pending_;
  std::vector<Extent> holes_;
  std::map<uint64_t, RegionNumber> regions_;  // of occupied segments, after the last step
  std::map<RegionNumber, DomainId> domain_of_region_;
};

void RunWork(bool domain_segments) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    PoolWork work(seed, domain_segments);
    for (int step = 0; step < 400; ++step) {
      SCOPED_TRACE(testing::Message() << "step " << step);
      work.Step();
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(PoolPropertyTest, DomainPoolsKeepEveryPromiseUnderRandomWork) { RunWork(true); }
TEST(PoolPropertyTest, SharedPoolsKeepEveryPromiseUnderRandomWork) { RunWork(false); }

}  // namespace
}  // namespace residency
