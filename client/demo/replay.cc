#include "client/demo/replay.h"

#include <algorithm>

#include "client/xxh.h"

namespace residency::demo {
namespace {

using Clock = std::chrono::steady_clock;

std::chrono::microseconds Since(Clock::time_point begin) {
  return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin);
}

}  // namespace

Replay::Replay(Client& client, const Model& model, const Trace& trace, const BlockHashes& hashes,
               ReplayOptions options)
    : client_(client),
      model_(model),
      trace_(trace),
      hashes_(hashes),
      options_(options),
      lowbit_check_(model) {
  for (int32_t layer = 0; layer < model.layers(); ++layer) {
    if (!model.Dense(layer).empty() || model.experts(layer) > 0) layers_.push_back(layer);
  }
}

absl::Status Replay::Run(const std::function<bool(const ReplayFigures&)>& keep_going) {
  const auto begin = Clock::now();
  uint64_t step = 0;
  for (const TraceRequest& request : trace_.requests) {
    for (uint32_t token = 0; token < request.tokens; ++token) {
      if (figures_.tokens >= options_.tokens) return absl::OkStatus();
      const absl::Status status = RunToken(request, token, step++);
      figures_.wall = Since(begin);
      if (!status.ok()) return status;
      ++figures_.tokens;
      if (!keep_going(figures_)) return absl::CancelledError("interrupted");
    }
  }
  return absl::OkStatus();
}

absl::Status Replay::RunToken(const TraceRequest& request, uint32_t token, uint64_t step) {
  const Phase phase = token < request.prompt_tokens ? Phase::kPrefill : Phase::kDecode;
  client_.StepBegin(model_, step, phase);
  for (const int32_t layer : layers_) {
    if (absl::Status status = RunLayer(request, token, layer); !status.ok()) return status;
  }
  const uint64_t id = request.id;
  const bool last = token + 1 == request.tokens;
  client_.StepEnd(model_, step, phase, {&id, last ? size_t{1} : size_t{0}});
  return absl::OkStatus();
}

std::vector<Replay::Choice> Replay::Choose(const TraceRequest& request, uint32_t token,
                                           int32_t layer) const {
  const uint32_t trace_layer = static_cast<uint32_t>(layer) % trace_.header.layers;
  const auto experts = static_cast<uint32_t>(model_.experts(layer));
  const auto chosen = request.Experts(token, trace_layer);
  const bool gated = trace_.header.has_gates() && !request.gates.empty();
  std::vector<Choice> choices;
  for (size_t rank = 0; rank < chosen.size(); ++rank) {
    const uint32_t mapped = chosen[rank] % experts;
    const double gate =
        gated ? static_cast<double>(request.Gates(token, trace_layer)[rank]) / kGateOne : 1;
    const auto known = std::find_if(choices.begin(), choices.end(),
                                    [&](const Choice& c) { return c.expert == mapped; });
    if (known != choices.end()) {
      known->gate += gate;
    } else {
      choices.push_back({mapped, gate});
    }
  }
  return choices;
}

absl::Status Replay::RunLayer(const TraceRequest& request, uint32_t token, int32_t layer) {
  const auto dense = model_.Dense(layer);
  std::vector<BlockId> needed(dense.begin(), dense.end());
  std::vector<double> gates;
  if (!needed.empty()) client_.ReportAccess(model_, Phase::kDecode, needed);
  if (model_.experts(layer) > 0) {
    std::vector<uint32_t> experts;
    for (const Choice& choice : Choose(request, token, layer)) {
      experts.push_back(choice.expert);
      const auto blocks = model_.Expert(layer, static_cast<int32_t>(choice.expert));
      needed.insert(needed.end(), blocks.begin(), blocks.end());
      const double share = choice.gate / static_cast<double>(std::max<size_t>(1, blocks.size()));
      gates.insert(gates.end(), blocks.size(), share);
    }
    const uint64_t id = request.id;
    client_.ReportRouting(model_, static_cast<uint32_t>(layer), Phase::kDecode, {&id, 1},
                          static_cast<uint32_t>(experts.size()), experts);
  }
  return LeaseAndCheck(needed, gates);
}

absl::Status Replay::LeaseAndCheck(const std::vector<BlockId>& blocks,
                                   const std::vector<double>& gates) {
  auto begin = Clock::now();
  auto leases = client_.Acquire(blocks, {.deadline = options_.acquire_deadline});
  figures_.stalled += Since(begin);
  if (!leases.ok()) return leases.status();

  begin = Clock::now();
  const size_t dense = leases->size() - gates.size();
  for (size_t i = 0; i < leases->size(); ++i) {
    const Lease& lease = (*leases)[i];
    Check(lease);
    if (i < dense) continue;
    figures_.gate_mass += gates[i - dense];
    if (lease.encoding() == Encoding::kLowbit) figures_.lowbit_gate_mass += gates[i - dense];
  }
  figures_.checked += Since(begin);

  begin = Clock::now();
  while (Since(begin) < options_.compute_per_layer) {
  }
  figures_.computed += Since(begin);
  return absl::OkStatus();
}

void Replay::Check(const Lease& lease) {
  ++figures_.leases;
  figures_.bytes_checked += lease.size();
  if (lease.encoding() == Encoding::kLowbit) {
    ++figures_.lowbit_leases;
    figures_.wrong_bytes += lowbit_check_.WrongBytes(lease);
    return;
  }
  const uint64_t expected = hashes_.at(static_cast<uint32_t>(lease.block()));
  const bool right = lease.size() == model_.block(lease.block()).bytes &&
                     internal::Xxh3(lease.data(), lease.size()) == expected;
  if (!right) figures_.wrong_bytes += lease.size();
}

}  // namespace residency::demo
