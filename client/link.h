// Keeps a session with the daemon: connects, notices when the connection or the daemon is lost, and
// connects again, with bounded back-off, for as long as it lives. Resumes the session where the
// daemon allows it; a new session gets all models attached anew. Any thread.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/connection.h"
#include "client/lease_cache.h"
#include "client/model_state.h"
#include "client/outbox.h"
#include "client/pending_acquires.h"
#include "client/session_stream.h"

namespace residency::inline client::internal {

class Link {
 public:
  struct Parts {
    std::shared_ptr<Outbox> outbox;
    std::shared_ptr<StreamSlot> stream;
    std::shared_ptr<LeaseCache> cache;
    BlockRegistry* registry = nullptr;
    PendingAcquires* pending = nullptr;
    // Hints and counts; the rest of what arrives is handled here.
    std::function<void(const v1::SessionResponse&)> on_response;
  };

  // Bounds one try to connect, without the time to attach models again.
  static constexpr absl::Duration kTryMax = absl::Seconds(5);

  Link(const ClientOptions& options, Parts parts);
  ~Link();

  // The first connection; then the keeper's thread takes over.
  absl::Status Start();
  // No reconnecting any more; says goodbye to the daemon.
  void Stop();

  // Unavailable, with the reason, if there is none by then.
  absl::StatusOr<std::shared_ptr<Connection>> Await(absl::Time deadline);
  // Connects again if this is still the connection in use.
  void ReportBroken(const Connection& connection);

  // Held while models are introduced to a connection, which can't change meanwhile.
  absl::Mutex& setup_mutex() ABSL_LOCK_RETURNED(setup_mu_) { return setup_mu_; }

  bool connected() const;
  uint64_t reconnects() const { return reconnects_.load(std::memory_order_relaxed); }
  uint64_t calls_sent() const { return calls_sent_.load(std::memory_order_relaxed); }

 private:
  absl::Status TryOnce(absl::Time deadline);
  absl::Status ReattachAll(Connection& connection);
  absl::Status OpenStream(const std::shared_ptr<Connection>& connection, absl::Time deadline);
  void Receive(const std::shared_ptr<Connection>& connection, const v1::SessionResponse& response);
  void DropStream();
  void Keep();
  // False when stopping.
  bool Pause(absl::Duration duration);

  const ClientOptions options_;
  const Sockets sockets_;
  const Parts parts_;
  std::atomic<uint64_t> reconnects_{0};
  std::atomic<uint64_t> calls_sent_{0};

  // Only whoever connects: Start() first, then the keeper; Stop() after it.
  std::shared_ptr<Connection> last_;
  std::shared_ptr<SessionStream> stream_;

  absl::Mutex setup_mu_ ABSL_ACQUIRED_BEFORE(mu_);
  mutable absl::Mutex mu_;
  std::shared_ptr<Connection> connection_ ABSL_GUARDED_BY(mu_);  // null while there is none
  std::shared_ptr<Connection> trying_ ABSL_GUARDED_BY(mu_);      // to be cancelled on Stop()
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status last_error_ ABSL_GUARDED_BY(mu_);
  std::thread keeper_;
};

}  // namespace residency::inline client::internal
