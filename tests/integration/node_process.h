// A real residencyd as a child process, on a configuration and directories of its own.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "residency/v1/operator.pb.h"

namespace residency::testing {

struct NodeOptions {
  std::string hbm = "16MiB";
  std::string hbm_segment = "4MiB";
  std::string dram = "32MiB";
  std::string dram_segment = "4MiB";
  std::string nvme = "64MiB";
  std::string nvme_path{};                  // empty: in the directory
  std::vector<std::string> recipe_roots{};  // empty: the directory itself
  std::string socket_mode = "0660";
  std::string dram_extra{};  // more keys of [pools.dram]
  std::string nvme_extra{};  // and of [[pools.nvme]]
  // TOML appended as it is. Unless it has a [metrics] table, there is no metrics endpoint.
  std::string extra{};
};

class NodeProcess {
 public:
  // Makes a fresh directory and writes the configuration; does not start anything.
  explicit NodeProcess(NodeOptions options = {});
  // Ends the daemon (SIGKILL if it must) and removes the directory.
  ~NodeProcess();

  // Starts and waits until it serves and its controller ticks; a test failure otherwise, with the
  // log.
  void Start();
  // Starts and expects it to exit by itself; returns the exit status. The log tells why.
  int StartExpectingExit();
  void Kill();      // SIGKILL, and waits
  int Terminate();  // SIGTERM, and waits; the exit status
  void Signal(int signal);
  int AwaitExit();  // of a daemon that is about to; the exit status

  const std::string& directory() const { return directory_; }
  std::string runtime_dir() const { return directory_ + "/run"; }
  std::string state_dir() const { return directory_ + "/state"; }
  std::string nvme_path() const;
  std::string config_path() const { return directory_ + "/residencyd.toml"; }
  pid_t pid() const { return pid_; }
  bool running();

  // The operator port. A test failure if it does not answer.
  v1::GetStatusResponse Status();
  v1::BlockInfo Block(const std::string& name);
  std::vector<v1::BlockInfo> Blocks();  // all of them
  // Runs residencyctl with these arguments; what it printed, errors too, and the exit status in
  // `status`.
  std::string Ctl(const std::vector<std::string>& arguments, int* status = nullptr);
  // What the daemon has logged so far.
  std::string Log() const;
  // Lines of the log at warning level or above that contain none of `expected`. The destructor
  // fails the test on any that contains nothing of what ExpectWarnings named.
  std::vector<std::string> UnexpectedWarnings(const std::vector<std::string>& expected) const;
  void ExpectWarnings(std::vector<std::string> expected) { expected_ = std::move(expected); }

 private:
  void Spawn();
  std::string log_path() const { return directory_ + "/residencyd.log"; }

  NodeOptions options_;
  std::string directory_;
  pid_t pid_ = -1;
  int exit_status_ = -1;
  std::vector<std::string> expected_;
};

// Waits until `condition` holds, looking every few milliseconds; false after `deadline`.
bool WaitFor(const std::function<bool()>& condition,
             std::chrono::milliseconds deadline = std::chrono::seconds(20));

// A small engine as a child process, driven line by line over pipes; see engine_main.cc for the
// commands. Every answer is one line, "ok ..." or "error CODE message".
class EngineProcess {
 public:
  // `uid`: run as another user, if not negative (needs root).
  explicit EngineProcess(const std::string& runtime_dir, int uid = -1);
  ~EngineProcess();  // SIGKILL if it still runs

  // Sends a command and returns its answer; "error deadline ..." after `deadline`.
  std::string Do(const std::string& command,
                 std::chrono::milliseconds deadline = std::chrono::seconds(30));
  // Sends without waiting; Answer() gets the next answer.
  void Send(const std::string& command);
  std::string Answer(std::chrono::milliseconds deadline = std::chrono::seconds(30));
  void Kill();
  void Signal(int signal);
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int to_ = -1;
  int from_ = -1;
  std::string buffered_;
};

}  // namespace residency::testing
