#include "daemon/hint_hub.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "daemon/hint_hub_merge.h"

namespace residency {

// Nothing foreign is called while its mutex is held: sinks and ready functions may come back here.
struct HintHub::Queue {
  std::mutex mutex;
  std::deque<Hint> hints;
  size_t droppable = 0;  // of `hints`
  uint64_t dropped = 0;
  Sink sink;
  bool draining = false;  // one thread at a time hands hints to the sink, so that they keep order
  std::function<void()> ready;

  // REQUIRES: mutex is held.
  void Push(const Hint& hint, size_t queue_max) {
    if (!hints.empty() && Merge(hints.back(), hint)) return;
    if (MayDrop(hint)) {
      if (droppable >= queue_max) {
        ++dropped;
        return;
      }
      ++droppable;
    }
    hints.push_back(hint);
  }

  // REQUIRES: mutex is held; hints is not empty.
  Hint Pop() {
    Hint hint = std::move(hints.front());
    hints.pop_front();
    if (MayDrop(hint)) --droppable;
    return hint;
  }

  // Hands what is queued to the sink. REQUIRES: `lock` holds mutex.
  void Drain(std::unique_lock<std::mutex>& lock) {
    if (draining) return;
    draining = true;
    while (sink && !hints.empty()) {
      const Hint hint = Pop();
      const Sink to = sink;
      lock.unlock();
      to(hint);
      lock.lock();
    }
    draining = false;
  }
};

void HintHub::Open(SessionId session) {
  const std::lock_guard lock(mutex_);
  auto& queue = queues_[session];
  if (queue == nullptr) queue = std::make_shared<Queue>();
}

void HintHub::Close(SessionId session) {
  std::shared_ptr<Queue> queue;
  {
    const std::lock_guard lock(mutex_);
    const auto it = queues_.find(session);
    if (it == queues_.end()) return;
    queue = std::move(it->second);
    queues_.erase(it);
  }
  std::function<void()> ready;
  Sink sink;  // dies outside of the lock
  {
    const std::lock_guard lock(queue->mutex);
    ready = std::exchange(queue->ready, nullptr);
    sink = std::exchange(queue->sink, nullptr);
    queue->hints.clear();
  }
  if (ready) ready();
}

std::shared_ptr<HintHub::Queue> HintHub::Find(SessionId session) {
  const std::lock_guard lock(mutex_);
  const auto it = queues_.find(session);
  return it == queues_.end() ? nullptr : it->second;
}

void HintHub::SetSink(SessionId session, Sink sink) {
  const std::shared_ptr<Queue> queue = Find(session);
  if (queue == nullptr) return;
  std::unique_lock lock(queue->mutex);
  std::swap(queue->sink, sink);
  queue->Drain(lock);
}

void HintHub::Deliver(SessionId session, const Hint& hint) {
  const std::shared_ptr<Queue> queue = Find(session);
  if (queue == nullptr) return;
  std::function<void()> ready;
  {
    std::unique_lock lock(queue->mutex);
    queue->Push(hint, queue_max_);
    queue->Drain(lock);
    if (!queue->hints.empty()) ready = std::exchange(queue->ready, nullptr);
  }
  if (ready) ready();
}

HintHub::Pulled HintHub::Pull(SessionId session, size_t max) {
  Pulled pulled;
  const std::shared_ptr<Queue> queue = Find(session);
  if (queue == nullptr) return pulled;
  const std::lock_guard lock(queue->mutex);
  const size_t count = std::min(max, queue->hints.size());
  pulled.hints.reserve(count);
  for (size_t i = 0; i < count; ++i) pulled.hints.push_back(queue->Pop());
  pulled.dropped = std::exchange(queue->dropped, 0);
  return pulled;
}

void HintHub::WhenReady(SessionId session, std::function<void()> ready) {
  const std::shared_ptr<Queue> queue = Find(session);
  if (queue == nullptr) return ready();
  {
    const std::lock_guard lock(queue->mutex);
    if (queue->hints.empty()) {
      // An earlier one dies with `ready`, outside of the lock.
      std::swap(queue->ready, ready);
      return;
    }
  }
  ready();
}

}  // namespace residency
