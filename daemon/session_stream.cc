#include "daemon/session_stream.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/convert.h"
#include "daemon/convert_requests.h"
#include "daemon/rpc_status.h"

namespace residency {
namespace {

// A gap of more is a client that makes numbers up.
constexpr uint64_t kGapMax = uint64_t{1} << 32;

}  // namespace

void EngineParts::PostAcquire(AcquireBatch event, ControlPort::ReplyHandler answer) {
  const SessionId session = event.session;
  sessions.CountAsked(session);
  port.Call(
      [event = std::move(event)](RequestId request) mutable {
        event.request = request;
        return Event(std::move(event));
      },
      [this, session, answer = std::move(answer)](const Reply& reply) {
        const auto* const granted = std::get_if<GrantedBody>(&reply.body);
        const bool ok = reply.status.ok() && granted != nullptr;
        const Micros stall =
            ok && !granted->leases.empty() ? granted->leases.front().stall : Micros(0);
        sessions.CountAnswered(session, ok,
                               static_cast<uint64_t>(std::max(stall, Micros(0)).count()));
        if (ok) tally.OnGranted(*granted, clock.Now());
        answer(reply);
      });
}

SessionStream* SessionStream::Start(EngineParts& parts, SessionIdentity identity) {
  const std::shared_ptr<SessionStream> stream(new SessionStream(parts, identity));
  stream->self_ = stream;
  parts.streams.Add(stream);
  stream->StartRead(&stream->incoming_);
  return stream.get();
}

void SessionStream::End(absl::Status why) {
  {
    const std::lock_guard lock(mutex_);
    if (!end_.has_value() || end_->ok()) end_ = std::move(why);
  }
  Pump();
}

// No lock is held around StartWrite and Finish: both may run reactions before they return. While
// writing_ is set nobody else writes or finishes; once finished_ is set nobody ever does.
void SessionStream::Pump() {
  std::optional<absl::Status> finish;
  {
    const std::lock_guard lock(mutex_);
    if (writing_ || finished_) return;
    if (!end_.has_value() || end_->ok()) {
      if (std::optional<SessionStreamOutbox::Message> next = outbox_.Pop()) {
        current_ = *std::move(next);
        writing_ = true;
      }
    }
    if (!writing_) {
      if (!end_.has_value()) return;
      finished_ = true;
      finish = end_;
    }
  }
  if (finish.has_value()) {
    Finish(ToGrpc(*finish));
  } else {
    StartWrite(&current_.response);
  }
}

// ---------------------------------------------------------------- reading

void SessionStream::OnReadDone(bool ok) {
  if (!ok) return End(absl::OkStatus());
  Handle(incoming_);
  {
    const std::lock_guard lock(mutex_);
    if (end_.has_value()) return;
  }
  StartRead(&incoming_);
}

void SessionStream::Handle(const v1::SessionRequest& request) {
  parts_.ledger.Flush();
  CountGap(request.sequence());
  if (opened_ == request.has_open()) {
    return End(absl::InvalidArgumentError(
        opened_ ? "open: comes first on a stream, and only once"
                : "request: the first message on a stream must be open, with the leases held"));
  }
  switch (request.request_case()) {
    case v1::SessionRequest::kOpen:
      return Open(request.open());
    case v1::SessionRequest::kAcquire:
      return Acquire(request.acquire());
    case v1::SessionRequest::kRelease:
      return Release(request.release());
    case v1::SessionRequest::kAccess:
      return HandleReport(request.access());
    case v1::SessionRequest::kRouting:
      return HandleReport(request.routing());
    case v1::SessionRequest::kStep:
      return HandleReport(request.step());
    case v1::SessionRequest::REQUEST_NOT_SET:
      // Of a newer client, or nonsense; either way nothing that can be answered.
      return CountReports(0, 1);
  }
}

void SessionStream::CountGap(uint64_t sequence) {
  if (sequence <= last_sequence_) return;
  const uint64_t gap = sequence - last_sequence_ - 1;
  last_sequence_ = sequence;
  if (gap > 0) CountReports(0, std::min(gap, kGapMax));
}

void SessionStream::Open(const v1::OpenStream& open) {
  absl::StatusOr<SessionResumed> resumed = Decode(open, identity_.id);
  if (!resumed.ok()) return End(resumed.status());
  if (!parts_.sessions.OpenStream(identity_.id)) {
    return End(absl::FailedPreconditionError(
        "open: the session has a stream already, or has ended: end the other stream first"));
  }
  // What was kept of earlier streams is settled by what the client says it holds.
  parts_.ledger.Forget(identity_.id);
  if (!parts_.port.Post(*std::move(resumed))) {
    parts_.sessions.CloseStream(identity_.id);
    return End(absl::ResourceExhaustedError(
        "open: the daemon has too many events waiting: open the stream again in a moment"));
  }
  opened_ = true;
  {
    const std::lock_guard lock(mutex_);
    outbox_.PushOpened(identity_.id);
  }
  Pump();
  parts_.hints.SetSink(identity_.id,
                       [self = shared_from_this()](const Hint& hint) { self->Deliver(hint); });
}

void SessionStream::Acquire(const v1::AcquireBatch& batch) {
  absl::StatusOr<AcquireBatch> event =
      Decode(batch, identity_.id, parts_.limits, parts_.clock.Now());
  if (!event.ok()) return Refuse(batch.request_id(), event.status());
  const Claim claim = parts_.ledger.Begin(identity_.id, batch.request_id());
  bool room = false;
  {
    const std::lock_guard lock(mutex_);
    room = outstanding_.size() < kAcquiresMax;
    if (room) outstanding_.emplace(claim.call, claim);
  }
  if (!room) {
    parts_.ledger.Settle(claim);
    return Refuse(batch.request_id(),
                  absl::ResourceExhaustedError(absl::StrCat(
                      "the stream has ", kAcquiresMax,
                      " acquires under way, the most that may be: wait for some answers")));
  }
  parts_.PostAcquire(*std::move(event), [self = shared_from_this(), claim](const Reply& reply) {
    self->Answer(claim, reply);
  });
}

void SessionStream::Release(const v1::ReleaseRequest& release) {
  absl::StatusOr<LeasesReleased> event = Decode(release, identity_.id);
  if (!event.ok()) return End(event.status());
  if (parts_.ledger.PostSurely(identity_.id, *std::move(event))) return;
  End(absl::ResourceExhaustedError(
      "release: the daemon has too many events waiting: open a new stream with the leases held"));
}

template <class Report>
void SessionStream::HandleReport(const Report& report) {
  auto event = Decode(report, identity_.id);
  const bool accepted = event.ok() && parts_.port.Post(*std::move(event));
  CountReports(accepted ? 1 : 0, accepted ? 0 : 1);
}

void SessionStream::CountReports(uint64_t accepted, uint64_t dropped) {
  parts_.sessions.CountEvents(identity_.id, accepted, dropped);
  parts_.reports_dropped.fetch_add(dropped, std::memory_order_relaxed);
  {
    const std::lock_guard lock(mutex_);
    outbox_.CountReports(accepted, dropped);
  }
  Pump();
}

// ---------------------------------------------------------------- writing

void SessionStream::Refuse(uint64_t request_id, const absl::Status& why) {
  v1::AcquireResult result;
  result.set_request_id(request_id);
  result.set_code(static_cast<int>(why.code()));
  result.set_message(std::string(why.message()));
  bool too_many = false;
  {
    const std::lock_guard lock(mutex_);
    outbox_.PushAcquired(std::move(result), std::nullopt);
    too_many = outbox_.refusals() > kRefusalsMax;
  }
  if (too_many) {
    return End(absl::ResourceExhaustedError(
        absl::StrCat("more than ", kRefusalsMax,
                     " refused acquires wait to be read; the last: ", why.message())));
  }
  Pump();
}

void SessionStream::Answer(const Claim& claim, const Reply& reply) {
  v1::AcquireResult result;
  result.set_request_id(claim.client_request);
  result.set_code(static_cast<int>(reply.status.code()));
  result.set_message(std::string(reply.status.message()));
  if (const auto* granted = std::get_if<GrantedBody>(&reply.body); granted && reply.status.ok()) {
    for (const GrantedLease& lease : granted->leases) *result.add_leases() = ToProto(lease);
  }
  {
    const std::lock_guard lock(mutex_);
    // The stream has ended, and given back what it was about to be granted.
    if (!outstanding_.contains(claim.call)) return;
    outbox_.PushAcquired(std::move(result), claim);
  }
  Pump();
}

void SessionStream::Deliver(const Hint& hint) {
  bool late = false;
  {
    const std::lock_guard lock(mutex_);
    late = done_;
    if (!late) outbox_.PushHint(hint);
  }
  if (late) return parts_.hints.Deliver(identity_.id, hint);  // to whatever comes next
  Pump();
}

void SessionStream::OnWriteDone(bool ok) {
  std::optional<Claim> settled;
  {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    if (ok) {
      settled = current_.claim;
      if (settled.has_value()) outstanding_.erase(settled->call);
      current_.hint.reset();
    } else if (!end_.has_value() || end_->ok()) {
      end_ = absl::CancelledError("the client is gone");
    }
  }
  if (settled.has_value()) parts_.ledger.Settle(*settled);
  Pump();
}

// ---------------------------------------------------------------- ending

void SessionStream::OnCancel() { End(absl::CancelledError("the call was cancelled")); }

// The order matters: the session's next stream may open as soon as this one is closed, and must
// find all of this one's events posted and its hints queued.
void SessionStream::OnDone() {
  const std::shared_ptr<SessionStream> self = std::move(self_);
  if (opened_) parts_.hints.SetSink(identity_.id, nullptr);
  absl::flat_hash_map<uint64_t, Claim> outstanding;
  std::vector<SessionStreamOutbox::Message> unsent;
  std::optional<Hint> interrupted;
  {
    const std::lock_guard lock(mutex_);
    done_ = true;
    outstanding = std::exchange(outstanding_, {});
    interrupted = std::exchange(current_.hint, std::nullopt);
    unsent = outbox_.TakeUnsent();
  }
  for (const auto& [call, claim] : outstanding) parts_.ledger.Abandon(claim);
  if (interrupted.has_value()) parts_.hints.Deliver(identity_.id, *interrupted);
  for (const SessionStreamOutbox::Message& message : unsent) {
    if (message.hint.has_value()) parts_.hints.Deliver(identity_.id, *message.hint);
  }
  parts_.streams.Remove(this);
  if (opened_) parts_.sessions.CloseStream(identity_.id);
}

// ---------------------------------------------------------------- all streams

void SessionStreams::Add(const std::shared_ptr<SessionStream>& stream) {
  const std::lock_guard lock(mutex_);
  streams_.emplace(stream.get(), stream);
}

void SessionStreams::Remove(const SessionStream* stream) {
  const std::lock_guard lock(mutex_);
  streams_.erase(stream);
}

std::vector<std::shared_ptr<SessionStream>> SessionStreams::All() {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<SessionStream>> all;
  for (const auto& [key, weak] : streams_) {
    if (std::shared_ptr<SessionStream> stream = weak.lock()) all.push_back(std::move(stream));
  }
  return all;
}

void SessionStreams::End(SessionId session, const absl::Status& why) {
  for (const std::shared_ptr<SessionStream>& stream : All()) {
    if (stream->session() == session) stream->End(why);
  }
}

void SessionStreams::EndAll(const absl::Status& why) {
  for (const std::shared_ptr<SessionStream>& stream : All()) stream->End(why);
}

}  // namespace residency
