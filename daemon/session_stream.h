// One Session stream: reads on and on and hands what it reads to the controller, and sends what its
// outbox holds, one message at a time. Nothing here waits.
//
// The object outlives the call for as long as somebody may still answer it: replies that come after
// the end find it finished and do nothing.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "core/clock.h"
#include "daemon/acquire_tally.h"
#include "daemon/config.h"
#include "daemon/control_port.h"
#include "daemon/hint_hub.h"
#include "daemon/rpc_ledger.h"
#include "daemon/session_registry.h"
#include "daemon/session_stream_outbox.h"
#include "residency/v1/engine.pb.h"

namespace residency {

class SessionStream;

// The streams there are, so that they can be ended from outside. Thread-safe.
class SessionStreams {
 public:
  void Add(const std::shared_ptr<SessionStream>& stream);
  void Remove(const SessionStream* stream);
  void End(SessionId session, const absl::Status& why);
  void EndAll(const absl::Status& why);

 private:
  std::vector<std::shared_ptr<SessionStream>> All();

  std::mutex mutex_;
  absl::flat_hash_map<const SessionStream*, std::weak_ptr<SessionStream>> streams_;
};

// What the engine port's calls work with. All of it outlives every call.
struct EngineParts {
  ControlPort& port;
  SessionRegistry& sessions;
  HintHub& hints;
  const Clock& clock;
  const LimitsConfig limits;
  RpcLedger& ledger;
  SessionStreams& streams;
  std::atomic<uint64_t>& reports_dropped;  // over all sessions, ended ones too
  AcquireTally& tally;

  // Posts the acquire and counts it, by session, with what becomes of it.
  void PostAcquire(AcquireBatch event, ControlPort::ReplyHandler answer);
};

class SessionStream final : public grpc::ServerBidiReactor<v1::SessionRequest, v1::SessionResponse>,
                            public std::enable_shared_from_this<SessionStream> {
 public:
  // Acquires of one stream that have not been answered yet. More are refused.
  static constexpr size_t kAcquiresMax = 2048;
  // Refusals that the client has not read yet. A stream with more is ended.
  static constexpr size_t kRefusalsMax = 256;

  static SessionStream* Start(EngineParts& parts, SessionIdentity identity);

  // Any thread.
  void End(absl::Status why);
  SessionId session() const { return identity_.id; }

 private:
  using Claim = RpcLedger::Claim;

  SessionStream(EngineParts& parts, SessionIdentity identity)
      : parts_(parts),
        identity_(identity),
        outbox_(static_cast<size_t>(parts.limits.hints_per_session)) {}

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  // Reading; one message at a time.
  void Handle(const v1::SessionRequest& request);
  void CountGap(uint64_t sequence);
  void Open(const v1::OpenStream& open);
  void Acquire(const v1::AcquireBatch& batch);
  void Release(const v1::ReleaseRequest& release);
  template <class Report>
  void HandleReport(const Report& report);
  void CountReports(uint64_t accepted, uint64_t dropped);

  // Any thread.
  void Refuse(uint64_t request_id, const absl::Status& why);
  void Answer(const Claim& claim, const Reply& reply);
  void Deliver(const Hint& hint);
  // Starts the next write, or ends the call, if it is time for either.
  void Pump();

  EngineParts& parts_;
  const SessionIdentity identity_;
  std::shared_ptr<SessionStream> self_;  // until OnDone

  // Reading only.
  v1::SessionRequest incoming_;
  uint64_t last_sequence_ = 0;
  bool opened_ = false;  // this is the session's stream; also read by OnDone

  // Whoever has set writing_, until OnWriteDone.
  SessionStreamOutbox::Message current_;

  std::mutex mutex_;  // of all below; never held while gRPC, the port or the hub is called
  SessionStreamOutbox outbox_;
  absl::flat_hash_map<uint64_t, Claim> outstanding_;  // by call
  bool writing_ = false;
  bool finished_ = false;            // Finish was called
  bool done_ = false;                // nothing more is taken
  std::optional<absl::Status> end_;  // how the call shall end; OK once all has been sent
};

}  // namespace residency
