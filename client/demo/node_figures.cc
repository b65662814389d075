#include "client/demo/node_figures.h"

#include <grpcpp/grpcpp.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "residency/v1/operator.grpc.pb.h"

namespace residency::demo {
namespace {

constexpr std::chrono::seconds kStatusDeadline{5};

class Table {
 public:
  void Row(const std::string& name, const std::string& value) {
    absl::StrAppendFormat(&text_, "  %-26s %s\n", name, value);
  }
  void Heading(const std::string& text) { absl::StrAppend(&text_, text, "\n"); }
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
};

std::string Short(v1::ResidencyState state) {
  const std::string name = v1::ResidencyState_Name(state);  // RESIDENCY_STATE_S0_FULL_HBM
  return name.size() > 18 ? name.substr(16, 2) : name;
}

std::map<v1::ResidencyState, uint64_t> ServedSince(const v1::GetStatusResponse& before,
                                                   const v1::GetStatusResponse& after) {
  std::map<v1::ResidencyState, uint64_t> served;
  for (const auto& count : after.counters().served_from()) served[count.state()] += count.blocks();
  for (const auto& count : before.counters().served_from()) served[count.state()] -= count.blocks();
  return served;
}

std::map<std::string, uint64_t> VetoesByReason(const v1::GetStatusResponse& status) {
  std::map<std::string, uint64_t> vetoes;
  for (const auto& veto : status.counters().vetoes()) vetoes[veto.reason()] += veto.count();
  return vetoes;
}

void AddEngine(Table& table, const ReplayFigures& replay, const ClientStats& client,
               std::chrono::microseconds compute_per_layer) {
  const double seconds = static_cast<double>(replay.wall.count()) / 1e6;
  const auto tokens = static_cast<double>(std::max<uint64_t>(1, replay.tokens));
  table.Heading("engine");
  table.Row("tokens", absl::StrCat(replay.tokens));
  table.Row("tokens/s", absl::StrFormat("%.1f", static_cast<double>(replay.tokens) / seconds));
  table.Row("stall ms/token",
            absl::StrFormat("%.3f", static_cast<double>(replay.stalled.count()) / 1e3 / tokens));
  table.Row("compute ms/token",
            absl::StrFormat("%.3f  (%d us a layer)",
                            static_cast<double>(replay.computed.count()) / 1e3 / tokens,
                            static_cast<int>(compute_per_layer.count())));
  table.Row("checking ms/token",
            absl::StrFormat("%.3f  (every byte, XXH3)",
                            static_cast<double>(replay.checked.count()) / 1e3 / tokens));
  table.Row("leases", absl::StrCat(replay.leases));
  table.Row("cache hits without an RPC", absl::StrCat(client.local_hits));
  table.Row("leases asked for",
            absl::StrFormat("%d in %d stream messages, %d unary calls", client.misses,
                            client.stream_messages_sent, client.unary_calls_sent));
  table.Row("reports dropped", absl::StrCat(client.reports_dropped));
  if (replay.lowbit_leases == 0) return;
  table.Row("leases served low-bit",
            absl::StrFormat("%d, with %.2f %% of the gate mass", replay.lowbit_leases,
                            100 * replay.lowbit_gate_mass / std::max(1e-12, replay.gate_mass)));
}

void AddNode(Table& table, const v1::GetStatusResponse& before,
             const v1::GetStatusResponse& after) {
  const v1::Counters& b = before.counters();
  const v1::Counters& a = after.counters();
  table.Heading("daemon");
  std::string served;
  for (const auto& [state, count] : ServedSince(before, after)) {
    if (count > 0) absl::StrAppend(&served, served.empty() ? "" : "  ", Short(state), " ", count);
  }
  table.Row("served by state", served);
  std::string states;
  for (const auto& state : after.states()) {
    absl::StrAppend(&states, states.empty() ? "" : "  ", Short(state.state()), " ", state.blocks());
  }
  table.Row("blocks by state now", states);
  table.Row("promotions, demotions",
            absl::StrCat(a.promotions() - b.promotions(), ", ", a.demotions() - b.demotions()));
  table.Row("stages", absl::StrCat(a.stages() - b.stages()));
  table.Row("prefetches", absl::StrFormat("%d begun, %d used, %d wasted",
                                          a.prefetches_begun() - b.prefetches_begun(),
                                          a.prefetches_used() - b.prefetches_used(),
                                          a.prefetches_wasted() - b.prefetches_wasted()));
  table.Row("recalls", absl::StrCat(a.recalls() - b.recalls()));
  std::string vetoes;
  for (const auto& [reason, count] : VetoesByReason(after)) {
    absl::StrAppend(&vetoes, vetoes.empty() ? "" : "  ", reason, " ", count);
  }
  table.Row("vetoes by reason", vetoes.empty() ? "none" : vetoes);
  for (const auto& link : after.links()) {
    const uint64_t bytes = link.demand_bytes() + link.prefetch_bytes() + link.rebalance_bytes();
    if (bytes == 0) continue;
    table.Row(absl::StrCat("link ", link.name()),
              absl::StrFormat("%.1f MB (demand %.1f, prefetch %.1f, rebalance %.1f) at %.2f GB/s",
                              bytes / 1e6, link.demand_bytes() / 1e6, link.prefetch_bytes() / 1e6,
                              link.rebalance_bytes() / 1e6, link.bytes_per_second() / 1e9));
  }
}

}  // namespace

absl::StatusOr<v1::GetStatusResponse> FetchStatus(const std::string& operator_socket) {
  const auto channel =
      grpc::CreateChannel("unix:" + operator_socket, grpc::InsecureChannelCredentials());
  const auto stub = v1::OperatorService::NewStub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kStatusDeadline);
  v1::GetStatusResponse response;
  const grpc::Status status = stub->GetStatus(&context, v1::GetStatusRequest(), &response);
  if (!status.ok()) {
    return absl::UnavailableError(
        absl::StrCat("no status from ", operator_socket, ": ", status.error_message()));
  }
  return response;
}

std::string RenderFigures(const ReplayFigures& replay, const ClientStats& client,
                          const v1::GetStatusResponse& before, const v1::GetStatusResponse& after,
                          std::chrono::microseconds compute_per_layer) {
  Table table;
  AddEngine(table, replay, client, compute_per_layer);
  AddNode(table, before, after);
  table.Heading("verdict");
  table.Row("bytes checked", absl::StrFormat("%.1f GB", replay.bytes_checked / 1e9));
  table.Row("wrong bytes:", absl::StrCat(replay.wrong_bytes));
  return table.Take();
}

}  // namespace residency::demo
