// Who is attached: one session for each engine process that said hello on the side socket. Maps
// the token that every engine call carries to the session and its domain. Thread-safe.
#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/ids.h"
#include "movers/owned_fd.h"

namespace residency {

// 128 random bits: whoever has them is the session.
using SessionToken = std::array<uint8_t, 16>;
// None if `bytes` is not 16 bytes long.
std::optional<SessionToken> ParseSessionToken(std::string_view bytes);
std::string_view TokenBytes(const SessionToken& token);

// A peer that has been pinned down: the pidfd is of this very process, not of a later one with the
// same number.
struct PeerProcess {
  uid_t uid = 0;
  pid_t pid = 0;
  std::string name;  // printable, for people only
  OwnedFd pidfd;     // readable once the process has exited
};

struct SessionCounters {
  uint64_t events_accepted = 0;
  uint64_t events_dropped = 0;
  uint64_t acquires_asked = 0;
  uint64_t acquires = 0;  // answered
  uint64_t acquires_waited = 0;
  uint64_t acquires_failed = 0;
  uint64_t stall_us = 0;
};

struct SessionIdentity {
  SessionId id;
  DomainId domain;
};

// What operators see of a session.
struct SessionInfo {
  SessionId id;
  DomainId domain;
  pid_t pid = 0;
  std::string process_name;
  std::chrono::system_clock::time_point opened;
  bool stream_open = false;
  uint32_t files = 0;
  SessionCounters counters;
};

struct SessionLimits {
  size_t sessions_max = 256;
  size_t sessions_per_domain_max = 64;
  size_t files_per_session_max = 1024;
};

class SessionRegistry {
 public:
  // `file_released`: called for every file that a session still had when it closed; may be empty.
  explicit SessionRegistry(SessionLimits limits, std::function<void(FileId)> file_released = {})
      : limits_(limits), file_released_(std::move(file_released)) {}

  struct Opened {
    SessionIdentity identity;
    SessionToken token;
    int pidfd;  // of the session; valid until Close
  };
  // Domain = uid. ResourceExhausted at a limit.
  absl::StatusOr<Opened> Open(PeerProcess peer);
  // The session of this token, if it belongs to that process. NotFound if there is none (any
  // more); PermissionDenied for another process.
  absl::StatusOr<Opened> Resume(const SessionToken& token, pid_t pid) const;
  // False if it is gone already.
  bool Close(SessionId session);

  // What every engine call begins with. Unauthenticated says where a token comes from.
  absl::StatusOr<SessionIdentity> Authenticate(std::string_view token) const;

  // The number by which the session's calls name the file. ResourceExhausted at the limit.
  absl::StatusOr<uint32_t> AddFile(SessionId session, FileId file);
  // Its handle is not valid any more, and may be given to the next file.
  void DropFile(SessionId session, FileId file);
  // InvalidArgument for a handle that this session does not have.
  absl::StatusOr<FileId> FindFile(SessionId session, uint32_t handle) const;

  // A session has at most one stream: false if it is open already, or the session is gone.
  bool OpenStream(SessionId session);
  void CloseStream(SessionId session);
  void CountEvents(SessionId session, uint64_t accepted, uint64_t dropped);
  // An acquire is handed to the controller, and, later, its answer is here.
  void CountAsked(SessionId session);
  void CountAnswered(SessionId session, bool granted, uint64_t stall_us);

  size_t size() const;
  std::vector<SessionInfo> List() const;  // by id

 private:
  struct Session {
    SessionIdentity identity;
    SessionToken token;
    PeerProcess peer;
    std::chrono::system_clock::time_point opened;
    bool stream_open = false;
    std::vector<FileId> files;  // handle - 1; none: dropped
    SessionCounters counters;
  };

  // Null if there is none. REQUIRES: mutex_ is held.
  const Session* Find(SessionId session) const;
  Session* Find(SessionId session);

  const SessionLimits limits_;
  const std::function<void(FileId)> file_released_;

  mutable std::mutex mutex_;
  absl::flat_hash_map<SessionId, Session> sessions_;
  absl::flat_hash_map<SessionToken, SessionId> by_token_;
  absl::flat_hash_map<DomainId, size_t> count_by_domain_;
  uint64_t next_session_ = 1;
};

}  // namespace residency
