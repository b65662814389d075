#include "daemon/convert_status.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "daemon/convert.h"

namespace residency {
namespace {

constexpr size_t kSessionsNamedMax = 8;

uint64_t AtLeastZero(int64_t count) { return count > 0 ? static_cast<uint64_t>(count) : 0; }

std::string SessionProblem(const SessionSnapshot& session) {
  if (!session.unhealthy) return "";
  return absl::StrCat(session.recalls_open,
                      " recalled leases have not come back in time: they count as in use until "
                      "the process returns them or exits");
}

void AddProblems(const NodeSnapshot& snapshot, Micros tick_age, v1::GetStatusResponse& status) {
  if (tick_age > kTickAgeMax) {
    status.add_problems(absl::StrCat("the controller has not ticked for ", tick_age.count() / 1000,
                                     " ms: it is stuck or starved"));
  }
  if (!snapshot.stage_problem.empty()) {
    status.add_problems(
        absl::StrCat("writing to disk in the background is suspended: ", snapshot.stage_problem));
  }
  if (snapshot.lost_blocks > 0) {
    status.add_problems(absl::StrCat(snapshot.lost_blocks,
                                     " blocks are lost, with neither a copy nor a recipe: engines "
                                     "must put their bytes again"));
  }
  size_t unhealthy = 0;
  for (const SessionSnapshot& session : snapshot.sessions) {
    if (!session.unhealthy || ++unhealthy > kSessionsNamedMax) continue;
    status.add_problems(
        absl::StrCat("session ", session.id.value(), ": ", SessionProblem(session)));
  }
  if (unhealthy > kSessionsNamedMax) {
    status.add_problems(
        absl::StrCat(unhealthy - kSessionsNamedMax, " more sessions leave recalls unanswered"));
  }
}

void AddNotes(const NodeSnapshot& snapshot, v1::GetStatusResponse& status) {
  for (const PoolSnapshot& pool : snapshot.pools) {
    status.add_notes(absl::StrCat("pool ", pool.name, " runs on ", pool.backend));
    if (pool.pressure < kNearlyFull) continue;
    status.add_notes(absl::StrCat("pool ", pool.name, " is nearly full: ",
                                  static_cast<int>(pool.pressure * 100), " % used or reserved"));
  }
}

void CountVetoes(const VetoCounts& vetoes, v1::Counters& proto) {
  for (int reason = 0; reason < kVetoReasonCount; ++reason) {
    for (int from = 0; from < kStateCount; ++from) {
      for (int to = 0; to < kStateCount; ++to) {
        const auto f = static_cast<ResidencyState>(from);
        const auto t = static_cast<ResidencyState>(to);
        const uint64_t count = vetoes.at(static_cast<VetoReason>(reason), f, t);
        if (count == 0) continue;
        v1::VetoCount& veto = *proto.add_vetoes();
        veto.set_reason(Name(static_cast<VetoReason>(reason)));
        veto.set_from(ToProto(f));
        veto.set_to(ToProto(t));
        veto.set_count(count);
      }
    }
  }
}

}  // namespace

v1::LinkStatus ToProto(const LinkSnapshot& link) {
  const LinkModel::Figures& figures = link.figures;
  v1::LinkStatus proto;
  proto.set_name(link.link.name);
  if (figures.measured) {
    proto.set_bytes_per_second(figures.bytes_per_us * 1e6);
    proto.set_latency_us(figures.latency_us);
  }
  proto.set_queued_bytes(
      std::accumulate(figures.queued_bytes.begin(), figures.queued_bytes.end(), uint64_t{0}));
  proto.set_demand_bytes(figures.moved_bytes[static_cast<int>(LinkClass::kDemand)]);
  proto.set_prefetch_bytes(figures.moved_bytes[static_cast<int>(LinkClass::kPrefetch)]);
  proto.set_rebalance_bytes(figures.moved_bytes[static_cast<int>(LinkClass::kRebalance)]);
  for (int i = 0; i < kLinkClassCount; ++i) {
    v1::LinkClassStatus& cls = *proto.add_classes();
    cls.set_name(Name(static_cast<LinkClass>(i)));
    cls.set_moved_bytes(figures.moved_bytes[i]);
    cls.set_queued_bytes(figures.queued_bytes[i]);
    cls.set_busy_us(static_cast<uint64_t>(figures.busy_seconds[i] * 1e6));
  }
  return proto;
}

v1::Counters CountersOf(const NodeSnapshot& snapshot, uint64_t reports_dropped) {
  const Counters& counters = snapshot.counters;
  v1::Counters proto;
  proto.set_promotions(counters.promotions);
  proto.set_demotions(counters.demotions);
  proto.set_stages(counters.stages);
  proto.set_prefetches_begun(counters.prefetches_begun);
  proto.set_prefetches_used(counters.prefetches_used);
  proto.set_prefetches_wasted(counters.prefetches_wasted);
  proto.set_acquires(counters.acquires);
  proto.set_acquires_hit(counters.acquires_hit);
  proto.set_acquires_failed(counters.acquires_failed);
  proto.set_recalls(counters.recalls);
  proto.set_events_accepted(counters.events_accepted);
  proto.set_events_dropped(reports_dropped);
  proto.set_checksum_failures(counters.checksum_failures);
  proto.set_lost_blocks(snapshot.lost_blocks);
  proto.set_stall_us(AtLeastZero(counters.stall_us));
  proto.set_transitions_cancelled(counters.transitions_cancelled);
  proto.set_protection_lost(counters.protection_lost);
  for (int i = 0; i < kStateCount; ++i) {
    v1::StateCount& served = *proto.add_served_from();
    served.set_state(ToProto(static_cast<ResidencyState>(i)));
    served.set_blocks(counters.served_from[i]);
    served.set_bytes(counters.served_bytes[i]);
  }
  CountVetoes(counters.vetoes, proto);
  return proto;
}

v1::ModelInfo ToProto(const ModelSnapshot& model) {
  v1::ModelInfo proto;
  proto.set_model_id(model.id.value());
  proto.set_name(model.name);
  proto.set_fingerprint(model.fingerprint);
  proto.set_domain(model.domain.value());
  proto.set_blocks(model.blocks);
  proto.set_bytes(model.bytes.count());
  proto.set_activity(model.activity);
  proto.set_sessions(static_cast<uint32_t>(AtLeastZero(model.sessions)));
  return proto;
}

void AddStates(const std::array<StateTotal, kStateCount>& totals,
               google::protobuf::RepeatedPtrField<v1::StateCount>& states) {
  for (int i = 0; i < kStateCount; ++i) {
    v1::StateCount& state = *states.Add();
    state.set_state(ToProto(static_cast<ResidencyState>(i)));
    state.set_blocks(totals[i].blocks);
    state.set_bytes(totals[i].bytes);
  }
}

std::vector<v1::SessionInfo> DescribeSessions(const std::vector<SessionInfo>& registered,
                                              const NodeSnapshot* snapshot,
                                              std::chrono::system_clock::time_point now) {
  std::vector<v1::SessionInfo> sessions;
  for (const SessionInfo& known : registered) {
    v1::SessionInfo& proto = sessions.emplace_back();
    proto.set_session_id(known.id.value());
    proto.set_domain(known.domain.value());
    proto.set_pid(known.pid);
    proto.set_process(known.process_name);
    proto.set_age_us(AtLeastZero(std::chrono::duration_cast<Micros>(now - known.opened).count()));
    proto.set_stream_open(known.stream_open);
    proto.set_events_accepted(known.counters.events_accepted);
    proto.set_events_dropped(known.counters.events_dropped);
    const SessionCounters& counters = known.counters;
    proto.set_acquires(counters.acquires);
    proto.set_acquires_waited(counters.acquires_waited);
    proto.set_acquires_failed(counters.acquires_failed);
    proto.set_stall_us(counters.stall_us);
    proto.set_acquires_waiting(counters.acquires_asked - counters.acquires);
    proto.set_healthy(true);
    if (snapshot == nullptr) continue;
    const auto it = std::ranges::find(snapshot->sessions, known.id, &SessionSnapshot::id);
    if (it == snapshot->sessions.end()) continue;  // opened since
    proto.set_leases(it->leases);
    proto.set_leased_bytes(it->leased.count());
    proto.set_max_leased_bytes(it->max_leased.count());
    proto.set_recalls_unanswered(it->recalls_open);
    proto.set_healthy(!it->unhealthy);
    proto.set_problem(SessionProblem(*it));
    for (const ModelId model : it->models) {
      const auto named = std::ranges::find(snapshot->models, model, &ModelSnapshot::id);
      if (named != snapshot->models.end()) proto.add_models(named->name);
    }
  }
  return sessions;
}

v1::GetStatusResponse DescribeStatus(const NodeSnapshot* snapshot,
                                     const std::vector<SessionInfo>& sessions,
                                     uint64_t reports_dropped, TimePoint now) {
  v1::GetStatusResponse status;
  status.set_uptime_us(AtLeastZero(now.time_since_epoch().count()));
  status.set_sessions(sessions.size());
  if (snapshot == nullptr) {
    status.add_problems("the controller has not ticked yet: the daemon is starting");
    return status;
  }
  const Micros tick_age = std::max(now - snapshot->at, Micros(0));
  AddProblems(*snapshot, tick_age, status);
  AddNotes(*snapshot, status);
  status.set_healthy(status.problems_size() == 0);
  status.set_draining(snapshot->draining);
  for (const PoolSnapshot& pool : snapshot->pools) *status.add_pools() = ToProto(pool);
  AddStates(snapshot->states, *status.mutable_states());
  for (const LinkSnapshot& link : snapshot->links) *status.add_links() = ToProto(link);
  *status.mutable_counters() = CountersOf(*snapshot, reports_dropped);
  status.set_models(snapshot->models.size());
  status.set_blocks(snapshot->blocks);
  status.set_leases(snapshot->leases);
  status.set_waiting_batches(snapshot->waiting_batches);
  status.set_live_transitions(snapshot->live_transitions);
  status.set_ticks(snapshot->tick);
  status.set_last_tick_us(AtLeastZero(snapshot->last_tick_duration.count()));
  status.set_last_tick_age_us(AtLeastZero(tick_age.count()));
  return status;
}

}  // namespace residency
