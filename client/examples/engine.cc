// The smallest engine: walks a checkpoint layer by layer, leasing what it "computes" with.
//
//   residency_example_engine CHECKPOINT [RUNTIME_DIR] [STEPS]
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <vector>

#include "residency/client.h"

namespace {

// Stands for a kernel: reads every byte.
uint64_t Compute(const residency::Lease& lease) {
  uint64_t sum = 0;
  for (std::byte byte : lease.bytes()) sum += std::to_integer<uint64_t>(byte);
  return sum;
}

// Stands for the router: two experts of the layer, changing slowly.
std::vector<uint32_t> Route(uint32_t experts, uint64_t step) {
  const auto first = static_cast<uint32_t>(step / 4 % experts);
  return {first, (first + 1) % experts};
}

// What the layer needs: its dense blocks and the experts routed to.
absl::StatusOr<uint64_t> RunLayer(residency::Client& client, const residency::Model& model,
                                  uint64_t step, int32_t layer) {
  std::vector<residency::BlockId> needed(model.Dense(layer).begin(), model.Dense(layer).end());
  if (model.experts(layer) > 1) {
    const uint64_t request = 1;
    std::vector<uint32_t> chosen = Route(static_cast<uint32_t>(model.experts(layer)), step);
    client.ReportRouting(model, static_cast<uint32_t>(layer), residency::Phase::kDecode,
                         {&request, 1}, 2, chosen);
    for (uint32_t expert : chosen) {
      auto blocks = model.Expert(layer, static_cast<int32_t>(expert));
      needed.insert(needed.end(), blocks.begin(), blocks.end());
    }
  }
  if (needed.empty()) return 0;
  client.ReportAccess(model, residency::Phase::kDecode, needed);
  residency::AcquireResult leases = client.Acquire(needed);
  if (!leases.ok()) return leases.status();
  uint64_t sum = 0;
  for (const residency::Lease& lease : *leases) sum += Compute(lease);
  return sum;  // the leases end here and stay in the cache
}

absl::Status Run(const char* checkpoint, const char* runtime_dir, uint64_t steps) {
  auto client = residency::Client::Connect({.runtime_dir = runtime_dir, .name = "example"});
  if (!client.ok()) return client.status();
  auto model = (*client)->AttachCheckpoint(checkpoint, {});
  if (!model.ok()) return model.status();
  for (uint64_t step = 0; step < steps; ++step) {
    (*client)->StepBegin(*model, step, residency::Phase::kDecode);
    uint64_t sum = 0;
    for (int32_t layer = -1; layer < model->layers(); ++layer) {
      auto layer_sum = RunLayer(**client, *model, step, layer);
      if (!layer_sum.ok()) return layer_sum.status();
      sum += *layer_sum;
    }
    (*client)->StepEnd(*model, step, residency::Phase::kDecode);
    std::cout << "step " << step << ": bytes sum to " << sum << "\n";
  }
  residency::ClientStats stats = (*client)->Stats();
  std::cout << stats.local_hits << " hits without an RPC, " << stats.misses << " misses, "
            << stats.recalls << " recalls, " << stats.reports_dropped << " reports dropped\n";
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::cerr << "usage: engine CHECKPOINT [RUNTIME_DIR] [STEPS]\n", 2;
  const uint64_t steps = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 16;
  absl::Status status = Run(argv[1], argc > 2 ? argv[2] : "", steps);
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
