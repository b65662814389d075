// One established connection to a daemon: its side socket, its calls, its memory, its stream.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/engine_rpc.h"
#include "client/regions.h"
#include "client/session_stream.h"
#include "client/side_channel.h"
#include "residency/client.h"

namespace residency::inline client::internal {

// Constant once shared, but for what its members do themselves.
struct Connection {
  std::unique_ptr<EngineRpc> rpc;
  v1::GetNodeInfoResponse info;
  std::unique_ptr<SideChannel> side;
  Welcome welcome;
  std::shared_ptr<DaemonInstance> instance;
  bool resumed = false;  // the session of the previous connection goes on
  uint64_t epoch = 0;    // of its leases
};

struct Sockets {
  std::string engine;
  std::string side;  // empty: as the daemon says
};
Sockets SocketsOf(const ClientOptions& options);

// The first steps: node info, hello. The stream is the caller's to open. Tries once; messages name
// the socket. `previous` may be null.
absl::StatusOr<std::shared_ptr<Connection>> Establish(const Sockets& sockets,
                                                      const Connection* previous,
                                                      absl::Time deadline,
                                                      std::atomic<uint64_t>* calls_sent);

}  // namespace residency::inline client::internal
