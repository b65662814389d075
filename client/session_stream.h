// One Session stream: sends what the outbox holds, one message at a time, and hands on what
// arrives. Nothing here waits. Any thread, but the handlers run one at a time on gRPC's threads
// (or inside Kick) and must not wait either.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "client/outbox.h"
#include "residency/v1/engine.grpc.pb.h"

namespace residency::inline client::internal {

class SessionStream final
    : public grpc::ClientBidiReactor<v1::SessionRequest, v1::SessionResponse> {
 public:
  struct Handlers {
    std::function<void(const v1::SessionResponse&)> on_response;
    std::function<void()> on_closed;
  };

  // Ends only by CancelAndWait(), before which its last reference may not be dropped: gRPC would
  // otherwise destroy it, and with it perhaps the last channel, on a thread of its own, which then
  // waits for itself to end.
  static std::shared_ptr<SessionStream> Start(v1::EngineService::Stub& stub,
                                              const std::string& token,
                                              std::shared_ptr<Outbox> outbox, Handlers handlers);

  // REQUIRES: no lock is held that a handler takes.
  void Kick();
  // DeadlineExceeded, or why the stream ended.
  absl::Status AwaitOpened(absl::Time deadline);
  bool ended() {
    absl::MutexLock lock(&mu_);
    return ended_;
  }
  // After this no handler runs any more.
  void CancelAndWait();

 private:
  SessionStream(std::shared_ptr<Outbox> outbox, Handlers handlers)
      : outbox_(std::move(outbox)), handlers_(std::move(handlers)) {}

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  bool TakeNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool MayRemoveHold() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::shared_ptr<Outbox> outbox_;
  const Handlers handlers_;
  grpc::ClientContext context_;
  v1::SessionResponse incoming_;  // reactions only
  v1::SessionRequest outgoing_;   // whoever set writing_
  absl::Notification done_;

  absl::Mutex mu_;
  bool opened_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  int starting_ ABSL_GUARDED_BY(mu_) = 0;  // threads within StartWrite that are no reaction
  bool hold_ ABSL_GUARDED_BY(mu_) = true;
  absl::Status end_ ABSL_GUARDED_BY(mu_);
};

// The stream of the day, for those that only have something to send. Any thread.
class StreamSlot {
 public:
  void Set(std::shared_ptr<SessionStream> stream) {
    absl::MutexLock lock(&mu_);
    stream_ = std::move(stream);
  }
  // REQUIRES: as for the stream's.
  void Kick() {
    std::shared_ptr<SessionStream> stream;
    {
      absl::MutexLock lock(&mu_);
      stream = stream_;
    }
    if (stream != nullptr) stream->Kick();
  }

 private:
  absl::Mutex mu_;
  std::shared_ptr<SessionStream> stream_ ABSL_GUARDED_BY(mu_);
};

}  // namespace residency::inline client::internal
