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
    : client_(client), model_(model), trace_(trace), hashes_(hashes), options_(options) {
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

std::vector<uint32_t> Replay::Choose(const TraceRequest& request, uint32_t token,
                                     int32_t layer) const {
  const uint32_t trace_layer = static_cast<uint32_t>(layer) % trace_.header.layers;
  const auto experts = static_cast<uint32_t>(model_.experts(layer));
  std::vector<uint32_t> chosen;
  for (const uint16_t expert : request.Experts(token, trace_layer)) {
    const uint32_t mapped = expert % experts;
    if (std::find(chosen.begin(), chosen.end(), mapped) == chosen.end()) chosen.push_back(mapped);
  }
  return chosen;
}

absl::Status Replay::RunLayer(const TraceRequest& request, uint32_t token, int32_t layer) {
  const auto dense = model_.Dense(layer);
  std::vector<BlockId> needed(dense.begin(), dense.end());
  if (!needed.empty()) client_.ReportAccess(model_, Phase::kDecode, needed);
  if (model_.experts(layer) > 0) {
    const std::vector<uint32_t> chosen = Choose(request, token, layer);
    const uint64_t id = request.id;
    client_.ReportRouting(model_, static_cast<uint32_t>(layer), Phase::kDecode, {&id, 1},
                          static_cast<uint32_t>(chosen.size()), chosen);
    for (const uint32_t expert : chosen) {
      const auto blocks = model_.Expert(layer, static_cast<int32_t>(expert));
      needed.insert(needed.end(), blocks.begin(), blocks.end());
    }
  }
  return LeaseAndCheck(needed);
}

absl::Status Replay::LeaseAndCheck(const std::vector<BlockId>& blocks) {
  auto begin = Clock::now();
  auto leases = client_.Acquire(blocks, {.deadline = options_.acquire_deadline});
  figures_.stalled += Since(begin);
  if (!leases.ok()) return leases.status();

  begin = Clock::now();
  for (const Lease& lease : *leases) Check(lease);
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
  const uint64_t expected = hashes_.at(static_cast<uint32_t>(lease.block()));
  const bool right = lease.size() == model_.block(lease.block()).bytes &&
                     internal::Xxh3(lease.data(), lease.size()) == expected;
  if (!right) figures_.wrong_bytes += lease.size();
}

}  // namespace residency::demo
