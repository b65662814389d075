// The independent check of everything the table promises; for tests and fault campaigns.
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "core/check.h"
#include "core/residency_table.h"
#include "core/strings.h"

namespace residency {

void ResidencyTable::CheckInvariants() const {
  std::vector<uint32_t> leases_of_slot(copies_.size(), 0);
  std::vector<uint32_t> hard_of_slot(copies_.size(), 0);
  for (const auto& [id, lease] : leases_) {
    RESIDENCY_CHECK(copies_.Is(lease.slot, lease.generation),
                    absl::StrCat("lease ", id.value(), " names a copy that is gone"));
    ++leases_of_slot[lease.slot.value()];
    if (lease.mode != LeaseMode::kRecallable) ++hard_of_slot[lease.slot.value()];
  }

  std::vector<std::vector<Extent>> extents(pools_.size());
  std::vector<Bytes> leased(pools_.size());
  std::array<StateTotal, kStateCount> totals;
  uint32_t listed = 0;
  uint64_t lost = 0;
  for (const Block& b : blocks_) {
    const std::string who = absl::StrCat("block ", ToAbsl(b.name), ": ");
    uint32_t block_leases = 0;
    absl::flat_hash_map<std::pair<uint16_t, int>, int> live_by_place;
    ForEachCopy(b.id, [&](SlotId slot, const Copy& c) {
      ++listed;
      const std::string which = absl::StrCat(who, "slot ", slot.value(), " ");
      RESIDENCY_CHECK(c.status != CopyStatus::kFree && c.block == b.id, which + "is not its copy");
      RESIDENCY_CHECK(c.leases == leases_of_slot[slot.value()], which + "counts leases wrongly");
      RESIDENCY_CHECK(c.hard_leases == hard_of_slot[slot.value()], which + "counts pins wrongly");
      RESIDENCY_CHECK(
          c.leases == 0 || c.status == CopyStatus::kLive || c.status == CopyStatus::kQuarantined,
          which + "is leased and going");
      RESIDENCY_CHECK(c.encoding == Encoding::kCompressed ||
                          Bytes(c.length) == pool(c.pool).Footprint(BytesOf(c)),
                      which + "has the wrong size");
      RESIDENCY_CHECK(c.encoding == Encoding::kFull || ElementBytes(b.element) > 0,
                      which + "is in an encoding that its elements do not have");
      if (c.status == CopyStatus::kArriving) {
        const LiveTransition* live = Live(b.live);
        RESIDENCY_CHECK(live != nullptr && live->add == slot, which + "arrives without ticket");
      }
      if (pool(c.pool).options().domain_segments) {
        for (const RegionNumber region : pool(c.pool).PlaceOf(c.extent()).regions) {
          RESIDENCY_CHECK(pool(c.pool).DomainOfRegion(region) == b.domain,
                          which + "lies in another domain's segment");
        }
      }
      if (c.status == CopyStatus::kLive) {
        const int count = ++live_by_place[{c.pool.value(), static_cast<int>(c.encoding)}];
        RESIDENCY_CHECK(count == 1, which + "has a live twin");
      }
      block_leases += c.leases;
      if (c.leases > 0) leased[c.pool.value()] += Bytes(c.length);
      extents[c.pool.value()].push_back(c.extent());
    });
    RESIDENCY_CHECK(b.leases == block_leases, who + "counts leases wrongly");
    RESIDENCY_CHECK(!b.live.valid() || Live(b.live) != nullptr, who + "has a ticket of nothing");
    StateTotal& total = totals[static_cast<int>(State(b.id))];
    total.blocks += 1;
    total.bytes += b.bytes.count();
    lost += IsLost(b.id) ? 1 : 0;
  }
  RESIDENCY_CHECK(lost == lost_blocks_, "lost blocks are counted wrongly");

  uint32_t held = 0;
  for (uint32_t i = 0; i < copies_.size(); ++i) {
    if (copies_[SlotId(i)].status != CopyStatus::kFree) ++held;
  }
  RESIDENCY_CHECK(held == listed, "a copy belongs to no block");
  for (const auto& [ticket, live] : live_) {
    RESIDENCY_CHECK(block(live.block).live == ticket, "a transition's block does not know it");
    RESIDENCY_CHECK(!live.source.valid() || copies_[live.source].block == live.block,
                    "a live transition's source is gone");
  }
  for (size_t p = 0; p < pools_.size(); ++p) {
    pools_[p]->CheckInvariants(extents[p]);
    RESIDENCY_CHECK(leased[p] == leased_bytes_[p], "leased bytes do not add up");
  }
  for (int s = 0; s < kStateCount; ++s) {
    RESIDENCY_CHECK(totals[s].blocks == totals_[s].blocks && totals[s].bytes == totals_[s].bytes,
                    absl::StrCat("blocks in S", s, " are counted wrongly"));
  }
}

}  // namespace residency
