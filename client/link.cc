#include "client/link.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/attach.h"
#include "client/wire.h"

namespace residency::inline client::internal {
namespace {

constexpr absl::Duration kGoodbyeMax = absl::Seconds(1);

std::vector<uint64_t> ToVector(const google::protobuf::RepeatedField<uint64_t>& ids) {
  return {ids.begin(), ids.end()};
}

}  // namespace

Link::Link(const ClientOptions& options, Parts parts)
    : options_(options), sockets_(SocketsOf(options)), parts_(std::move(parts)) {}

Link::~Link() { Stop(); }

absl::Status Link::Start() {
  const absl::Time deadline = absl::Now() + options_.connect_deadline;
  absl::Duration pause = options_.retry_first;
  for (int tries = 1;; ++tries) {
    absl::Status status = TryOnce(std::min(deadline, absl::Now() + kTryMax));
    if (status.ok()) break;
    if (!IsTransient(status) || absl::Now() + pause >= deadline) {
      return absl::Status(
          IsTransient(status) ? absl::StatusCode::kUnavailable : status.code(),
          absl::StrCat(options_.name.empty() ? "" : absl::StrCat(options_.name, ": "),
                       "connecting to residencyd at ", sockets_.engine, " failed after ", tries,
                       tries == 1 ? " try" : " tries", " (deadline ",
                       absl::FormatDuration(options_.connect_deadline), "): ", status.message(),
                       IsTransient(status) ? "; is residencyd running there?" : ""));
    }
    Pause(pause);
    pause = std::min(2 * pause, options_.retry_last);
  }
  keeper_ = std::thread([this] { Keep(); });
  return absl::OkStatus();
}

void Link::Stop() {
  {
    absl::MutexLock lock(&mu_);
    if (stopping_) return;
    stopping_ = true;
    if (trying_ != nullptr) trying_->rpc->Cancel();
    if (connection_ != nullptr) connection_->rpc->Cancel();
  }
  if (keeper_.joinable()) keeper_.join();
  DropStream();
  // Best effort: a daemon that misses it notices the end of the process.
  if (last_ != nullptr) last_->side->Goodbye(absl::Now() + kGoodbyeMax).IgnoreError();
}

absl::StatusOr<std::shared_ptr<Connection>> Link::Await(absl::Time deadline) {
  absl::MutexLock lock(&mu_);
  auto settled = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return stopping_ || connection_ != nullptr;
  };
  mu_.AwaitWithDeadline(absl::Condition(&settled), deadline);
  if (stopping_) return absl::CancelledError("the client ends");
  if (connection_ != nullptr) return connection_;
  return absl::UnavailableError(
      absl::StrCat("no connection to residencyd: ", last_error_.message()));
}

void Link::ReportBroken(const Connection& connection) {
  absl::MutexLock lock(&mu_);
  if (connection_.get() == &connection) connection_ = nullptr;
}

bool Link::connected() const {
  absl::MutexLock lock(&mu_);
  return connection_ != nullptr;
}

absl::Status Link::TryOnce(absl::Time deadline) {
  if (last_ != nullptr) last_->side->Close();  // a session has one side connection
  absl::StatusOr<std::shared_ptr<Connection>> established =
      Establish(sockets_, last_.get(), deadline, &calls_sent_);
  if (!established.ok()) return established.status();
  std::shared_ptr<Connection> connection = *std::move(established);
  {
    absl::MutexLock lock(&mu_);
    if (stopping_) return absl::CancelledError("the client ends");
    trying_ = connection;
  }
  absl::MutexLock setup(&setup_mu_);
  if (!connection->resumed && last_ != nullptr) {
    parts_.cache->EndEpoch(connection->instance == last_->instance ? Loss::kRevoked
                                                                   : Loss::kOrphaned);
  }
  connection->epoch = parts_.cache->epoch();
  last_ = connection;
  if (!connection->resumed) {
    if (absl::Status attached = ReattachAll(*connection); !attached.ok()) return attached;
  }
  return OpenStream(connection, deadline);
}

absl::Status Link::ReattachAll(Connection& connection) {
  parts_.registry->ForgetWireIds();
  for (const std::shared_ptr<ModelState>& model : parts_.registry->Models()) {
    absl::StatusOr<std::vector<uint32_t>> wire_ids =
        AttachTo(connection, *model, *parts_.registry, options_.call_deadline);
    if (!wire_ids.ok()) {
      // Else the next try would resume this session and take its models for attached.
      last_->welcome.session_id = 0;
      return absl::Status(wire_ids.status().code(),
                          absl::StrCat("attaching model \"", model->name,
                                       "\" again: ", wire_ids.status().message()));
    }
    parts_.registry->Renumber(*model, *wire_ids);
  }
  return absl::OkStatus();
}

absl::Status Link::OpenStream(const std::shared_ptr<Connection>& connection, absl::Time deadline) {
  // The outbox opens before the list of held leases is made, so that a lease released in between
  // is in neither or named as released; never kept by mistake.
  parts_.outbox->Open();
  parts_.outbox->PushOpen(parts_.cache->HeldIds());
  SessionStream::Handlers handlers;
  handlers.on_response = [this, connection](const v1::SessionResponse& response) {
    Receive(connection, response);
  };
  handlers.on_closed = [this, connection] { ReportBroken(*connection); };
  stream_ = SessionStream::Start(connection->rpc->stub(), connection->rpc->token(), parts_.outbox,
                                 std::move(handlers));
  if (absl::Status opened = stream_->AwaitOpened(deadline); !opened.ok()) {
    DropStream();
    return opened;
  }
  parts_.stream->Set(stream_);
  parts_.pending->Connected(connection->info.acquire_blocks_max());
  stream_->Kick();
  absl::MutexLock lock(&mu_);
  trying_ = nullptr;
  // A stream that ended before this line found no connection to report.
  connection_ = stream_->ended() ? nullptr : connection;
  return absl::OkStatus();
}

void Link::Receive(const std::shared_ptr<Connection>& connection,
                   const v1::SessionResponse& response) {
  if (response.has_acquired()) {
    parts_.pending->Answer(connection, response.acquired());
  } else if (response.has_hint() && response.hint().has_recall()) {
    parts_.cache->Recall(ToVector(response.hint().recall().lease_ids()));
  } else {
    parts_.on_response(response);
  }
}

void Link::DropStream() {
  parts_.pending->Disconnected();
  parts_.outbox->Close();
  parts_.stream->Set(nullptr);
  if (stream_ != nullptr) stream_->CancelAndWait();
  stream_ = nullptr;
}

void Link::Keep() {
  while (true) {
    {
      absl::MutexLock lock(&mu_);
      auto needed = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return stopping_ || connection_ == nullptr;
      };
      mu_.Await(absl::Condition(&needed));
      if (stopping_) return;
    }
    absl::Duration pause = options_.retry_first;
    while (true) {
      DropStream();
      absl::Status status = TryOnce(absl::Now() + kTryMax);
      if (status.ok()) break;
      {
        absl::MutexLock lock(&mu_);
        last_error_ = status;
      }
      if (!Pause(pause)) return;
      pause = std::min(2 * pause, options_.retry_last);
    }
    reconnects_.fetch_add(1, std::memory_order_relaxed);
  }
}

bool Link::Pause(absl::Duration duration) {
  absl::MutexLock lock(&mu_);
  mu_.AwaitWithTimeout(absl::Condition(&stopping_), duration);
  return !stopping_;
}

}  // namespace residency::inline client::internal
