// The life of a transfer: started, prepared, its chunks moved, verified, made durable, delivered.
#include "movers/transfer_engine.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/check.h"

namespace residency {
namespace {

LinkQueueOptions LaneOptions(const TransferEngineOptions& options, std::optional<LinkKind> kind) {
  LinkQueueOptions lane = options.link;
  const bool device_io = kind == LinkKind::kFileToDram || kind == LinkKind::kNvmeToDram ||
                         kind == LinkKind::kDramToNvme;
  if (!device_io) lane.in_flight_max = options.copy_in_flight_max;
  return lane;
}

}  // namespace

TransferEngine::TransferEngine(TransferEngineOptions options)
    : options_(std::move(options)),
      pools_(options_.pools),
      checks_{&pools_,
              &options_.links,
              options_.files,
              options_.chunk,
              options_.staging->buffer_bytes(),
              options_.clock},
      compute_(options_.compute_threads),
      chunk_mover_(pools_, options_.file_io, &compute_) {
  RESIDENCY_CHECK(IsAligned(options_.chunk.count()) && options_.chunk.count() >= 2 * kIoAlignment,
                  "chunks are whole pages, two at least");
  RESIDENCY_CHECK(options_.chunk <= options_.staging->buffer_bytes(),
                  "a chunk fits into a staging buffer");
  for (const Link& link : options_.links) lanes_.emplace_back(LaneOptions(options_, link.kind));
  lanes_.emplace_back(LaneOptions(options_, std::nullopt));
}

TransferEngine::~TransferEngine() {
  std::unique_lock lock(mu_);
  stopping_ = true;
  std::vector<TransferPtr> all;
  for (const auto& [ticket, transfer] : live_) all.push_back(transfer);
  for (const TransferPtr& transfer : all) {
    Fail(*transfer, TransferFailure::kCancelled, absl::CancelledError("the mover is ending"));
    RetireIfEnded(transfer);
  }
  // A deadline on the system clock: the sanitizers know its wait and not the monotonic one's.
  const auto deadline = std::chrono::system_clock::now() + kShutdownDeadline;
  const bool quiet = quiet_.wait_until(lock, deadline, [this] { return Quiet(); });
  RESIDENCY_CHECK(quiet, "I/O did not end before the deadline of the mover's end");
}

void TransferEngine::Start(TransferSpec spec) {
  auto transfer = std::make_shared<Transfer>(std::move(spec));
  const Ticket ticket = transfer->spec.ticket;
  std::unique_lock lock(mu_);
  RESIDENCY_CHECK(!live_.contains(ticket), "a ticket is started once");
  ++undelivered_;
  if (stopping_) {
    Fail(*transfer, TransferFailure::kCancelled, absl::CancelledError("the mover is ending"));
  } else if (live_.size() >= options_.transfers_max) {
    Fail(*transfer, TransferFailure::kTargetError,
         absl::ResourceExhaustedError(
             absl::StrCat("already ", live_.size(), " transfers live, the limit; start it later")));
  } else {
    live_[ticket] = transfer;
    transfer->steps = 1;
  }
  // Under the lock, so that the destructor's wait covers the posting.
  const bool refused = transfer->failed();
  compute_.Post([this, transfer, refused] { refused ? Deliver(transfer) : Prepare(transfer); });
}

void TransferEngine::Reclassify(Ticket ticket, LinkClass cls) {
  {
    std::lock_guard lock(mu_);
    const auto it = live_.find(ticket);
    if (it == live_.end()) return;
    it->second->spec.cls = cls;
    for (LinkQueue& lane : lanes_) lane.Reclassify(ticket, cls, Now());
  }
  Pump();
}

void TransferEngine::Cancel(Ticket ticket) {
  {
    std::lock_guard lock(mu_);
    const auto it = live_.find(ticket);
    if (it == live_.end()) return;
    const TransferPtr transfer = it->second;
    Fail(*transfer, TransferFailure::kCancelled, absl::CancelledError("cancelled"));
    RetireIfEnded(transfer);
  }
  Pump();
}

size_t TransferEngine::live_count() const {
  std::lock_guard lock(mu_);
  return live_.size();
}

void TransferEngine::Prepare(const TransferPtr& transfer) {
  bool cancelled = false;
  {
    std::lock_guard lock(mu_);
    cancelled = transfer->failed();
  }
  TransferFault fault;
  if (!cancelled) fault = checks_.Prepare(*transfer);
  if (!cancelled && fault.ok() && transfer->transcoded()) {
    if (transfer->source_encoding() == Encoding::kCompressed) return ReadDirectory(transfer);
    fault = checks_.PlanTranscoding(*transfer, {});
  }
  Prepared(transfer, std::move(fault));
}

void TransferEngine::ReadDirectory(const TransferPtr& transfer) {
  {
    std::lock_guard lock(mu_);
    ++external_calls_;
  }
  chunk_mover_.ReadDirectory(*transfer,
                             [this, transfer](absl::StatusOr<std::span<const std::byte>> footer) {
                               TransferFault fault{TransferFailure::kSourceError, footer.status()};
                               if (footer.ok()) fault = checks_.PlanTranscoding(*transfer, *footer);
                               Prepared(transfer, std::move(fault));
                               EndCall();
                             });
}

void TransferEngine::Prepared(const TransferPtr& transfer, TransferFault fault) {
  {
    std::lock_guard lock(mu_);
    if (!fault.ok()) Fail(*transfer, fault.failure, std::move(fault.status));
    if (!transfer->failed()) OfferNext(*transfer);
    EndStep(transfer);
  }
  Pump();
}

void TransferEngine::Verify(const TransferPtr& transfer) {
  TransferFault fault = checks_.Verify(*transfer);
  bool sync = false;
  {
    std::lock_guard lock(mu_);
    if (!fault.ok()) Fail(*transfer, fault.failure, std::move(fault.status));
    sync = !transfer->failed() && transfer->route.target == Tier::kNvme;
    if (sync) {
      ++external_calls_;
    } else {
      transfer->done = !transfer->failed();
      EndStep(transfer);
    }
  }
  if (sync) Sync(transfer);
}

// Continues the step of Verify().
void TransferEngine::Sync(const TransferPtr& transfer) {
  chunk_mover_.Sync(*transfer, [this, transfer](absl::Status status) {
    {
      std::lock_guard lock(mu_);
      if (!status.ok()) Fail(*transfer, TransferFailure::kTargetError, std::move(status));
      transfer->done = !transfer->failed();
      EndStep(transfer);
    }
    EndCall();
  });
}

void TransferEngine::Fail(Transfer& transfer, TransferFailure failure, absl::Status status) {
  if (transfer.failed() || transfer.done) return;  // the first reason counts
  transfer.failure = failure;
  transfer.status = std::move(status);
  for (LinkQueue& lane : lanes_) lane.Withdraw(transfer.spec.ticket);
}

void TransferEngine::EndStep(const TransferPtr& transfer) {
  --transfer->steps;
  RetireIfEnded(transfer);
}

void TransferEngine::RetireIfEnded(const TransferPtr& transfer) {
  if (transfer->steps > 0 || !(transfer->failed() || transfer->done)) return;
  // A cancelled transfer may come by twice.
  if (live_.erase(transfer->spec.ticket) == 0) return;
  for (auto& [index, chunk] : transfer->chunks) EndGrant(chunk);
  transfer->chunks.clear();
  for (LinkQueue& lane : lanes_) lane.Withdraw(transfer->spec.ticket);
  compute_.Post([this, transfer] { Deliver(transfer); });
}

void TransferEngine::Deliver(const TransferPtr& transfer) {
  options_.on_outcome(OutcomeOf(*transfer));
  std::lock_guard lock(mu_);
  --undelivered_;
  if (Quiet()) quiet_.notify_all();
}

void TransferEngine::DescribeBytes(const Transfer& transfer, TransferOutcome& outcome) {
  const bool done = outcome.failure == TransferFailure::kNone;
  if (!done && outcome.failure != TransferFailure::kTooLarge) return;
  if (transfer.transcoder != nullptr) {
    outcome.facts = transfer.transcoder->facts();
    outcome.bytes = transfer.transcoder->target_bytes();
    if (!done) return;
    outcome.checksum = transfer.transcoder->target_checksum();
    outcome.full_checksum = transfer.transcoder->full_checksum();
    return;
  }
  outcome.checksum = transfer.checksum.value();
  if (transfer.source_encoding() == Encoding::kFull) outcome.full_checksum = outcome.checksum;
  if (transfer.meter != nullptr) outcome.facts = transfer.meter->Result();
  outcome.bytes = transfer.source_bytes();
}

TransferOutcome TransferEngine::OutcomeOf(const Transfer& transfer) const {
  TransferFault fault = checks_.Explain(transfer, {transfer.failure, transfer.status});
  TransferOutcome outcome;
  outcome.ticket = transfer.spec.ticket;
  outcome.failure = fault.failure;
  outcome.status = std::move(fault.status);
  DescribeBytes(transfer, outcome);
  const auto add = [&](std::optional<size_t> lane, const HopMeter& meter) {
    if (!lane.has_value() || *lane >= options_.links.size() || meter.bytes == 0) return;
    LinkUse use;
    use.link = options_.links[*lane].id;
    use.cls = transfer.spec.cls;
    use.bytes = meter.bytes;
    use.busy_us = (meter.last_done - *meter.first_issued).count();
    use.latency_us = meter.latency_us;
    outcome.uses.push_back(use);
  };
  add(transfer.route.fill, transfer.fill);
  add(transfer.route.drain, transfer.drain);
  AddCodecUses(transfer, outcome);
  return outcome;
}

void TransferEngine::AddCodecUses(const Transfer& transfer, TransferOutcome& outcome) const {
  if (transfer.transcoder == nullptr || outcome.failure != TransferFailure::kNone) return;
  const auto add = [&](LinkKind kind, int64_t busy_us) {
    for (const Link& link : options_.links) {
      if (link.kind != kind) continue;
      outcome.uses.push_back({.link = link.id,
                              .cls = transfer.spec.cls,
                              .bytes = transfer.full_bytes().count(),
                              .busy_us = busy_us});
    }
  };
  const Transcoder::Options& turn = transfer.transcoder->options();
  if (turn.from == Encoding::kCompressed) {
    add(LinkKind::kDecompress, transfer.transcoder->decode_us());
  }
  if (turn.to == Encoding::kCompressed) add(LinkKind::kCompress, transfer.transcoder->encode_us());
  if (turn.to == Encoding::kLowbit) add(LinkKind::kQuantize, transfer.transcoder->encode_us());
}

}  // namespace residency
