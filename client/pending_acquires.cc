#include "client/pending_acquires.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/wire.h"

namespace residency::inline client::internal {

void PendingAcquires::Connected(uint32_t acquire_blocks_max) {
  std::vector<std::pair<Ask, absl::Status>> refused;
  {
    absl::MutexLock lock(&mu_);
    connected_ = true;
    blocks_max_ = acquire_blocks_max;
    for (auto at = entries_.begin(); at != entries_.end();) {
      auto current = at++;
      absl::Status sent = Send(current->first, current->second);
      if (!sent.ok()) refused.emplace_back(Remove(current), sent);
    }
  }
  for (auto& [ask, status] : refused) ask.done(status);
}

void PendingAcquires::Disconnected() {
  absl::MutexLock lock(&mu_);
  connected_ = false;
}

absl::StatusOr<uint64_t> PendingAcquires::Add(Ask ask) {
  absl::MutexLock lock(&mu_);
  if (ended_) return absl::CancelledError("acquire: the client ends");
  if (entries_.size() >= kPendingMax) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "acquire: ", entries_.size(), " are pending, the most that may be; wait for some"));
  }
  const uint64_t id = next_id_++;
  Entry& entry = entries_[id];
  entry.ask = std::move(ask);
  if (entry.ask.expires) expiring_.emplace(entry.ask.deadline + kAnswerGrace, id);
  if (!connected_) return id;
  if (absl::Status sent = Send(id, entry); !sent.ok()) {
    Remove(entries_.find(id));
    return sent;
  }
  return id;
}

bool PendingAcquires::Abandon(uint64_t request_id) {
  absl::MutexLock lock(&mu_);
  auto found = entries_.find(request_id);
  if (found == entries_.end()) return false;
  Remove(found);
  return true;
}

void PendingAcquires::Answer(const std::shared_ptr<Connection>& connection,
                             const v1::AcquireResult& result) {
  Granted granted{connection, {result.leases().begin(), result.leases().end()}, {}};
  std::vector<uint64_t> ids;
  for (const v1::Lease& lease : granted.leases) ids.push_back(lease.lease_id());
  if (!cache_->Granted(connection->epoch, ids)) return;  // from a session that is over
  Ask ask;
  bool wanted = false;
  {
    absl::MutexLock lock(&mu_);
    auto found = entries_.find(result.request_id());
    wanted = found != entries_.end();
    if (wanted) {
      granted.wire_ids = std::move(found->second.wire_ids);
      ask = Remove(found);
    }
  }
  if (!wanted) {
    cache_->Return(connection->epoch, ids);
    return;
  }
  absl::Status status = StatusFromCode(result.code(), "acquire", result.message());
  if (status.ok()) {
    ask.done(std::move(granted));
  } else {
    cache_->Return(connection->epoch, ids);
    ask.done(status);
  }
}

absl::Time PendingAcquires::ExpireBefore(absl::Time now) {
  std::vector<Ask> expired;
  absl::Time next = absl::InfiniteFuture();
  bool connected = false;
  {
    absl::MutexLock lock(&mu_);
    connected = connected_;
    while (!expiring_.empty() && expiring_.begin()->first <= now) {
      expired.push_back(Remove(entries_.find(expiring_.begin()->second)));
    }
    if (!expiring_.empty()) next = expiring_.begin()->first;
  }
  for (Ask& ask : expired) {
    ask.done(connected ? absl::DeadlineExceededError("acquire: the daemon did not answer in time")
                       : absl::UnavailableError("acquire: no connection to the daemon in time"));
  }
  return next;
}

void PendingAcquires::End() {
  std::vector<Ask> cancelled;
  {
    absl::MutexLock lock(&mu_);
    ended_ = true;
    while (!entries_.empty()) cancelled.push_back(Remove(entries_.begin()));
  }
  for (Ask& ask : cancelled) ask.done(absl::CancelledError("acquire: the client ends"));
}

absl::Status PendingAcquires::Send(uint64_t request_id, Entry& entry) {
  const Ask& ask = entry.ask;
  if (blocks_max_ > 0 && ask.blocks.size() > blocks_max_) {
    return absl::InvalidArgumentError(absl::StrCat(
        "acquire: ", ask.blocks.size(), " blocks; the daemon takes ", blocks_max_, " at a time"));
  }
  v1::AcquireBatch batch;
  batch.set_request_id(request_id);
  registry_->AppendWireIds(ask.blocks, batch.mutable_block_ids());
  if (static_cast<size_t>(batch.block_ids_size()) != ask.blocks.size()) {
    return absl::FailedPreconditionError("acquire: the model was detached");
  }
  AppendAccepts(ask.accepts, batch.mutable_accepts());
  batch.set_mode(ToWire(ask.mode));
  batch.set_deadline_us(static_cast<uint64_t>(
      std::max<int64_t>(1, absl::ToInt64Microseconds(ask.deadline - absl::Now()))));
  entry.wire_ids.assign(batch.block_ids().begin(), batch.block_ids().end());
  outbox_->PushAcquire(std::move(batch));
  return absl::OkStatus();
}

Ask PendingAcquires::Remove(std::map<uint64_t, Entry>::iterator at) {
  Ask ask = std::move(at->second.ask);
  expiring_.erase({ask.deadline + kAnswerGrace, at->first});
  entries_.erase(at);
  return ask;
}

}  // namespace residency::inline client::internal
