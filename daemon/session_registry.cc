#include "daemon/session_registry.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace residency {
namespace {

absl::StatusOr<SessionToken> NewToken() {
  SessionToken token;
  // So few bytes come whole or not at all.
  if (getrandom(token.data(), token.size(), 0) != static_cast<ssize_t>(token.size())) {
    return absl::ErrnoToStatus(errno, "getrandom for a session token");
  }
  return token;
}

}  // namespace

std::optional<SessionToken> ParseSessionToken(std::string_view bytes) {
  SessionToken token;
  if (bytes.size() != token.size()) return std::nullopt;
  std::memcpy(token.data(), bytes.data(), token.size());
  return token;
}

std::string_view TokenBytes(const SessionToken& token) {
  return {reinterpret_cast<const char*>(token.data()), token.size()};
}

absl::StatusOr<SessionRegistry::Opened> SessionRegistry::Open(PeerProcess peer) {
  const absl::StatusOr<SessionToken> token = NewToken();
  if (!token.ok()) return token.status();
  const std::lock_guard lock(mutex_);
  if (sessions_.size() >= limits_.sessions_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat(sessions_.size(),
                     " sessions are open, the limit is limits.sessions = ", limits_.sessions_max));
  }
  const DomainId domain(peer.uid);
  size_t& count = count_by_domain_[domain];
  if (count >= limits_.sessions_per_domain_max) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "uid ", peer.uid, " has ", count, " sessions open, the limit is limits.sessions_per_uid = ",
        limits_.sessions_per_domain_max));
  }
  ++count;
  Session session;
  session.identity = {SessionId(next_session_++), domain};
  session.token = *token;
  session.peer = std::move(peer);
  session.opened = std::chrono::system_clock::now();
  const Opened opened{session.identity, *token, session.peer.pidfd.get()};
  by_token_.emplace(*token, session.identity.id);
  sessions_.emplace(session.identity.id, std::move(session));
  return opened;
}

absl::StatusOr<SessionRegistry::Opened> SessionRegistry::Resume(const SessionToken& token,
                                                                pid_t pid) const {
  const std::lock_guard lock(mutex_);
  const auto it = by_token_.find(token);
  if (it == by_token_.end()) {
    return absl::NotFoundError("no session has this token (any more): say hello without one");
  }
  const Session& session = *Find(it->second);
  // While the session is open its process has not been reaped as far as our pidfd knows, so the
  // same number is the same process.
  if (session.peer.pid != pid) {
    return absl::PermissionDeniedError(
        absl::StrCat("this token belongs to process ", session.peer.pid, ", not to ", pid));
  }
  return Opened{session.identity, session.token, session.peer.pidfd.get()};
}

bool SessionRegistry::Close(SessionId id) {
  std::vector<FileId> files;
  {
    const std::lock_guard lock(mutex_);
    const auto it = sessions_.find(id);
    if (it == sessions_.end()) return false;
    const auto count = count_by_domain_.find(it->second.identity.domain);
    if (--count->second == 0) count_by_domain_.erase(count);
    by_token_.erase(it->second.token);
    files = std::move(it->second.files);
    sessions_.erase(it);
  }
  if (!file_released_) return true;
  for (const FileId file : files) {
    if (file.valid()) file_released_(file);
  }
  return true;
}

absl::StatusOr<SessionIdentity> SessionRegistry::Authenticate(std::string_view token) const {
  const std::optional<SessionToken> parsed = ParseSessionToken(token);
  if (parsed.has_value()) {
    const std::lock_guard lock(mutex_);
    const auto it = by_token_.find(*parsed);
    if (it != by_token_.end()) return Find(it->second)->identity;
  }
  return absl::UnauthenticatedError(
      parsed.has_value() ? "the session of this token has ended, or is of another daemon: say "
                           "hello on the side socket again"
                         : absl::StrCat("found a session token of ", token.size(),
                                        " bytes, wanted 16: the side socket gives one out"));
}

absl::StatusOr<uint32_t> SessionRegistry::AddFile(SessionId id, FileId file) {
  const std::lock_guard lock(mutex_);
  Session* const session = Find(id);
  if (session == nullptr) return absl::NotFoundError("the session has ended");
  std::vector<FileId>& files = session->files;
  // A file that is offered again keeps its handle.
  auto known = std::ranges::find(files, file);
  // One that was dropped leaves its place to the next.
  if (known == files.end()) {
    known = std::ranges::find(files, FileId());
    if (known != files.end()) *known = file;
  }
  if (known == files.end() && files.size() >= limits_.files_per_session_max) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the session has offered ", files.size(),
        " files, the limit is limits.files_per_session = ", limits_.files_per_session_max));
  }
  const auto index = static_cast<uint32_t>(known - files.begin());
  if (known == files.end()) files.push_back(file);
  return index + 1;
}

absl::StatusOr<FileId> SessionRegistry::FindFile(SessionId id, uint32_t handle) const {
  const std::lock_guard lock(mutex_);
  const Session* const session = Find(id);
  if (session == nullptr) return absl::NotFoundError("the session has ended");
  if (handle >= 1 && handle <= session->files.size() && session->files[handle - 1].valid()) {
    return session->files[handle - 1];
  }
  return absl::InvalidArgumentError(
      absl::StrCat("file_handle: found ", handle, ", this session has handles 1 to ",
                   session->files.size(), ": offer the file on the side socket first"));
}

void SessionRegistry::DropFile(SessionId id, FileId file) {
  const std::lock_guard lock(mutex_);
  if (Session* const session = Find(id)) {
    std::ranges::replace(session->files, file, FileId());
  }
}

bool SessionRegistry::OpenStream(SessionId id) {
  const std::lock_guard lock(mutex_);
  Session* const session = Find(id);
  if (session == nullptr || session->stream_open) return false;
  session->stream_open = true;
  return true;
}

void SessionRegistry::CloseStream(SessionId id) {
  const std::lock_guard lock(mutex_);
  if (Session* const session = Find(id)) session->stream_open = false;
}

void SessionRegistry::CountEvents(SessionId id, uint64_t accepted, uint64_t dropped) {
  const std::lock_guard lock(mutex_);
  if (Session* const session = Find(id)) {
    session->counters.events_accepted += accepted;
    session->counters.events_dropped += dropped;
  }
}

void SessionRegistry::CountAsked(SessionId id) {
  const std::lock_guard lock(mutex_);
  if (Session* const session = Find(id)) ++session->counters.acquires_asked;
}

void SessionRegistry::CountAnswered(SessionId id, bool granted, uint64_t stall_us) {
  const std::lock_guard lock(mutex_);
  Session* const session = Find(id);
  if (session == nullptr) return;
  SessionCounters& counters = session->counters;
  ++counters.acquires;
  if (!granted) {
    ++counters.acquires_failed;
  } else if (stall_us > 0) {
    ++counters.acquires_waited;
    counters.stall_us += stall_us;
  }
}

size_t SessionRegistry::size() const {
  const std::lock_guard lock(mutex_);
  return sessions_.size();
}

std::vector<SessionInfo> SessionRegistry::List() const {
  std::vector<SessionInfo> list;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, session] : sessions_) {
      list.push_back({id, session.identity.domain, session.peer.pid, session.peer.name,
                      session.opened, session.stream_open,
                      static_cast<uint32_t>(session.files.size()), session.counters});
    }
  }
  std::ranges::sort(list, {}, &SessionInfo::id);
  return list;
}

const SessionRegistry::Session* SessionRegistry::Find(SessionId id) const {
  const auto it = sessions_.find(id);
  return it == sessions_.end() ? nullptr : &it->second;
}

SessionRegistry::Session* SessionRegistry::Find(SessionId id) {
  const auto it = sessions_.find(id);
  return it == sessions_.end() ? nullptr : &it->second;
}

}  // namespace residency
