// residency_demo: the parts of scripts/demo that are programs.
//
//   residency_demo checkpoint OUT       writes a synthetic mixture-of-experts checkpoint
//   residency_demo plan CHECKPOINT      prints pool sizes for it, as NAME=VALUE lines
//   residency_demo replay CHECKPOINT    replays a routing trace against a running daemon
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <string>

#include "client/demo/block_hashes.h"
#include "client/demo/node_figures.h"
#include "client/demo/plan.h"
#include "client/demo/replay.h"
#include "client/synthetic_checkpoint.h"
#include "sim/rtrace.h"
#include "sim/synthetic_trace.h"

namespace residency::demo {
namespace {

std::atomic<bool> interrupted{false};

bool OnTerminal() { return isatty(STDERR_FILENO) != 0; }

// One line that moves, on a terminal only.
template <class... Args>
void Progress(const char* format, Args... args) {
  if (!OnTerminal()) return;
  std::fprintf(stderr, "\r\x1b[K  ");
  std::fprintf(stderr, format, args...);
  std::fflush(stderr);
}
void EndProgress() {
  if (OnTerminal()) std::fprintf(stderr, "\r\x1b[K");
}

int Failed(const absl::Status& status) {
  EndProgress();
  std::fprintf(stderr, "residency_demo: %s\n", std::string(status.message()).c_str());
  return status.code() == absl::StatusCode::kCancelled ? 130 : 1;
}

struct CheckpointArgs {
  std::string out;
  uint32_t layers = 24;
  uint32_t experts = 32;
  uint64_t mebibytes = 400;
  uint64_t seed = 1;
};

int WriteCheckpoint(const CheckpointArgs& args) {
  SyntheticCheckpointOptions options;
  options.layers = args.layers;
  options.experts = args.experts;
  options.expert_bytes = (args.mebibytes << 20) / (uint64_t{args.layers} * args.experts);
  options.seed = args.seed;
  options.progress = [](uint64_t done, uint64_t total) {
    Progress("writing weights: %llu of %llu MiB", static_cast<unsigned long long>(done >> 20),
             static_cast<unsigned long long>(total >> 20));
    return !interrupted.load();
  };
  const absl::Status status = WriteSyntheticCheckpoint(args.out, options);
  EndProgress();
  return status.ok() ? 0 : Failed(status);
}

int PrintPlan(const std::string& checkpoint, uint32_t top_k) {
  const auto plan = PlanReplay(checkpoint, top_k);
  if (!plan.ok()) return Failed(plan.status());
  const auto print = [](const char* name, uint64_t value) {
    std::printf("%s=%llu\n", name, static_cast<unsigned long long>(value));
  };
  print("BYTES", plan->bytes);
  print("HBM_BYTES", plan->hbm_bytes);
  print("DRAM_BYTES", plan->dram_bytes);
  print("NVME_BYTES", plan->nvme_bytes);
  print("HBM_RAISED", plan->hbm_raised ? 1 : 0);
  return 0;
}

struct ReplayArgs {
  std::string checkpoint;
  std::string runtime_dir;
  std::string trace;
  uint64_t tokens = 400;
  uint64_t compute_us = 200;
  uint64_t seed = 1;
  bool accept_lowbit = false;
};

absl::StatusOr<Trace> LoadTrace(const ReplayArgs& args) {
  if (!args.trace.empty()) return ReadTrace(args.trace);
  SyntheticTraceOptions options;
  options.tokens = std::max<uint64_t>(args.tokens, options.requests);
  options.seed = args.seed;
  return MakeSyntheticTrace(options);
}

bool ShowProgress(const ReplayFigures& figures, uint64_t tokens) {
  constexpr uint64_t kEvery = 8;
  if (figures.tokens % kEvery == 0) {
    const double seconds = static_cast<double>(figures.wall.count()) / 1e6;
    Progress(
        "token %llu of %llu, %.1f tokens/s, stall %.2f ms/token, wrong bytes: %llu",
        static_cast<unsigned long long>(figures.tokens), static_cast<unsigned long long>(tokens),
        static_cast<double>(figures.tokens) / seconds,
        static_cast<double>(figures.stalled.count()) / 1e3 / static_cast<double>(figures.tokens),
        static_cast<unsigned long long>(figures.wrong_bytes));
  }
  return !interrupted.load();
}

int RunReplay(const ReplayArgs& args) {
  const auto trace = LoadTrace(args);
  if (!trace.ok()) return Failed(trace.status());
  const auto plan = PlanReplay(args.checkpoint, trace->header.top_k);
  if (!plan.ok()) return Failed(plan.status());
  auto client = Client::Connect({.runtime_dir = args.runtime_dir, .name = "demo engine"});
  if (!client.ok()) return Failed(client.status());
  CheckpointOptions options;
  options.limits = {.max_leased_bytes = plan->batch_bytes, .max_batch_bytes = plan->batch_bytes};
  if (args.accept_lowbit) options.limits.accepts = Accepts::kHbmFull | Accepts::kHbmLowbit;
  const auto model = (*client)->AttachCheckpoint(args.checkpoint, options);
  if (!model.ok()) return Failed(model.status());
  const auto hashes = HashBlocks(*model, [&](uint64_t done) {
    Progress("hashing the checkpoint: %llu MiB", static_cast<unsigned long long>(done >> 20));
  });
  if (!hashes.ok()) return Failed(hashes.status());
  const std::string operator_socket = args.runtime_dir + "/operator.sock";
  const auto before = FetchStatus(operator_socket);
  if (!before.ok()) return Failed(before.status());

  const std::chrono::microseconds compute(args.compute_us);
  Replay replay(**client, *model, *trace, *hashes,
                {.tokens = args.tokens, .compute_per_layer = compute});
  const absl::Status status =
      replay.Run([&](const ReplayFigures& figures) { return ShowProgress(figures, args.tokens); });
  EndProgress();
  const auto after = FetchStatus(operator_socket);
  if (!after.ok()) return Failed(after.status());
  std::printf(
      "%s", RenderFigures(replay.figures(), (*client)->Stats(), *before, *after, compute).c_str());
  if (!status.ok()) return Failed(status);
  return replay.figures().wrong_bytes == 0 ? 0 : 1;
}

int Main(int argc, char** argv) {
  CLI::App app{"The programs behind scripts/demo."};
  app.require_subcommand(1);
  CheckpointArgs write;
  auto* const checkpoint = app.add_subcommand("checkpoint", "Write a synthetic checkpoint");
  checkpoint->add_option("out", write.out)->required();
  checkpoint->add_option("--layers", write.layers)->capture_default_str();
  checkpoint->add_option("--experts", write.experts)->capture_default_str();
  checkpoint->add_option("--mib", write.mebibytes, "Size of all experts")->capture_default_str();
  checkpoint->add_option("--seed", write.seed)->capture_default_str();
  std::string planned;
  uint32_t top_k = 4;
  auto* const plan = app.add_subcommand("plan", "Print pool sizes for a checkpoint");
  plan->add_option("checkpoint", planned)->required();
  plan->add_option("--top-k", top_k)->capture_default_str();
  ReplayArgs args;
  auto* const replay = app.add_subcommand("replay", "Replay a trace against a daemon");
  replay->add_option("checkpoint", args.checkpoint)->required();
  replay->add_option("--runtime-dir", args.runtime_dir, "The daemon's")->required();
  replay->add_option("--trace", args.trace, "RTRACE01 file; else a synthetic one");
  replay->add_option("--tokens", args.tokens)->capture_default_str();
  replay->add_option("--compute-us", args.compute_us, "A layer's compute time")
      ->capture_default_str();
  replay->add_flag("--accept-lowbit", args.accept_lowbit,
                   "The engine can compute with low-bit copies");
  replay->add_option("--seed", args.seed)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  if (*checkpoint) return WriteCheckpoint(write);
  if (*plan) return PrintPlan(planned, top_k);
  return RunReplay(args);
}

}  // namespace
}  // namespace residency::demo

int main(int argc, char** argv) {
  // The engine ends between two tokens, so that its leases go back in order.
  signal(SIGINT, [](int) { residency::demo::interrupted.store(true); });
  signal(SIGTERM, [](int) { residency::demo::interrupted.store(true); });
  return residency::demo::Main(argc, argv);
}
