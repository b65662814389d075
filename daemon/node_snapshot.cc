#include "daemon/node_snapshot.h"

#include <algorithm>

namespace residency {
namespace {

PoolSnapshot SnapshotOf(const Pool& pool, Bytes leased, const std::string& backend) {
  return {.id = pool.id(),
          .tier = pool.tier(),
          .name = pool.options().name,
          .backend = backend,
          .capacity = pool.capacity(),
          .segment_bytes = pool.options().segment_bytes,
          .used = pool.used(),
          .reserved = pool.reserved(),
          .leased = leased,
          .demand_reserve = pool.demand_reserve(),
          .pressure = pool.pressure(),
          .fragmentation = pool.fragmentation()};
}

}  // namespace

std::shared_ptr<const NodeSnapshot> TakeSnapshot(const Controller& controller,
                                                 const std::vector<std::string>& backends,
                                                 TimePoint now, Micros last_tick_duration) {
  const ControllerState& s = controller.state();
  auto snapshot = std::make_shared<NodeSnapshot>();
  snapshot->at = now;
  snapshot->tick = s.tick;
  snapshot->last_tick_duration = last_tick_duration;
  snapshot->draining = s.draining;
  snapshot->stage_problem = controller.stage_problem();
  for (const auto& pool : s.table.pools()) {
    const size_t index = pool->id().value();
    snapshot->pools.push_back(SnapshotOf(*pool, s.table.leased_bytes(pool->id()),
                                         index < backends.size() ? backends[index] : ""));
  }
  for (const Link& link : s.links.links()) {
    snapshot->links.push_back({link, s.links.figures(link.id)});
  }
  for (uint32_t i = 0; i < s.table.model_count(); ++i) {
    const Model& model = s.table.model(ModelId(i));
    snapshot->models.push_back({.id = model.id,
                                .domain = model.domain,
                                .name = model.name,
                                .fingerprint = model.fingerprint,
                                .blocks = model.blocks.size(),
                                .bytes = model.bytes,
                                .activity = controller.ActivityOf(model.id),
                                .sessions = i < s.models.size() ? s.models[i].sessions : 0});
  }
  for (const auto& [id, session] : s.sessions) {
    snapshot->sessions.push_back({.id = id,
                                  .domain = session.domain,
                                  .leases = session.leases.size(),
                                  .leased = session.leased,
                                  .max_leased = session.max_leased,
                                  .recalls_open = session.recalls_open,
                                  .unhealthy = session.unhealthy,
                                  .models = {session.models.begin(), session.models.end()}});
    std::sort(snapshot->sessions.back().models.begin(), snapshot->sessions.back().models.end());
  }
  std::sort(snapshot->sessions.begin(), snapshot->sessions.end(),
            [](const SessionSnapshot& a, const SessionSnapshot& b) { return a.id < b.id; });
  snapshot->states = s.table.state_totals();
  snapshot->counters = s.counters;
  snapshot->blocks = s.table.block_count();
  snapshot->lost_blocks = s.table.lost_blocks();
  snapshot->leases = s.table.leases().size();
  snapshot->waiting_batches = controller.waiting_batches();
  snapshot->live_transitions = s.table.live().size();
  return snapshot;
}

}  // namespace residency
