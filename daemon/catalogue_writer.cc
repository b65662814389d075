#include "daemon/catalogue_writer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace residency {

CatalogueWriter::CatalogueWriter(std::unique_ptr<CatalogueStore> store,
                                 CatalogueWriterOptions options, CatalogueCallbacks callbacks)
    : store_(std::move(store)),
      options_(options),
      callbacks_(std::move(callbacks)),
      thread_([this] { Work(); }) {}

CatalogueWriter::~CatalogueWriter() {
  {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    const bool drained = changed_.wait_for(lock, options_.drain_deadline,
                                           [this] { return reported_ == submitted_; });
    if (!drained) {
      giving_up_ = true;
      changed_.notify_all();
    }
  }
  if (giving_up_) store_->Interrupt();
  thread_.join();
}

absl::Status CatalogueWriter::Submit(CatalogueOperation operation, uint64_t token) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return absl::UnavailableError("the catalogue writer is shutting down");
  if (queue_.size() >= options_.queue_max) {
    return absl::ResourceExhaustedError(absl::StrCat(
        queue_.size(), " catalogue operations wait already, the limit is ", options_.queue_max));
  }
  queue_.emplace_back(std::move(operation), token);
  ++submitted_;
  changed_.notify_all();
  return absl::OkStatus();
}

absl::Status CatalogueWriter::Flush(Micros timeout) {
  std::unique_lock lock(mutex_);
  const uint64_t goal = submitted_;
  if (changed_.wait_for(lock, timeout, [&] { return reported_ >= goal; })) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrCat(
      goal - reported_, " catalogue operations are not written after ", timeout.count(), " us"));
}

size_t CatalogueWriter::waiting() const {
  const std::lock_guard lock(mutex_);
  return submitted_ - reported_;
}

void CatalogueWriter::Work() {
  for (;;) {
    Group group = TakeGroup();
    if (group.tokens.empty()) return;
    const auto results = ApplyWithRetries(group);
    const size_t count = group.tokens.size();
    Report(std::move(group), results);
    const std::lock_guard lock(mutex_);
    reported_ += count;
    changed_.notify_all();
  }
}

CatalogueWriter::Group CatalogueWriter::TakeGroup() {
  std::unique_lock lock(mutex_);
  // Without a deadline: the destructor always wakes it.
  changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
  Group group;
  const size_t count = std::min(queue_.size(), options_.group_max);
  for (size_t i = 0; i < count; ++i) {
    group.operations.push_back(std::move(queue_.front().first));
    group.tokens.push_back(queue_.front().second);
    queue_.pop_front();
  }
  return group;
}

absl::StatusOr<std::vector<absl::Status>> CatalogueWriter::ApplyWithRetries(const Group& group) {
  Micros pause = options_.backoff_min;
  for (int attempt = 1;; ++attempt) {
    {
      const std::lock_guard lock(mutex_);
      if (giving_up_) return absl::UnavailableError("the daemon ended before this was written");
    }
    auto results = store_->Apply(group.operations);
    if (results.ok()) return results;
    if (attempt >= options_.attempts_max || !Pause(pause)) return results;
    pause = std::min(pause * 2, options_.backoff_max);
  }
}

bool CatalogueWriter::Pause(Micros duration) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, duration, [this] { return giving_up_; });
}

void CatalogueWriter::Report(Group group,
                             const absl::StatusOr<std::vector<absl::Status>>& results) {
  if (!results.ok()) return callbacks_.failed(std::move(group.tokens), results.status());
  // Runs of committed operations between those that broke a rule.
  std::vector<uint64_t> committed;
  const auto report_committed = [&] {
    if (!committed.empty()) callbacks_.committed(std::exchange(committed, {}));
  };
  for (size_t i = 0; i < group.tokens.size(); ++i) {
    if ((*results)[i].ok()) {
      committed.push_back(group.tokens[i]);
      continue;
    }
    report_committed();
    callbacks_.failed({group.tokens[i]}, (*results)[i]);
  }
  report_committed();
}

}  // namespace residency
