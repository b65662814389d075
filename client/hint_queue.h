// Hints that wait to be polled: bounded; the newest is dropped and counted when it is full.
#pragma once

#include <algorithm>
#include <deque>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "residency/client.h"

namespace residency::inline client::internal {

class HintQueue {
 public:
  explicit HintQueue(size_t max) : max_(max) {}

  void Push(Hint hint) {
    absl::MutexLock lock(&mu_);
    if (hints_.size() >= max_) {
      ++dropped_;
      ++dropped_total_;
      return;
    }
    hints_.push_back(std::move(hint));
  }

  Hints Poll(size_t max) {
    absl::MutexLock lock(&mu_);
    Hints polled;
    polled.dropped = std::exchange(dropped_, 0);
    for (size_t n = std::min(max, hints_.size()); n > 0; --n) {
      polled.hints.push_back(std::move(hints_.front()));
      hints_.pop_front();
    }
    return polled;
  }

  uint64_t dropped_total() const {
    absl::MutexLock lock(&mu_);
    return dropped_total_;
  }

 private:
  const size_t max_;
  mutable absl::Mutex mu_;
  std::deque<Hint> hints_ ABSL_GUARDED_BY(mu_);
  uint64_t dropped_ ABSL_GUARDED_BY(mu_) = 0;  // since the last poll
  uint64_t dropped_total_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace residency::inline client::internal
