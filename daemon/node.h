// One residencyd: everything between the configuration and the sockets' first byte, put together in
// the order in which it depends on each other and taken apart in reverse.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/catalogue_writer.h"
#include "daemon/config.h"
#include "daemon/control_loop.h"
#include "daemon/grpc_server.h"
#include "daemon/hint_hub.h"
#include "daemon/holders.h"
#include "daemon/metrics.h"
#include "daemon/monotonic_clock.h"
#include "daemon/notify.h"
#include "daemon/policy_store.h"
#include "daemon/region_map.h"
#include "daemon/services.h"
#include "daemon/session_registry.h"
#include "daemon/side_socket.h"
#include "daemon/state_dir_lock.h"
#include "daemon/storage.h"

namespace residency {

class Node {
 public:
  // Locks the directories, opens pools and catalogue, restores, listens. When it returns, clients
  // are served. Errors say which key or path to mend.
  static absl::StatusOr<std::unique_ptr<Node>> Start(const Config& config);
  // Refuses new work, ends within the deadlines of the configuration.
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // A new configuration, after SIGHUP: the policy takes effect; of the rest, what differs is named
  // in the log as needing a restart. InvalidArgument changes nothing.
  void Reload(const absl::StatusOr<Config>& config);

  // Refuses new work from now on. Idempotent.
  void BeginDrain();
  // Nothing is leased any more.
  bool Drained() const;
  // An operator asked for the end: the deadline that it gave; zero while none did.
  Micros drain_asked() const { return Micros(drain_asked_us_.load()); }

  ServiceNotifier& notifier() { return notifier_; }

 private:
  explicit Node(const Config& config);
  absl::Status LockDirectories();
  absl::Status OpenCatalogue(Controller& controller);
  absl::Status StartControl();
  absl::Status Listen();
  SideCallbacks MakeSideCallbacks();
  absl::StatusOr<FileId> RegisterFile(DomainId domain, OwnedFd fd, const std::string& path);
  // A session that offered it is over; one without a path is of use to nobody else.
  void ReleaseFile(FileId file);
  absl::StatusOr<RegionExport> ExportRegion(DomainId domain, RegionNumber number);

  const Config config_;
  const std::string instance_;  // 16 random bytes
  MonotonicClock clock_;
  ServiceNotifier notifier_;
  std::unique_ptr<StateDirLock> state_lock_;
  std::unique_ptr<StateDirLock> runtime_lock_;
  CountedHolders holders_;
  HintHub hints_;
  RegionMap regions_;
  SessionRegistry sessions_;
  std::unique_ptr<Storage> storage_;
  std::unique_ptr<ControlLoop> control_;
  std::unique_ptr<CatalogueWriter> catalogue_;
  std::unique_ptr<PolicyStore> policy_;
  std::unique_ptr<MetricsEndpoint> metrics_;
  std::unique_ptr<Services> services_;
  std::unique_ptr<SideSocket> side_;
  std::atomic<SideSocket*> side_in_service_{nullptr};  // for calls that end a session
  std::atomic<int64_t> drain_asked_us_{0};
  std::atomic<bool> draining_{false};
  std::atomic<uint64_t> reload_failures_{0};
};

}  // namespace residency
