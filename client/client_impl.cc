#include "client/client_impl.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/attach.h"
#include "client/put_file.h"
#include "client/wire.h"
#include "client/xxh.h"

namespace residency::inline client {

using internal::AcquireOp;
using internal::Ask;
using internal::Connection;
using internal::Granted;
using internal::ModelState;

// The steps of Acquire() as tasks of the worker, which never waits for the daemon.
struct Client::Impl::AsyncAcquire : std::enable_shared_from_this<AsyncAcquire> {
  AsyncAcquire(Impl* i, std::span<const BlockId> blocks, const AcquireOptions& options,
               std::shared_ptr<ModelState> model, std::function<void(AcquireResult)> d)
      : impl(i),
        op(blocks, options, std::move(model), i->cache_, absl::Now() + options.deadline),
        done(std::move(d)) {}

  void Step() {
    if (absl::Status prepared = op.Prepare(); !prepared.ok()) return done(prepared);
    if (op.complete()) return done(op.Take());
    Ask ask = op.MakeAsk();
    ask.expires = true;
    ask.done = [self = shared_from_this()](absl::StatusOr<Granted> outcome) {
      auto shared = std::make_shared<absl::StatusOr<Granted>>(std::move(outcome));
      self->impl->worker_.Post([self, shared] { self->Answered(*shared); });
    };
    impl->misses_.fetch_add(ask.blocks.size(), std::memory_order_relaxed);
    if (auto added = impl->pending_.Add(std::move(ask)); !added.ok()) return done(added.status());
    impl->stream_->Kick();
  }

  void Answered(const absl::StatusOr<Granted>& outcome) {
    if (!outcome.ok()) return done(outcome.status());
    absl::Status filled = op.Fill(*outcome, impl->options_.call_deadline);
    bool again =
        filled.ok() || (impl->LostWhileFilling(*outcome, filled) && absl::Now() < op.deadline());
    again ? Step() : done(filled);
  }

  Impl* const impl;
  AcquireOp op;
  const std::function<void(AcquireResult)> done;
};

Client::Impl::Impl(const ClientOptions& options)
    : options_(options),
      hints_(options.hints_max),
      outbox_(std::make_shared<internal::Outbox>(options.reports_max)),
      stream_(std::make_shared<internal::StreamSlot>()),
      cache_(std::make_shared<internal::LeaseCache>(
          [outbox = outbox_, stream = stream_](uint64_t lease_id) {
            outbox->PushRelease(lease_id);
            stream->Kick();
          })),
      pending_(outbox_, &registry_, cache_),
      worker_([this](absl::Time now) { return pending_.ExpireBefore(now); }),
      link_(options, {outbox_, stream_, cache_, &registry_, &pending_,
                      [this](const v1::SessionResponse& r) { OnResponse(r); }}) {}

void Client::Impl::Shutdown() {
  pending_.End();
  worker_.Stop();
  cache_->EndEpoch(internal::Loss::kRevoked);
  link_.Stop();
}

absl::StatusOr<std::shared_ptr<Connection>> Client::Impl::AwaitConnection() {
  return link_.Await(absl::Now() + options_.call_deadline);
}

absl::StatusOr<Model> Client::Impl::Attach(std::shared_ptr<ModelState> model) {
  if (auto connection = AwaitConnection(); !connection.ok()) return connection.status();
  absl::MutexLock setup(&link_.setup_mutex());
  // The wait is over; a connection lost since is the caller's to retry.
  auto connection = link_.Await(absl::Now());
  if (!connection.ok()) return connection.status();
  absl::StatusOr<std::vector<uint32_t>> wire_ids =
      internal::AttachTo(**connection, *model, registry_, options_.call_deadline);
  if (!wire_ids.ok()) {
    if ((*connection)->side->broken()) link_.ReportBroken(**connection);
    return absl::Status(wire_ids.status().code(),
                        absl::StrCat("model \"", model->name, "\": ", wire_ids.status().message()));
  }
  registry_.Add(model, *wire_ids);
  return ModelState::Handle(std::move(model));
}

absl::Status Client::Impl::Detach(const Model& handle) {
  std::shared_ptr<ModelState> model = ModelState::Share(handle);
  if (model == nullptr || !model->attached.exchange(false)) {
    return absl::FailedPreconditionError("detach: the model is not attached");
  }
  if (uint64_t used = model->quota->in_use.load(); used > 0) {
    model->attached = true;
    return absl::FailedPreconditionError(absl::StrCat("detach: model \"", model->name, "\" has ",
                                                      used,
                                                      " bytes in use; release its leases first"));
  }
  auto connection = AwaitConnection();
  if (!connection.ok()) {
    model->attached = true;
    return connection.status();
  }
  absl::MutexLock setup(&link_.setup_mutex());
  // Idle leases are on their way back by the stream; this call comes behind them for certain.
  v1::ReleaseRequest release;
  for (uint64_t id : cache_->DropRange(model->first, model->blocks.size())) {
    release.add_lease_ids(id);
  }
  absl::Time deadline = absl::Now() + options_.call_deadline;
  internal::EngineRpc& rpc = *(*connection)->rpc;
  if (release.lease_ids_size() > 0) {
    auto released = rpc.Call("releasing", &v1::EngineService::Stub::Release, release, deadline);
    if (!released.ok()) return released.status();
  }
  v1::DetachModelRequest detach;
  detach.set_model_id(model->wire_id);
  registry_.Remove(*model);
  return rpc.Call("detaching", &v1::EngineService::Stub::DetachModel, detach, deadline).status();
}

absl::Status Client::Impl::PutBlock(BlockId block, std::span<const std::byte> bytes,
                                    Durability durability) {
  auto model = registry_.ModelOf({&block, 1});
  if (!model.ok()) return model.status();
  const Block& known = ModelState::Handle(*model).block(block);
  if (bytes.size() != known.bytes) {
    return absl::InvalidArgumentError(absl::StrCat("put: block \"", known.name, "\" has ",
                                                   known.bytes, " bytes; got ", bytes.size()));
  }
  absl::StatusOr<internal::UniqueFd> file = internal::MakePutFile(bytes);
  if (!file.ok()) return file.status();
  auto connection = AwaitConnection();
  if (!connection.ok()) return connection.status();
  absl::Time deadline = absl::Now() + options_.call_deadline;
  absl::StatusOr<uint32_t> handle = (*connection)->side->OfferFile(file->get(), "", deadline);
  if (!handle.ok()) {
    if ((*connection)->side->broken()) link_.ReportBroken(**connection);
    return handle.status();
  }
  std::optional<uint32_t> wire_id = registry_.WireId(block);
  if (!wire_id.has_value()) return absl::UnavailableError("put: the daemon restarts; try again");
  v1::PutBlockRequest request;
  request.set_block_id(*wire_id);
  request.set_file_handle(*handle);
  request.set_checksum(internal::Xxh3(bytes.data(), bytes.size()));
  request.set_durability(internal::ToWire(durability));
  return (*connection)
      ->rpc->Call("putting a block", &v1::EngineService::Stub::PutBlock, request, deadline)
      .status();
}

AcquireResult Client::Impl::Acquire(std::span<const BlockId> blocks,
                                    const AcquireOptions& options) {
  const absl::Time deadline = absl::Now() + options.deadline;
  absl::StatusOr<std::shared_ptr<ModelState>> model = registry_.ModelOf(blocks);
  if (!model.ok()) return model.status();
  AcquireOp op(blocks, options, *std::move(model), cache_, deadline);
  while (true) {
    if (absl::Status prepared = op.Prepare(); !prepared.ok()) return prepared;
    if (op.complete()) return op.Take();
    absl::StatusOr<Granted> granted = AskAndWait(op.MakeAsk());
    if (!granted.ok()) return granted.status();
    absl::Status filled = op.Fill(*granted, options_.call_deadline);
    if (filled.ok()) continue;
    if (!LostWhileFilling(*granted, filled) || absl::Now() >= deadline) return filled;
  }
}

void Client::Impl::AcquireAsync(std::span<const BlockId> blocks, const AcquireOptions& options,
                                std::function<void(AcquireResult)> done) {
  absl::StatusOr<std::shared_ptr<ModelState>> model = registry_.ModelOf(blocks);
  if (!model.ok()) {
    worker_.Post([done = std::move(done), status = model.status()] { done(status); });
    return;
  }
  auto acquire = std::make_shared<AsyncAcquire>(this, blocks, options, *model, std::move(done));
  worker_.Post([acquire] { acquire->Step(); });
}

absl::StatusOr<Granted> Client::Impl::AskAndWait(Ask ask) {
  struct Waiter {
    absl::StatusOr<Granted> outcome = absl::UnknownError("");
    absl::Notification ready;
  };
  auto waiter = std::make_shared<Waiter>();
  ask.done = [waiter](absl::StatusOr<Granted> outcome) {
    waiter->outcome = std::move(outcome);
    waiter->ready.Notify();
  };
  const absl::Time end = ask.deadline + internal::PendingAcquires::kAnswerGrace;
  misses_.fetch_add(ask.blocks.size(), std::memory_order_relaxed);
  absl::StatusOr<uint64_t> id = pending_.Add(std::move(ask));
  if (!id.ok()) return id.status();
  stream_->Kick();
  if (!waiter->ready.WaitForNotificationWithTimeout(end - absl::Now()) && pending_.Abandon(*id)) {
    if (auto connection = link_.Await(absl::InfinitePast()); !connection.ok()) {
      return absl::Status(connection.status().code(),
                          absl::StrCat("acquire: ", connection.status().message()));
    }
    return absl::DeadlineExceededError("acquire: the daemon did not answer in time");
  }
  waiter->ready.WaitForNotification();  // if it came at the last moment: being notified now
  return std::move(waiter->outcome);
}

bool Client::Impl::LostWhileFilling(const Granted& granted, const absl::Status& status) {
  if (granted.connection->side->broken()) {
    link_.ReportBroken(*granted.connection);
    return true;
  }
  return absl::IsUnavailable(status);
}

void Client::Impl::Report(v1::SessionRequest request) {
  if (outbox_->PushReport(std::move(request))) stream_->Kick();
}

void Client::Impl::OnResponse(const v1::SessionResponse& response) {
  if (response.has_counts()) remote_dropped_ = response.counts().dropped();
  if (response.has_hint()) OnHint(response.hint());
}

void Client::Impl::OnHint(const v1::Hint& wire) {
  Hint hint;
  uint32_t wire_id = 0;
  if (wire.has_revoked()) {
    hint.kind = Hint::Kind::kRevoked;
    hint.reason = wire.revoked().reason();
    const auto& ids = wire.revoked().lease_ids();
    for (BlockId block : cache_->Revoke({ids.begin(), ids.end()})) {
      hint.block = block;
      hints_.Push(hint);
    }
    return;
  }
  if (wire.has_promoted()) {
    hint.kind = Hint::Kind::kPromoted;
    hint.state = internal::FromWire(wire.promoted().state());
    wire_id = wire.promoted().block_id();
  } else if (wire.has_arriving()) {
    hint.kind = Hint::Kind::kArriving;
    hint.eta = absl::Microseconds(static_cast<int64_t>(wire.arriving().eta_us()));
    wire_id = wire.arriving().block_id();
  } else if (wire.has_serve_lowbit()) {
    hint.kind = Hint::Kind::kServeLowbit;
    wire_id = wire.serve_lowbit().block_id();
  } else {
    return;  // of a later version
  }
  std::optional<BlockId> block = registry_.FromWire(wire_id);
  if (!block.has_value()) return;
  hint.block = *block;
  if (hint.state == ResidencyState::kFullHbm) cache_->ForgetColder(*block);
  hints_.Push(std::move(hint));
}

ClientStats Client::Impl::Stats() const {
  ClientStats stats;
  internal::LeaseCounts leases = cache_->Counts();
  internal::OutboxCounts sent = outbox_->Counts();
  stats.local_hits = leases.hits;
  stats.misses = misses_.load(std::memory_order_relaxed);
  stats.stream_messages_sent = sent.messages_sent;
  stats.unary_calls_sent = link_.calls_sent();
  stats.reports_accepted = sent.reports_accepted;
  stats.reports_dropped = sent.reports_dropped;
  stats.reports_dropped_remote = remote_dropped_.load(std::memory_order_relaxed);
  stats.hints_dropped = hints_.dropped_total();
  stats.recalls = leases.recalls;
  stats.revocations = leases.revocations;
  stats.orphans = leases.orphans;
  stats.reconnects = link_.reconnects();
  stats.leases = leases.held;
  for (const auto& model : registry_.Models()) {
    stats.bytes_in_use += model->quota->in_use.load(std::memory_order_relaxed);
  }
  return stats;
}

}  // namespace residency::inline client
