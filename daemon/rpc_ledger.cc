#include "daemon/rpc_ledger.h"

namespace residency {

RpcLedger::Claim RpcLedger::Begin(SessionId session, uint64_t client_request) {
  const std::lock_guard lock(mutex_);
  const uint64_t call = next_call_++;
  calls_[Key(session, client_request)] = call;
  return {session, client_request, call};
}

void RpcLedger::Settle(const Claim& claim) {
  const std::lock_guard lock(mutex_);
  const auto it = calls_.find(Key(claim.session, claim.client_request));
  if (it != calls_.end() && it->second == claim.call) calls_.erase(it);
}

void RpcLedger::Abandon(const Claim& claim) {
  // Posted under the lock: a newer call begins before or after all of this.
  const std::lock_guard lock(mutex_);
  const auto it = calls_.find(Key(claim.session, claim.client_request));
  if (it == calls_.end() || it->second != claim.call) return;
  calls_.erase(it);
  // Beyond the bound leases stay until the session resumes or ends.
  (void)PostOrKeep(claim.session, AcquireAbandoned{claim.session, claim.client_request});
}

bool RpcLedger::PostSurely(SessionId session, Event event) {
  const std::lock_guard lock(mutex_);
  return PostOrKeep(session, std::move(event));
}

bool RpcLedger::PostOrKeep(SessionId session, Event event) {
  FlushLocked();
  if (kept_.empty() && port_.Post(event)) return true;
  if (kept_.size() >= kKeptMax) return false;
  kept_.emplace_back(session, std::move(event));
  kept_count_.store(kept_.size(), std::memory_order_relaxed);
  return true;
}

void RpcLedger::Flush() {
  if (kept_count_.load(std::memory_order_relaxed) == 0) return;
  const std::lock_guard lock(mutex_);
  FlushLocked();
}

void RpcLedger::FlushLocked() {
  while (!kept_.empty() && port_.Post(kept_.front().second)) kept_.pop_front();
  kept_count_.store(kept_.size(), std::memory_order_relaxed);
}

void RpcLedger::Forget(SessionId session) {
  const std::lock_guard lock(mutex_);
  std::erase_if(kept_, [session](const auto& entry) { return entry.first == session; });
  kept_count_.store(kept_.size(), std::memory_order_relaxed);
}

}  // namespace residency
