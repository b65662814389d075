#include "client/session_stream.h"

#include <utility>

#include "client/wire.h"

namespace residency::inline client::internal {

std::shared_ptr<SessionStream> SessionStream::Start(v1::EngineService::Stub& stub,
                                                    const std::string& token,
                                                    std::shared_ptr<Outbox> outbox,
                                                    Handlers handlers) {
  std::shared_ptr<SessionStream> stream(new SessionStream(std::move(outbox), std::move(handlers)));
  stream->context_.AddMetadata("residency-token-bin", token);
  stub.async()->Session(&stream->context_, stream.get());
  stream->AddHold();  // writes begin outside of reactions too
  stream->StartRead(&stream->incoming_);
  stream->StartCall();
  stream->Kick();
  return stream;
}

// Starting a write may run reactions, OnDone among them, on this thread before it returns: no lock
// may be held, and the hold keeps OnDone away until the last starter has left.
void SessionStream::Kick() {
  {
    absl::MutexLock lock(&mu_);
    if (!TakeNext()) return;
    ++starting_;
  }
  StartWrite(&outgoing_);
  bool remove_hold = false;
  {
    absl::MutexLock lock(&mu_);
    --starting_;
    remove_hold = MayRemoveHold();
  }
  if (remove_hold) RemoveHold();
}

absl::Status SessionStream::AwaitOpened(absl::Time deadline) {
  absl::MutexLock lock(&mu_);
  auto settled = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return opened_ || ended_; };
  if (!mu_.AwaitWithDeadline(absl::Condition(&settled), deadline)) {
    return absl::DeadlineExceededError("opening the session's stream: no answer in time");
  }
  return opened_ ? absl::OkStatus() : end_;
}

void SessionStream::CancelAndWait() {
  context_.TryCancel();
  done_.WaitForNotification();  // bounded: a cancelled call ends without the peer
}

void SessionStream::OnReadDone(bool ok) {
  if (ok) {
    if (incoming_.has_opened()) {
      absl::MutexLock lock(&mu_);
      opened_ = true;
    } else {
      handlers_.on_response(incoming_);
    }
    StartRead(&incoming_);
    return;
  }
  bool remove_hold = false;
  {
    absl::MutexLock lock(&mu_);
    closed_ = true;
    remove_hold = MayRemoveHold();
  }
  if (remove_hold) RemoveHold();
}

void SessionStream::OnWriteDone(bool ok) {
  {
    absl::MutexLock lock(&mu_);
    writing_ = false;
    if (!ok) closed_ = true;  // the pending read fails as well and removes the hold
    if (!TakeNext()) return;
  }
  StartWrite(&outgoing_);
}

void SessionStream::OnDone(const grpc::Status& status) {
  absl::Status end = status.ok() ? absl::UnavailableError("the session's stream was ended")
                                 : StatusFromGrpc(status, "the session's stream");
  {
    absl::MutexLock lock(&mu_);
    ended_ = true;
    end_ = std::move(end);
  }
  handlers_.on_closed();
  done_.Notify();  // nothing of this object is touched after it
}

bool SessionStream::TakeNext() {
  if (closed_ || writing_) return false;
  std::optional<v1::SessionRequest> next = outbox_->Pop();
  if (!next.has_value()) return false;
  outgoing_ = *std::move(next);
  writing_ = true;
  return true;
}

// One hold is there from the start; it goes once the stream has closed and nobody outside of the
// reactions is within it.
bool SessionStream::MayRemoveHold() {
  if (!hold_ || !closed_ || starting_ > 0) return false;
  hold_ = false;
  return true;
}

}  // namespace residency::inline client::internal
