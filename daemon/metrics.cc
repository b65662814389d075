#include "daemon/metrics.h"

#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <prometheus/metric_family.h>

#include "absl/strings/str_cat.h"

namespace residency {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<std::pair<std::string, std::string>>;

double Seconds(double micros) { return micros / 1e6; }

// Gathers families one by one, in the order in which they are begun.
class Families {
 public:
  Families& Begin(MetricType type, const std::string& name, const std::string& help) {
    families_.push_back({.name = "residency_" + name, .help = help, .type = type, .metric = {}});
    return *this;
  }
  Families& Counter(const std::string& name, const std::string& help) {
    return Begin(MetricType::Counter, name, help);
  }
  Families& Gauge(const std::string& name, const std::string& help) {
    return Begin(MetricType::Gauge, name, help);
  }
  Families& Add(double value, const Labels& labels = {}) {
    MetricFamily& family = families_.back();
    ClientMetric metric;
    for (const auto& [key, text] : labels) metric.label.push_back({key, text});
    if (family.type == MetricType::Counter) {
      metric.counter.value = value;
    } else {
      metric.gauge.value = value;
    }
    family.metric.push_back(std::move(metric));
    return *this;
  }
  void AddHistogram(ClientMetric::Histogram histogram) {
    ClientMetric metric;
    metric.histogram = std::move(histogram);
    families_.back().metric.push_back(std::move(metric));
  }
  std::vector<MetricFamily> Take() { return std::move(families_); }

 private:
  std::vector<MetricFamily> families_;
};

void AddPools(Families& f, const NodeSnapshot& s) {
  const auto each = [&](auto value) {
    for (const PoolSnapshot& pool : s.pools) {
      f.Add(value(pool), {{"pool", pool.name}, {"tier", Name(pool.tier)}});
    }
  };
  const auto bytes = [](Bytes b) { return static_cast<double>(b.count()); };
  f.Gauge("pool_capacity_bytes", "Size of the pool.");
  each([&](const PoolSnapshot& p) { return bytes(p.capacity); });
  f.Gauge("pool_used_bytes", "Bytes of copies in the pool.");
  each([&](const PoolSnapshot& p) { return bytes(p.used); });
  f.Gauge("pool_reserved_bytes", "Bytes set aside for copies on their way.");
  each([&](const PoolSnapshot& p) { return bytes(p.reserved); });
  f.Gauge("pool_leased_bytes", "Bytes of leased copies.");
  each([&](const PoolSnapshot& p) { return bytes(p.leased); });
  f.Gauge("pool_demand_reserve_bytes", "Bytes that only demand may use.");
  each([&](const PoolSnapshot& p) { return bytes(p.demand_reserve); });
  f.Gauge("pool_pressure_ratio", "Used and reserved share of the pool.");
  each([](const PoolSnapshot& p) { return p.pressure; });
  f.Gauge("pool_fragmentation_ratio", "Share of the free bytes outside the largest free run.");
  each([](const PoolSnapshot& p) { return p.fragmentation; });
}

void AddStates(Families& f, const NodeSnapshot& s) {
  f.Gauge("blocks", "Blocks by residency state.");
  for (int i = 0; i < kStateCount; ++i) {
    f.Add(static_cast<double>(s.states[i].blocks),
          {{"state", Name(static_cast<ResidencyState>(i))}});
  }
  f.Gauge("block_bytes", "Full-precision bytes of blocks by residency state.");
  for (int i = 0; i < kStateCount; ++i) {
    f.Add(static_cast<double>(s.states[i].bytes),
          {{"state", Name(static_cast<ResidencyState>(i))}});
  }
  f.Gauge("lost_blocks", "Blocks without a copy and without a recipe.");
  f.Add(static_cast<double>(s.lost_blocks));
}

void AddMoves(Families& f, const Counters& c) {
  const auto count = [&](const char* name, const char* help, uint64_t value) {
    f.Counter(name, help).Add(static_cast<double>(value));
  };
  count("promotions_total", "Blocks that went to a hotter state.", c.promotions);
  count("demotions_total", "Blocks that went to a colder state.", c.demotions);
  count("stages_total", "Copies added in DRAM or on NVMe without a change of state.", c.stages);
  count("prefetches_begun_total", "Promotions begun before anybody asked.", c.prefetches_begun);
  count("prefetches_used_total", "Prefetched copies that were leased.", c.prefetches_used);
  count("prefetches_wasted_total", "Prefetched copies dropped unused.", c.prefetches_wasted);
  count("transitions_cancelled_total", "Transitions cancelled for demand.",
        c.transitions_cancelled);
  count("transitions_failed_total", "Transitions whose bytes did not come.", c.transitions_failed);
  count("protection_lost_total", "Sensitive copies that lost protection to their share.",
        c.protection_lost);
  count("checksum_failures_total", "Copies and recipe results with wrong bytes, none served.",
        c.checksum_failures);
  count("recalls_total", "Cached leases asked back.", c.recalls);
  f.Counter("vetoes_total", "Transitions that a guardrail refused.");
  for (int r = 0; r < kVetoReasonCount; ++r) {
    for (int from = 0; from < kStateCount; ++from) {
      for (int to = 0; to < kStateCount; ++to) {
        const auto reason = static_cast<VetoReason>(r);
        const auto a = static_cast<ResidencyState>(from);
        const auto b = static_cast<ResidencyState>(to);
        if (const uint64_t n = c.vetoes.at(reason, a, b); n > 0) {
          f.Add(static_cast<double>(n),
                {{"reason", Name(reason)}, {"from", Name(a)}, {"to", Name(b)}});
        }
      }
    }
  }
}

void AddLinks(Families& f, const NodeSnapshot& s) {
  const auto each_class = [&](auto value) {
    for (const LinkSnapshot& link : s.links) {
      for (int cls = 0; cls < kLinkClassCount; ++cls) {
        f.Add(value(link.figures, cls),
              {{"link", link.link.name}, {"class", Name(static_cast<LinkClass>(cls))}});
      }
    }
  };
  f.Counter("transfer_bytes_total", "Bytes moved.");
  each_class(
      [](const LinkModel::Figures& l, int cls) { return static_cast<double>(l.moved_bytes[cls]); });
  f.Counter("transfer_seconds_total", "Time that transfers were under way.");
  each_class([](const LinkModel::Figures& l, int cls) { return l.busy_seconds[cls]; });
  f.Gauge("link_queued_bytes", "Bytes begun and not yet moved.");
  each_class([](const LinkModel::Figures& l, int cls) {
    return static_cast<double>(l.queued_bytes[cls]);
  });
  f.Gauge("link_bandwidth_bytes_per_second", "Measured bandwidth, a prior until something moved.");
  for (const LinkSnapshot& link : s.links) {
    f.Add(link.figures.bytes_per_us * 1e6, {{"link", link.link.name}});
  }
  f.Gauge("link_latency_seconds", "Measured latency of a first chunk.");
  for (const LinkSnapshot& link : s.links) {
    f.Add(Seconds(link.figures.latency_us), {{"link", link.link.name}});
  }
}

void AddAcquires(Families& f, const Counters& c) {
  f.Counter("acquires_total", "Batches that asked for leases, by what became of them.");
  f.Add(static_cast<double>(c.acquires_hit), {{"result", "hit"}});
  f.Add(static_cast<double>(c.acquires_failed), {{"result", "failed"}});
  uint64_t granted = 0;
  for (const uint64_t n : c.acquire_latency) granted += n;
  f.Add(static_cast<double>(granted - std::min(granted, c.acquires_hit)), {{"result", "waited"}});
  f.Counter("served_total", "Leases granted, by the state that the block was in when asked for.");
  for (int i = 0; i < kStateCount; ++i) {
    f.Add(static_cast<double>(c.served_from[i]), {{"state", Name(static_cast<ResidencyState>(i))}});
  }
  f.Counter("served_bytes_total", "Bytes of the leases granted, by that state.");
  for (int i = 0; i < kStateCount; ++i) {
    f.Add(static_cast<double>(c.served_bytes[i]),
          {{"state", Name(static_cast<ResidencyState>(i))}});
  }
  f.Counter("stall_seconds_total", "Time that batches waited, from arrival to grant.");
  f.Add(Seconds(static_cast<double>(c.stall_us)));

  f.Begin(MetricType::Histogram, "acquire_latency_seconds", "From a batch's arrival to its grant.");
  ClientMetric::Histogram histogram;
  uint64_t cumulative = 0;
  for (size_t i = 0; i < c.acquire_latency.size(); ++i) {
    cumulative += c.acquire_latency[i];
    const double bound = i < kAcquireBucketsUs.size()
                             ? Seconds(static_cast<double>(kAcquireBucketsUs[i]))
                             : std::numeric_limits<double>::infinity();
    histogram.bucket.push_back({.cumulative_count = cumulative, .upper_bound = bound});
  }
  histogram.sample_count = cumulative;
  histogram.sample_sum = Seconds(static_cast<double>(c.stall_us));
  f.AddHistogram(std::move(histogram));
}

void AddNode(Families& f, const MetricsSources& sources, const NodeSnapshot& s) {
  f.Gauge("build_info", "Always 1; the version is a label.");
  f.Add(1, {{"version", sources.version}});
  f.Gauge("tick_duration_seconds", "Of the last tick, its slices and what came between them.");
  f.Add(Seconds(static_cast<double>(s.last_tick_duration.count())));
  f.Gauge("last_tick_age_seconds", "Since the last tick ended.");
  f.Add(Seconds(static_cast<double>((sources.now() - s.at).count())));
  f.Counter("ticks_total", "Ticks of the control loop.").Add(static_cast<double>(s.tick));
  f.Counter("events_accepted_total", "Access, routing and step reports taken in.");
  f.Add(static_cast<double>(s.counters.events_accepted));
  f.Counter("events_dropped_total", "Reports dropped for want of room, by clients or the daemon.");
  f.Add(static_cast<double>(sources.events_dropped()));
  f.Counter("events_ignored_total", "Reports that spoke of unknown models or blocks.");
  f.Add(static_cast<double>(s.counters.events_ignored));
  f.Counter("config_reload_failures_total", "Configuration files refused after SIGHUP.");
  f.Add(static_cast<double>(sources.config_reload_failures()));
  f.Gauge("staging_buffers_used", "Bounce buffers that transfers hold.");
  f.Add(static_cast<double>(sources.staging_buffers_used()));
  f.Gauge("leases", "Leases held.").Add(static_cast<double>(s.leases));
  f.Gauge("sessions", "Engine processes attached.").Add(static_cast<double>(s.sessions.size()));
  double unhealthy = 0;
  for (const SessionSnapshot& session : s.sessions) unhealthy += session.unhealthy ? 1 : 0;
  f.Gauge("sessions_unhealthy", "Sessions that leave recalls unanswered.").Add(unhealthy);
  f.Gauge("models", "Models known.").Add(static_cast<double>(s.models.size()));
  f.Gauge("waiting_batches", "Batches that wait for blocks.");
  f.Add(static_cast<double>(s.waiting_batches));
  f.Gauge("live_transitions", "Transitions under way.");
  f.Add(static_cast<double>(s.live_transitions));
}

}  // namespace

std::vector<MetricFamily> CollectMetrics(const MetricsSources& sources) {
  const std::shared_ptr<const NodeSnapshot> snapshot = sources.snapshot();
  Families families;
  AddNode(families, sources, *snapshot);
  AddPools(families, *snapshot);
  AddStates(families, *snapshot);
  AddMoves(families, snapshot->counters);
  AddLinks(families, *snapshot);
  AddAcquires(families, snapshot->counters);
  return families.Take();
}

class MetricsEndpoint::Source final : public prometheus::Collectable {
 public:
  explicit Source(MetricsSources sources) : sources_(std::move(sources)) {}
  std::vector<MetricFamily> Collect() const override { return CollectMetrics(sources_); }

 private:
  const MetricsSources sources_;
};

absl::StatusOr<std::unique_ptr<MetricsEndpoint>> MetricsEndpoint::Start(const std::string& listen,
                                                                        MetricsSources sources) {
  std::unique_ptr<MetricsEndpoint> endpoint(new MetricsEndpoint());
  endpoint->source_ = std::make_shared<Source>(std::move(sources));
  try {  // the library reports a busy port by throwing
    endpoint->exposer_ = std::make_unique<prometheus::Exposer>(listen, 1);
  } catch (const std::exception& error) {
    return absl::UnavailableError(
        absl::StrCat("metrics.listen: can't listen on ", listen, ": ", error.what()));
  }
  endpoint->exposer_->RegisterCollectable(endpoint->source_);
  return endpoint;
}

MetricsEndpoint::~MetricsEndpoint() = default;

}  // namespace residency
