#include "client/ctl/rates.h"

#include <algorithm>
#include <map>

namespace residency::ctl {
namespace {

// Two looks so close together say nothing: keeps rates finite.
constexpr double kSecondsMin = 1e-3;

const v1::LinkStatus* FindLink(const Sample* sample, const std::string& name) {
  if (sample == nullptr) return nullptr;
  for (const v1::LinkStatus& link : sample->status.links()) {
    if (link.name() == name) return &link;
  }
  return nullptr;
}

const v1::LinkClassStatus* FindClass(const v1::LinkStatus* link, const std::string& name) {
  if (link == nullptr) return nullptr;
  for (const v1::LinkClassStatus& cls : link->classes()) {
    if (cls.name() == name) return &cls;
  }
  return nullptr;
}

const v1::SessionInfo* FindSession(const Sample* sample, uint64_t id) {
  if (sample == nullptr) return nullptr;
  for (const v1::SessionInfo& session : sample->sessions.sessions()) {
    if (session.session_id() == id) return &session;
  }
  return nullptr;
}

}  // namespace

Interval::Interval(const Sample* before, const Sample& now) : before_(before), now_(now) {
  const bool same = before != nullptr &&
                    before->status.daemon_instance() == now.status.daemon_instance() &&
                    before->status.uptime_us() <= now.status.uptime_us();
  if (!same) before_ = nullptr;
  const uint64_t from = before_ == nullptr ? 0 : before_->status.uptime_us();
  seconds_ = std::max(static_cast<double>(now.status.uptime_us() - from) * 1e-6, kSecondsMin);
}

double Interval::Rate(uint64_t (v1::Counters::*counter)() const) const {
  const uint64_t from = before_ == nullptr ? 0 : (before_->status.counters().*counter)();
  return Rate(from, (now_.status.counters().*counter)());
}

std::optional<double> Interval::HitShare() const {
  const double acquires = Rate(&v1::Counters::acquires);
  if (acquires <= 0) return std::nullopt;
  return Rate(&v1::Counters::acquires_hit) / acquires;
}

double LinkRate::BytesPerSecond() const {
  double sum = 0;
  for (const ClassRate& cls : classes) sum += cls.bytes_per_second;
  return sum;
}

uint64_t LinkRate::QueuedBytes() const {
  uint64_t sum = 0;
  for (const ClassRate& cls : classes) sum += cls.queued_bytes;
  return sum;
}

std::vector<LinkRate> LinkRates(const Interval& interval) {
  std::vector<LinkRate> rates;
  for (const v1::LinkStatus& link : interval.now().status.links()) {
    LinkRate& rate = rates.emplace_back();
    rate.name = link.name();
    rate.bandwidth = link.bytes_per_second();
    rate.latency_us = link.latency_us();
    const v1::LinkStatus* const before = FindLink(interval.before(), link.name());
    for (const v1::LinkClassStatus& cls : link.classes()) {
      const v1::LinkClassStatus* const was = FindClass(before, cls.name());
      rate.classes.push_back(
          {.name = cls.name(),
           .bytes_per_second =
               interval.Rate(was == nullptr ? 0 : was->moved_bytes(), cls.moved_bytes()),
           .busy_ratio = interval.Rate(was == nullptr ? 0 : was->busy_us(), cls.busy_us()) * 1e-6,
           .moved_bytes = cls.moved_bytes(),
           .queued_bytes = cls.queued_bytes()});
    }
  }
  return rates;
}

std::vector<SessionRate> SessionRates(const Interval& interval) {
  std::vector<SessionRate> rates;
  for (const v1::SessionInfo& session : interval.now().sessions.sessions()) {
    const v1::SessionInfo* before = FindSession(interval.before(), session.session_id());
    const v1::SessionInfo none;
    if (before == nullptr) before = &none;
    rates.push_back({.session = &session,
                     .acquires = interval.Rate(before->acquires(), session.acquires()),
                     .waited = interval.Rate(before->acquires_waited(), session.acquires_waited()),
                     .stall_us = interval.Rate(before->stall_us(), session.stall_us())});
  }
  return rates;
}

std::vector<VetoRate> VetoRates(const Interval& interval) {
  std::map<std::string, std::pair<uint64_t, uint64_t>> counts;
  for (const v1::VetoCount& veto : interval.now().status.counters().vetoes()) {
    counts[veto.reason()].second += veto.count();
  }
  if (interval.before() != nullptr) {
    for (const v1::VetoCount& veto : interval.before()->status.counters().vetoes()) {
      counts[veto.reason()].first += veto.count();
    }
  }
  std::vector<VetoRate> rates;
  for (const auto& [reason, count] : counts) {
    const double rate = interval.Rate(count.first, count.second);
    if (rate > 0) rates.push_back({reason, rate});
  }
  std::ranges::stable_sort(rates, std::ranges::greater(), &VetoRate::per_second);
  return rates;
}

}  // namespace residency::ctl
