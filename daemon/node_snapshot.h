// What readers see of the node without asking the controller: made once a tick, never changed.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/pool.h"
#include "core/residency_table.h"
#include "policy/controller.h"
#include "policy/counters.h"
#include "policy/link_model.h"

namespace residency {

struct PoolSnapshot {
  PoolId id;
  Tier tier = Tier::kDram;
  std::string name;
  std::string backend;  // "host", "memfd", "io_uring, O_DIRECT"; and why
  Bytes capacity;
  Bytes segment_bytes;
  Bytes used;
  Bytes reserved;
  Bytes leased;
  Bytes demand_reserve;
  double pressure = 0;
  double fragmentation = 0;
};

struct LinkSnapshot {
  Link link;
  LinkModel::Figures figures;
};

struct ModelSnapshot {
  ModelId id;
  DomainId domain;
  std::string name;
  std::string fingerprint;
  uint64_t blocks = 0;
  Bytes bytes;
  double activity = 0;
  int sessions = 0;
};

struct SessionSnapshot {
  SessionId id;
  DomainId domain;
  uint64_t leases = 0;
  Bytes leased;
  Bytes max_leased;
  uint32_t recalls_open = 0;
  bool unhealthy = false;
  std::vector<ModelId> models;  // attached
};

struct NodeSnapshot {
  TimePoint at;
  uint64_t tick = 0;
  Micros last_tick_duration{0};
  bool draining = false;
  std::string stage_problem;
  std::vector<PoolSnapshot> pools;
  std::vector<LinkSnapshot> links;
  std::vector<ModelSnapshot> models;
  std::vector<SessionSnapshot> sessions;
  std::array<StateTotal, kStateCount> states{};
  Counters counters;
  uint64_t blocks = 0;
  uint64_t lost_blocks = 0;
  uint64_t leases = 0;
  uint64_t waiting_batches = 0;
  uint64_t live_transitions = 0;
};

// `backends`: by pool. Copies what readers may want; proportional to pools, links, models and
// sessions, never to blocks.
std::shared_ptr<const NodeSnapshot> TakeSnapshot(const Controller& controller,
                                                 const std::vector<std::string>& backends,
                                                 TimePoint now, Micros last_tick_duration);

}  // namespace residency
