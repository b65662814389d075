#include "tests/integration/child_process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace residency::testing {
namespace {

constexpr int kNotStarted = 127;

// Between fork and exec only system calls: gRPC has threads in this process.
[[noreturn]] void BecomeProgram(const ChildOptions& options, char* const* argv) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  if (options.in >= 0) dup2(options.in, STDIN_FILENO);
  if (options.out >= 0) dup2(options.out, STDOUT_FILENO);
  if (options.err >= 0) dup2(options.err, STDERR_FILENO);
  if (options.uid >= 0) {
    // The raw calls: glibc's want to change other threads too, and there are none here.
    if (syscall(SYS_setgroups, 0, nullptr) != 0 || syscall(SYS_setgid, options.uid) != 0 ||
        syscall(SYS_setuid, options.uid) != 0) {
      _exit(kNotStarted);
    }
  }
  // After setuid, which clears it.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  execv(argv[0], argv);
  _exit(kNotStarted);
}

}  // namespace

pid_t StartChild(const ChildOptions& options) {
  std::vector<char*> argv;
  for (const std::string& argument : options.arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  const pid_t pid = _Fork();  // without the handlers that gRPC hangs on fork()
  if (pid == 0) BecomeProgram(options, argv.data());
  if (pid < 0) ADD_FAILURE() << "can't fork: " << std::strerror(errno);
  return pid;
}

int WaitStatusIfEnded(pid_t pid) {
  int status = 0;
  return waitpid(pid, &status, WNOHANG) == pid ? status : -1;
}

int ExitStatus(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

}  // namespace residency::testing
