// residencyd: reads the configuration, starts the node, and waits for signals.
#include <signal.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "daemon/config.h"
#include "daemon/logging.h"
#include "daemon/node.h"
#include "daemon/version.h"

namespace residency {
namespace {

constexpr int kExitOk = 0;
constexpr int kExitError = 1;
constexpr int kExitUsage = 2;

// How often a drain looks whether all leases have gone.
constexpr Micros kDrainLook{50'000};

sigset_t HandledSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  return set;
}

// The next signal, or 0 after `timeout`.
int WaitForSignal(const sigset_t& set, Micros timeout) {
  const timespec wait{.tv_sec = timeout.count() / 1'000'000,
                      .tv_nsec = timeout.count() % 1'000'000 * 1000};
  const int signal = sigtimedwait(&set, nullptr, &wait);
  return signal > 0 ? signal : 0;
}

// Lets leases end, until none is left, the deadline passes, or a second signal comes.
void Drain(Node& node, const sigset_t& signals, Micros deadline) {
  node.BeginDrain();
  for (Micros waited{0}; waited < deadline && !node.Drained(); waited += kDrainLook) {
    const int signal = WaitForSignal(signals, kDrainLook);
    if (signal == SIGTERM || signal == SIGINT) {
      spdlog::info("{} again: ending at once", strsignal(signal));
      return;
    }
  }
  if (!node.Drained()) spdlog::warn("the drain deadline has passed with leases still held");
}

void Serve(Node& node, const std::string& config_path, const Config& config,
           const sigset_t& signals) {
  node.notifier().Ready("serving");
  spdlog::info("residencyd {} serves {}", kVersion, config.daemon.EngineSocketPath());
  for (;;) {
    const int signal = WaitForSignal(signals, Micros(200'000));
    if (signal == SIGHUP) {
      // What its own pools hold is not missing.
      const HostWithPools host(config.hbm.capacity + config.dram.capacity);
      node.Reload(LoadConfig(config_path, host));
    } else if (signal == SIGTERM || signal == SIGINT) {
      spdlog::info("{}: draining", strsignal(signal));
      return Drain(node, signals, config.limits.drain_deadline);
    } else if (node.drain_asked().count() > 0) {
      return Drain(node, signals, node.drain_asked());
    }
  }
}

int Run(const std::string& config_path, bool check_only) {
  const auto config = LoadConfig(config_path, ThisHost());
  if (!config.ok()) {
    std::fprintf(stderr, "residencyd: %s\n", std::string(config.status().message()).c_str());
    return kExitError;
  }
  if (check_only) {
    std::printf("%s: ok\n", config_path.c_str());
    return kExitOk;
  }
  // Before any thread is started: they inherit the mask.
  const sigset_t signals = HandledSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  SetUpLogging(config->daemon.log_level);

  auto node = Node::Start(*config);
  if (!node.ok()) {
    spdlog::error("{}", std::string(node.status().message()));
    return kExitError;
  }
  Serve(**node, config_path, *config, signals);
  node->reset();
  spdlog::info("ended");
  return kExitOk;
}

}  // namespace
}  // namespace residency

int main(int argc, char** argv) {
  CLI::App app{"residencyd owns the HBM, DRAM and NVMe pools of an inference node."};
  std::string config = "/etc/residencyd/residencyd.toml";
  bool check = false;
  app.add_option("-c,--config", config, "Configuration file")->capture_default_str();
  app.add_flag("--check-config", check, "Validate the configuration file and exit");
  app.set_version_flag("--version", residency::kVersion);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? residency::kExitOk : residency::kExitUsage;
  }
  return residency::Run(config, check);
}
