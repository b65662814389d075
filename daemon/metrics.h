// The Prometheus endpoint. Everything is read from the latest snapshot when it is scraped: nothing
// is counted twice, and a scrape never waits for the controller.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/clock.h"
#include "daemon/node_snapshot.h"

namespace prometheus {
class Exposer;
struct MetricFamily;
}  // namespace prometheus

namespace residency {

struct MetricsSources {
  std::function<std::shared_ptr<const NodeSnapshot>()> snapshot;
  std::function<TimePoint()> now;
  // Reports that found the mailbox full, or that clients had to drop.
  std::function<uint64_t()> events_dropped;
  std::function<uint64_t()> config_reload_failures;
  std::function<uint64_t()> staging_buffers_used;
  std::string version;
};

// All families, from one snapshot.
std::vector<prometheus::MetricFamily> CollectMetrics(const MetricsSources& sources);

class MetricsEndpoint {
 public:
  // `listen`: "host:port". Unavailable if it can't be bound.
  static absl::StatusOr<std::unique_ptr<MetricsEndpoint>> Start(const std::string& listen,
                                                                MetricsSources sources);
  ~MetricsEndpoint();

 private:
  class Source;
  MetricsEndpoint() = default;
  std::shared_ptr<Source> source_;
  std::unique_ptr<prometheus::Exposer> exposer_;
};

}  // namespace residency
