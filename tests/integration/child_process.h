// Starting a program that ends, at the latest, with the test.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace residency::testing {

struct ChildOptions {
  std::vector<std::string> arguments;  // the program's path first
  int in = -1;                         // its standard streams; where negative, the test's own
  int out = -1;
  int err = -1;
  int uid = -1;  // run as this user and no group but theirs, if not negative (needs root)
};

// A test failure and -1 if it can't be started. The child is killed when the thread that called
// this ends, however it ends; so call it from the main thread.
pid_t StartChild(const ChildOptions& options);

// Reaps the child if it has ended and gives its wait status; -1 while it runs.
int WaitStatusIfEnded(pid_t pid);

// The shell's way to see a wait status: 0 to 255, and 128 + N where signal N ended the process.
int ExitStatus(int wait_status);

}  // namespace residency::testing
