#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "tests/integration/child_process.h"
#include "tests/integration/node_process.h"

namespace residency::testing {

EngineProcess::EngineProcess(const std::string& runtime_dir, int uid) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    ADD_FAILURE() << "no socket pair for an engine";
    return;
  }
  pid_ = StartChild(
      {.arguments = {TEST_ENGINE_PROGRAM, runtime_dir}, .in = ends[1], .out = ends[1], .uid = uid});
  close(ends[1]);
  to_ = from_ = ends[0];
}

EngineProcess::~EngineProcess() {
  Kill();
  if (to_ >= 0) close(to_);
}

std::string EngineProcess::Do(const std::string& command, std::chrono::milliseconds deadline) {
  Send(command);
  return Answer(deadline);
}

void EngineProcess::Send(const std::string& command) {
  const std::string line = command + "\n";
  for (size_t sent = 0; sent < line.size();) {
    const ssize_t n = send(to_, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return;  // the engine has gone; the answer says so
    sent += static_cast<size_t>(n);
  }
}

std::string EngineProcess::Answer(std::chrono::milliseconds deadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  for (;;) {
    if (const size_t newline = buffered_.find('\n'); newline != std::string::npos) {
      std::string line = buffered_.substr(0, newline);
      buffered_.erase(0, newline + 1);
      return line;
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    pollfd readable = {.fd = from_, .events = POLLIN, .revents = 0};
    const auto wait = static_cast<int>(std::max<int64_t>(left.count(), 0));
    if (poll(&readable, 1, wait) == 0) return "error deadline the engine did not answer in time";
    char bytes[4096];
    const ssize_t n = read(from_, bytes, sizeof(bytes));
    if (n <= 0) return "error gone the engine has ended";
    buffered_.append(bytes, static_cast<size_t>(n));
  }
}

void EngineProcess::Kill() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void EngineProcess::Signal(int signal) {
  if (pid_ > 0) kill(pid_, signal);
}

}  // namespace residency::testing
