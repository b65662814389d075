// The bounded queue into the controller's thread: many post, one drains. Ordinary events are
// refused and counted when it is full. Events that must not be lost (outcomes, commits, ends of
// sessions) have room of their own, promised before what causes them is started.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/clock.h"

namespace residency {

template <class Event>
class Mailbox {
 public:
  // `capacity` ordinary events, and `promises_max` more that were promised.
  Mailbox(size_t capacity, size_t promises_max)
      : capacity_(capacity), promises_max_(promises_max) {}
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  // False, and counted as refused, if the mailbox is full.
  bool TryPost(Event event) {
    const std::lock_guard lock(mutex_);
    if (ordinary_ >= capacity_) {
      ++refused_;
      return false;
    }
    ++ordinary_;
    Push(std::move(event));
    return true;
  }

  // Sets room for one event aside. False if all is promised: do not start what would cause it.
  bool Promise() {
    const std::lock_guard lock(mutex_);
    if (promised_ >= promises_max_) return false;
    ++promised_;
    return true;
  }

  // Takes a promise back: what would cause the event was not started.
  void Forgo() {
    const std::lock_guard lock(mutex_);
    RESIDENCY_CHECK(promised_ > promised_here_, "a promise is taken back that nobody made");
    --promised_;
  }

  // Never refused. REQUIRES: one Promise for each.
  void PostPromised(Event event) {
    const std::lock_guard lock(mutex_);
    RESIDENCY_CHECK(promised_ > promised_here_, "an event is posted that nobody promised");
    ++promised_here_;
    Push(std::move(event));
  }

  // Waits until there is an event, Wake is called or `timeout` has passed; then appends all events
  // to `out` in the order of their posting. Returns how many.
  size_t Drain(std::vector<Event>& out, Micros timeout) {
    std::unique_lock lock(mutex_);
    arrived_.wait_for(lock, timeout, [this] { return woken_ || !events_.empty(); });
    woken_ = false;
    const size_t count = events_.size();
    if (out.empty()) {
      out.swap(events_);
    } else {
      for (Event& event : events_) out.push_back(std::move(event));
    }
    events_.clear();
    ordinary_ = 0;
    promised_ -= promised_here_;
    promised_here_ = 0;
    return count;
  }

  // Ends the present wait, or the next one.
  void Wake() {
    const std::lock_guard lock(mutex_);
    woken_ = true;
    arrived_.notify_one();
  }

  // Ordinary events refused so far.
  uint64_t refused() const {
    const std::lock_guard lock(mutex_);
    return refused_;
  }
  size_t size() const {
    const std::lock_guard lock(mutex_);
    return events_.size();
  }

 private:
  // REQUIRES: mutex_ is held.
  void Push(Event event) {
    events_.push_back(std::move(event));
    if (events_.size() == 1) arrived_.notify_one();
  }

  const size_t capacity_;
  const size_t promises_max_;

  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<Event> events_;
  size_t ordinary_ = 0;       // events here that TryPost brought
  size_t promised_ = 0;       // promises made, until their event is drained
  size_t promised_here_ = 0;  // of these, events here already
  uint64_t refused_ = 0;
  bool woken_ = false;
};

}  // namespace residency
