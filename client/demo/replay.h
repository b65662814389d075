// An engine that computes nothing and checks everything: it replays a routing trace against a live
// daemon, leases what each layer needs, and compares every byte of it with the checkpoint.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "client/demo/block_hashes.h"
#include "client/demo/lowbit_check.h"
#include "residency/client.h"
#include "sim/trace.h"

namespace residency::demo {

struct ReplayOptions {
  uint64_t tokens = 400;
  std::chrono::microseconds compute_per_layer{200};  // spent spinning, as a kernel would
  absl::Duration acquire_deadline = absl::Seconds(30);
};

struct ReplayFigures {
  uint64_t tokens = 0;
  uint64_t leases = 0;
  uint64_t bytes_checked = 0;
  // Bytes of blocks whose hash differed, and of elements that were further off than low-bit may be.
  uint64_t wrong_bytes = 0;
  uint64_t lowbit_leases = 0;
  double gate_mass = 0;  // of the router's choices; each counts 1 where the trace has no gates
  double lowbit_gate_mass = 0;           // of those served low-bit, wholly or in part
  std::chrono::microseconds stalled{0};  // waiting for leases
  std::chrono::microseconds computed{0};
  std::chrono::microseconds checked{0};
  std::chrono::microseconds wall{0};
};

// The trace's layers and experts are laid over the model's, modulo theirs. A model without experts
// is walked layer by layer.
class Replay {
 public:
  // All are kept by reference.
  Replay(Client& client, const Model& model, const Trace& trace, const BlockHashes& hashes,
         ReplayOptions options);

  // Replays until the tokens are done, the trace is, or `keep_going` says no; it is asked after
  // every token. Figures are good whatever the status.
  absl::Status Run(const std::function<bool(const ReplayFigures&)>& keep_going);
  const ReplayFigures& figures() const { return figures_; }

 private:
  absl::Status RunToken(const TraceRequest& request, uint32_t token, uint64_t step);
  absl::Status RunLayer(const TraceRequest& request, uint32_t token, int32_t layer);
  // One choice of the router: an expert and what it weighs.
  struct Choice {
    uint32_t expert = 0;
    double gate = 1;
  };
  // The experts of the model that the trace's choice stands for, each once.
  std::vector<Choice> Choose(const TraceRequest& request, uint32_t token, int32_t layer) const;
  // `gates` weighs the last blocks, one each.
  absl::Status LeaseAndCheck(const std::vector<BlockId>& blocks, const std::vector<double>& gates);
  void Check(const Lease& lease);

  Client& client_;
  const Model& model_;
  const Trace& trace_;
  const BlockHashes& hashes_;
  const ReplayOptions options_;
  std::vector<int32_t> layers_;  // of the model that hold blocks
  LowbitCheck lowbit_check_;
  ReplayFigures figures_;
};

}  // namespace residency::demo
