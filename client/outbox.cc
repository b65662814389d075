#include "client/outbox.h"

#include <utility>

namespace residency::inline client::internal {

void Outbox::Open() {
  absl::MutexLock lock(&mu_);
  open_ = true;
  sequence_ = 0;
  gap_ = 0;
}

void Outbox::PushOpen(std::vector<uint64_t> held_lease_ids) {
  v1::SessionRequest request;
  request.mutable_open()->mutable_held_lease_ids()->Assign(held_lease_ids.begin(),
                                                           held_lease_ids.end());
  absl::MutexLock lock(&mu_);
  items_.push_front(Item{std::move(request)});
}

void Outbox::Close() {
  absl::MutexLock lock(&mu_);
  open_ = false;
  for (const Item& item : items_) {
    counts_.reports_dropped += item.reports;
    counts_.reports_accepted -= item.reports;
  }
  items_.clear();
  reports_ = 0;
}

void Outbox::PushAcquire(v1::AcquireBatch batch) {
  v1::SessionRequest request;
  *request.mutable_acquire() = std::move(batch);
  absl::MutexLock lock(&mu_);
  if (open_) Push(std::move(request));
}

void Outbox::PushRelease(uint64_t lease_id) {
  absl::MutexLock lock(&mu_);
  if (!open_) return;
  if (!items_.empty() && items_.back().request.has_release() && gap_ == 0 &&
      items_.back().request.release().lease_ids_size() < kJoinedMax) {
    items_.back().request.mutable_release()->add_lease_ids(lease_id);
    return;
  }
  v1::SessionRequest request;
  request.mutable_release()->add_lease_ids(lease_id);
  Push(std::move(request));
}

bool Outbox::PushReport(v1::SessionRequest request) {
  absl::MutexLock lock(&mu_);
  if (open_ && JoinAccess(request)) {
    ++counts_.reports_accepted;
    return true;
  }
  if (!open_ || reports_ >= reports_max_) {
    ++counts_.reports_dropped;
    ++gap_;
    return false;
  }
  ++reports_;
  ++counts_.reports_accepted;
  Push(std::move(request));
  items_.back().reports = 1;
  return true;
}

void Outbox::CountDropped() {
  absl::MutexLock lock(&mu_);
  ++counts_.reports_dropped;
  ++gap_;
}

std::optional<v1::SessionRequest> Outbox::Pop() {
  absl::MutexLock lock(&mu_);
  if (items_.empty()) return std::nullopt;
  Item item = std::move(items_.front());
  items_.pop_front();
  if (item.reports > 0) --reports_;
  sequence_ += item.dropped_before + 1;
  item.request.set_sequence(sequence_);
  ++counts_.messages_sent;
  return std::move(item.request);
}

OutboxCounts Outbox::Counts() const {
  absl::MutexLock lock(&mu_);
  return counts_;
}

void Outbox::Push(v1::SessionRequest request) {
  items_.push_back(Item{std::move(request), std::exchange(gap_, 0)});
}

bool Outbox::JoinAccess(const v1::SessionRequest& request) {
  if (!request.has_access() || items_.empty() || gap_ != 0) return false;
  v1::SessionRequest& back = items_.back().request;
  if (!back.has_access() || back.access().model_id() != request.access().model_id() ||
      back.access().phase() != request.access().phase() ||
      back.access().block_ids_size() + request.access().block_ids_size() > kJoinedMax) {
    return false;
  }
  back.mutable_access()->mutable_block_ids()->MergeFrom(request.access().block_ids());
  ++items_.back().reports;
  return true;
}

}  // namespace residency::inline client::internal
