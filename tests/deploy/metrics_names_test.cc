// Alerts and dashboard name metrics and labels; here they are held against what the daemon exports.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/metric_family.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "daemon/metrics.h"

namespace residency {
namespace {

using ::testing::IsEmpty;
using Names = std::set<std::string>;

// Names of labels by the name of the metric, as a query writes it.
using Exported = std::map<std::string, Names>;

// A snapshot of which every family has a sample.
NodeSnapshot FullSnapshot() {
  NodeSnapshot snapshot;
  snapshot.pools.emplace_back();
  for (const Link& link : LinksOf({{PoolId(0), Tier::kHbm}, {PoolId(1), Tier::kNvme}})) {
    snapshot.links.push_back({.link = link, .figures = {}});
  }
  snapshot.counters.vetoes.Count(VetoReason::kPinned, ResidencyState::kS0FullHbm,
                                 ResidencyState::kS3Dram);
  return snapshot;
}

Exported WhatIsExported() {
  const auto snapshot = std::make_shared<const NodeSnapshot>(FullSnapshot());
  const auto families = CollectMetrics({.snapshot = [snapshot] { return snapshot; },
                                        .now = [] { return TimePoint(); },
                                        .events_dropped = [] { return uint64_t{0}; },
                                        .config_reload_failures = [] { return uint64_t{0}; },
                                        .staging_buffers_used = [] { return uint64_t{0}; },
                                        .version = "0"});
  // Prometheus makes up the first and adds these labels to all.
  Exported exported = {{"up", {"instance", "job"}}};
  for (const prometheus::MetricFamily& family : families) {
    Names labels = {"instance", "job"};
    for (const prometheus::ClientMetric& metric : family.metric) {
      for (const auto& label : metric.label) labels.insert(label.name);
    }
    if (family.type != prometheus::MetricType::Histogram) {
      exported[family.name] = labels;
      continue;
    }
    exported[family.name + "_sum"] = exported[family.name + "_count"] = labels;
    labels.insert("le");
    exported[family.name + "_bucket"] = labels;
  }
  return exported;
}

std::string Read(const std::string& path) {
  std::ifstream in(std::string(RESIDENCY_SOURCE_DIR) + "/" + path);
  std::stringstream text;
  text << in.rdbuf();
  EXPECT_FALSE(text.str().empty()) << path;
  return text.str();
}

std::vector<std::smatch> Matches(const std::string& text, const std::regex& pattern) {
  return {std::sregex_iterator(text.begin(), text.end(), pattern), std::sregex_iterator()};
}

// What is wrong with the selectors of a query: NAME or NAME{LABEL="...", ...}.
std::vector<std::string> Problems(const std::string& query, const Exported& exported) {
  static const std::regex kSelector(R"re((\bup\b|\bresidency_[a-z0-9_]+)(\{[^}]*\})?)re");
  static const std::regex kLabel(R"re(([a-z_]+)\s*(=~|!~|!=|=)\s*")re");
  std::vector<std::string> problems;
  for (const std::smatch& selector : Matches(query, kSelector)) {
    const auto metric = exported.find(selector[1]);
    if (metric == exported.end()) {
      problems.push_back(absl::StrCat("no metric ", selector[1].str()));
      continue;
    }
    const std::string labels = selector[2];
    for (const std::smatch& label : Matches(labels, kLabel)) {
      if (metric->second.contains(label[1])) continue;
      problems.push_back(absl::StrCat(metric->first, " has no label ", label[1].str()));
    }
  }
  return problems;
}

std::vector<std::string> DashboardQueries() {
  const nlohmann::json dashboard = nlohmann::json::parse(Read("deploy/grafana/residencyd.json"));
  std::vector<std::string> queries;
  for (const auto& panel : dashboard.at("panels")) {
    for (const auto& target : panel.value("targets", nlohmann::json::array())) {
      queries.push_back(target.at("expr"));
    }
  }
  for (const auto& variable : dashboard.at("templating").at("list")) {
    queries.push_back(variable.value("definition", ""));
  }
  return queries;
}

TEST(DeployMetricsTest, EveryQueryOfTheDashboardNamesWhatIsExported) {
  const Exported exported = WhatIsExported();
  for (const std::string& query : DashboardQueries()) {
    EXPECT_THAT(Problems(query, exported), IsEmpty()) << query;
  }
}

TEST(DeployMetricsTest, EveryAlertNamesWhatIsExported) {
  const Exported exported = WhatIsExported();
  EXPECT_THAT(Problems(Read("deploy/prometheus/residencyd.rules.yml"), exported), IsEmpty());
}

TEST(DeployMetricsTest, TheTestsOfAlertsNameWhatIsExported) {
  const Exported exported = WhatIsExported();
  EXPECT_THAT(Problems(Read("deploy/prometheus/residencyd.rules_test.yml"), exported), IsEmpty());
}

// A metric that nobody looks at is either missing from the dashboard or should not be exported.
TEST(DeployMetricsTest, TheDashboardShowsEveryMetric) {
  std::string queries;
  for (const std::string& query : DashboardQueries()) absl::StrAppend(&queries, query, "\n");
  for (const auto& [name, labels] : WhatIsExported()) {
    // Of a histogram the buckets are shown.
    if (absl::EndsWith(name, "_sum") || absl::EndsWith(name, "_count")) continue;
    EXPECT_TRUE(absl::StrContains(queries, name)) << name << " is on no panel";
  }
}

TEST(DeployMetricsTest, AWrongNameOrLabelIsFound) {
  const Exported exported = WhatIsExported();
  EXPECT_THAT(Problems("rate(residency_promotion_total[5m])", exported),
              ::testing::ElementsAre("no metric residency_promotion_total"));
  EXPECT_THAT(Problems(R"(sum by (tier) (residency_blocks{tier="hbm"}))", exported),
              ::testing::ElementsAre("residency_blocks has no label tier"));
  EXPECT_THAT(Problems(R"(residency_acquire_latency_seconds_bucket{le="0.1"})", exported),
              IsEmpty());
}

}  // namespace
}  // namespace residency
