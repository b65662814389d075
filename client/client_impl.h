// What a Client is made of.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "client/acquire_op.h"
#include "client/hint_queue.h"
#include "client/lease_cache.h"
#include "client/link.h"
#include "client/model_state.h"
#include "client/outbox.h"
#include "client/pending_acquires.h"
#include "client/session_stream.h"
#include "client/worker.h"
#include "residency/client.h"

namespace residency::inline client {

class Client::Impl {
 public:
  explicit Impl(const ClientOptions& options);

  absl::Status Start() { return link_.Start(); }
  void Shutdown();

  absl::StatusOr<Model> Attach(std::shared_ptr<internal::ModelState> model);
  absl::Status Detach(const Model& model);
  absl::Status PutBlock(BlockId block, std::span<const std::byte> bytes, Durability durability);

  AcquireResult Acquire(std::span<const BlockId> blocks, const AcquireOptions& options);
  void AcquireAsync(std::span<const BlockId> blocks, const AcquireOptions& options,
                    std::function<void(AcquireResult)> done);
  internal::LeaseCache& cache() { return *cache_; }

  const internal::BlockRegistry& registry() const { return registry_; }
  void Report(v1::SessionRequest request);
  void CountDroppedReport() { outbox_->CountDropped(); }
  Hints PollHints(size_t max) { return hints_.Poll(max); }

  bool connected() const { return link_.connected(); }
  ClientStats Stats() const;

 private:
  struct AsyncAcquire;

  absl::StatusOr<internal::Granted> AskAndWait(internal::Ask ask);
  // Whether to ask again; notes a broken connection.
  bool LostWhileFilling(const internal::Granted& granted, const absl::Status& status);
  absl::StatusOr<std::shared_ptr<internal::Connection>> AwaitConnection();
  void OnResponse(const v1::SessionResponse& response);
  void OnHint(const v1::Hint& hint);

  const ClientOptions options_;
  internal::BlockRegistry registry_;
  internal::HintQueue hints_;
  const std::shared_ptr<internal::Outbox> outbox_;
  const std::shared_ptr<internal::StreamSlot> stream_;
  const std::shared_ptr<internal::LeaseCache> cache_;
  internal::PendingAcquires pending_;
  std::atomic<uint64_t> misses_{0};
  std::atomic<uint64_t> remote_dropped_{0};
  internal::Worker worker_;
  internal::Link link_;
};

}  // namespace residency::inline client
