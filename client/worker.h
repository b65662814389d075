// The library's own thread: runs tasks in order, and a clockwork between them. Any thread.
#pragma once

#include <deque>
#include <functional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace residency::inline client::internal {

class Worker {
 public:
  // `tick` runs after each task, and when the time that it last returned has come.
  explicit Worker(std::function<absl::Time(absl::Time now)> tick)
      : tick_(std::move(tick)), thread_([this] { Run(); }) {}

  // Bounded by what is pending: each task belongs to one asynchronous call.
  void Post(std::function<void()> task) {
    absl::MutexLock lock(&mu_);
    tasks_.push_back(std::move(task));
  }

  // Runs what was posted, also by those tasks, and ends the thread.
  void Stop() {
    {
      absl::MutexLock lock(&mu_);
      stopping_ = true;
    }
    thread_.join();
  }

 private:
  void Run() {
    absl::Time next = absl::InfiniteFuture();
    while (true) {
      std::function<void()> task;
      {
        absl::MutexLock lock(&mu_);
        auto due = [this]()
                       ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || !tasks_.empty(); };
        mu_.AwaitWithDeadline(absl::Condition(&due), next);
        if (tasks_.empty() && stopping_) return;
        if (!tasks_.empty()) {
          task = std::move(tasks_.front());
          tasks_.pop_front();
        }
      }
      if (task) task();
      next = tick_(absl::Now());
    }
  }

  const std::function<absl::Time(absl::Time)> tick_;
  absl::Mutex mu_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace residency::inline client::internal
