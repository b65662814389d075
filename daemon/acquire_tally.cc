#include "daemon/acquire_tally.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

namespace residency {
namespace {

// Of a sum with this half-life, the mean rate per second that keeps it where it is.
constexpr double kRatePerSum =
    std::numbers::ln2 / (static_cast<double>(AcquireTally::kHalfLife.count()) * 1e-6);

double Decay(TimePoint from, TimePoint to) {
  const Micros age = std::max(to - from, Micros(0));
  return std::exp2(-static_cast<double>(age.count()) /
                   static_cast<double>(AcquireTally::kHalfLife.count()));
}

}  // namespace

void AcquireTally::OnGranted(const GrantedBody& granted, TimePoint now) {
  if (granted.leases.empty() || granted.leases.front().stall <= Micros(0)) return;
  const double stall_us = static_cast<double>(granted.leases.front().stall.count());
  std::vector<const GrantedLease*> missed;
  for (const GrantedLease& lease : granted.leases) {
    if (state_of_(lease) != lease.served_from) missed.push_back(&lease);
  }
  const std::lock_guard lock(mutex_);
  for (const GrantedLease* lease : missed) {
    if (entries_.size() >= kBlocksMax && !entries_.contains(lease->block)) ForgetTheLeast(now);
    Entry& entry = entries_[lease->block];
    const double kept = entry.misses > 0 ? Decay(entry.at, now) : 0;
    entry.misses = entry.misses * kept + 1;
    entry.stall_us = entry.stall_us * kept + stall_us / static_cast<double>(missed.size());
    entry.at = now;
    entry.served_from = lease->served_from;
  }
}

void AcquireTally::ForgetTheLeast(TimePoint now) {
  std::vector<std::pair<double, BlockId>> order;
  for (const auto& [block, entry] : entries_) {
    order.emplace_back(entry.stall_us * Decay(entry.at, now), block);
  }
  const auto middle = order.begin() + static_cast<ptrdiff_t>(order.size() / 2);
  std::nth_element(order.begin(), middle, order.end());
  for (auto it = order.begin(); it != middle; ++it) entries_.erase(it->second);
}

AcquireTally::Report AcquireTally::Read(size_t blocks_max, TimePoint now) const {
  Report report;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [block, entry] : entries_) {
      const double rate = Decay(entry.at, now) * kRatePerSum;
      report.blocks.push_back({.block = block,
                               .served_from = entry.served_from,
                               .misses_per_second = entry.misses * rate,
                               .stall_us_per_second = entry.stall_us * rate});
    }
  }
  for (const Misses& misses : report.blocks) {
    report.misses_per_second += misses.misses_per_second;
    report.stall_us_per_second += misses.stall_us_per_second;
  }
  std::ranges::sort(report.blocks, [](const Misses& a, const Misses& b) {
    return a.stall_us_per_second != b.stall_us_per_second
               ? a.stall_us_per_second > b.stall_us_per_second
               : a.block < b.block;
  });
  report.blocks.resize(std::min(report.blocks.size(), blocks_max));
  return report;
}

}  // namespace residency
