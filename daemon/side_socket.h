// The side socket: an epoll thread that accepts engine processes, pins each down, carries packets
// to and from the protocol, and notices at once when a process with a session exits.
//
// A peer never makes it wait: a packet that can't be sent at once ends the connection. A session
// outlives its connection; it ends with the process, by a goodbye, or by an operator.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "core/clock.h"
#include "core/ids.h"
#include "daemon/session_registry.h"
#include "daemon/side_protocol.h"
#include "daemon/unix_socket.h"
#include "movers/owned_fd.h"

namespace residency {

struct SideSocketOptions {
  std::string path;
  uint32_t mode = 0660;
  std::string group;
  std::string daemon_instance;  // 16 bytes
  size_t connections_max = 512;
  size_t connections_per_uid_max = 128;
  Micros hello_deadline{5'000'000};  // a connection without a session is closed after this
  int mistakes_max = 8;              // a connection with more refused packets is closed
};

class SideSocket {
 public:
  // Listens, and starts the thread. The registry must outlive it.
  // REQUIRES: the lock of the socket's directory is held (see PrepareUnixPath).
  static absl::StatusOr<std::unique_ptr<SideSocket>> Start(SideSocketOptions options,
                                                           SessionRegistry& registry,
                                                           SideCallbacks callbacks);
  // Stops the thread, closes all connections and removes the socket. Sessions stay as they are.
  ~SideSocket();
  SideSocket(const SideSocket&) = delete;
  SideSocket& operator=(const SideSocket&) = delete;

  // Ends a session on an operator's word; session_ended follows. Thread-safe.
  void EndSession(SessionId session);

 private:
  using Deadline = std::chrono::steady_clock::time_point;

  struct Connection {
    OwnedFd fd;
    uid_t uid;
    SidePeer peer;
    Deadline hello_by;
    int mistakes = 0;
  };

  SideSocket(SideSocketOptions options, SessionRegistry& registry, SideCallbacks callbacks,
             OwnedFd listener, OwnedFd epoll, OwnedFd wake);

  // All below: the thread only.
  void Work();
  void HandleEvent(uint64_t key);
  void Accept();
  void RefuseForWantOfDescriptors();
  absl::Status CheckRoom(uid_t uid) const;
  void Receive(uint64_t key);
  // False if the connection is to be closed.
  bool Answer(Connection& connection, uint64_t key, SideAnswer answer);
  // False if the session could not be kept.
  bool Enter(const SessionRegistry::Opened& opened, uint64_t key);
  void CloseConnection(uint64_t key);
  // With its connection.
  void End(SessionId session, SessionEnd reason);
  // The connection `spared` stays open: it is still to be answered.
  void EndBut(uint64_t spared, SessionId session, SessionEnd reason);
  void EndThoseAsked();
  void CloseLateHellos(Deadline now);
  int WaitMilliseconds() const;
  bool Watch(int fd, uint64_t key);

  const SideSocketOptions options_;
  SessionRegistry& registry_;
  SideProtocol protocol_;
  const OwnedFd listener_;
  const OwnedFd epoll_;
  const OwnedFd wake_;
  OwnedFd spare_;  // given up for a moment to refuse a peer when descriptors have run out
  absl::flat_hash_map<uint64_t, std::unique_ptr<Connection>> connections_;
  struct Attached {
    int pidfd;            // owned by the registry
    uint64_t connection;  // the one that speaks for it last; may be gone
  };
  absl::flat_hash_map<SessionId, Attached> sessions_;
  uint64_t next_connection_;

  std::mutex mutex_;
  std::vector<SessionId> to_end_;
  bool stopping_ = false;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace residency
