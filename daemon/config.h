// What residencyd is told at its start, from one TOML file. The file is validated whole: every
// problem is reported at once, as "file:line: key: what was found, what is allowed".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/bytes.h"
#include "core/clock.h"
#include "core/element.h"
#include "daemon/config_host.h"
#include "policy/config.h"

namespace residency {

// Who may connect to a socket: permission bits, and a group by name (empty: the daemon's own).
struct SocketAccess {
  uint32_t mode = 0660;
  std::string group;
};

enum class LogLevel : uint8_t { kTrace, kDebug, kInfo, kWarn, kError };

struct DaemonConfig {
  std::string runtime_dir = "/run/residencyd";    // sockets
  std::string state_dir = "/var/lib/residencyd";  // catalogue and lock
  // Directories beneath which checkpoint files may be reopened by path after a restart.
  std::vector<std::string> recipe_roots;
  LogLevel log_level = LogLevel::kInfo;
  SocketAccess engine_socket{0660, ""};
  SocketAccess side_socket{0660, ""};
  SocketAccess operator_socket{0600, ""};

  std::string EngineSocketPath() const { return runtime_dir + "/engine.sock"; }
  std::string SideSocketPath() const { return runtime_dir + "/side.sock"; }
  std::string OperatorSocketPath() const { return runtime_dir + "/operator.sock"; }
};

enum class HbmBackend : uint8_t {
  kHost,  // host memory stands in for device memory
  kCuda,
  kAuto,  // cuda where a device is found, else host
};

// Capacities of memory pools are whole segments, capacities of disks whole 4096-byte units: what
// the file says is rounded down.
struct HbmPoolConfig {
  HbmBackend backend = HbmBackend::kAuto;
  Bytes capacity = GiB(1);
  Bytes segment;
  LowbitFormat lowbit = LowbitFormat::kInt8;  // of low-bit copies
};

struct DramPoolConfig {
  Bytes capacity = GiB(2);
  Bytes segment;
  bool lock = true;         // mlock, in the background
  bool pretouch = true;     // fault pages in at start, in the background
  bool compressed = false;  // background work keeps copies compressed where that suits the block
};

enum class DiskIo : uint8_t { kAuto, kIoUring, kPread };

struct NvmePoolConfig {
  std::string name;  // unique; names the pool in the catalogue, metrics and residencyctl
  std::string path;  // of one file, preallocated to `capacity`
  Bytes capacity;
  DiskIo io = DiskIo::kAuto;
  bool compressed = false;  // as for DRAM
};

// Every bound that an operator may move. What happens at a bound: an RPC gets RESOURCE_EXHAUSTED;
// events are dropped and counted.
struct LimitsConfig {
  int64_t sessions = 256;
  int64_t sessions_per_uid = 64;
  int64_t side_connections = 512;
  int64_t files_per_session = 1024;
  int64_t models = 1024;
  int64_t blocks = 1'000'000;
  int64_t mailbox_events = 65'536;
  int64_t waiting_batches = 4096;
  int64_t acquire_blocks = 4096;
  int64_t register_blocks = 4096;
  int64_t hints_per_session = 1024;
  int64_t catalogue_queue = 65'536;
  Bytes rpc_message = MiB(8);
  Micros acquire_deadline_max{60'000'000};
  Micros hint_wait_max{10'000'000};
  Micros drain_deadline{10'000'000};  // from SIGTERM to the end
};

enum class PolicyName : uint8_t { kResidency };

struct Config {
  DaemonConfig daemon;
  HbmPoolConfig hbm;
  DramPoolConfig dram;
  std::vector<NvmePoolConfig> nvme;
  LimitsConfig limits;
  std::string metrics_listen = "127.0.0.1:9464";  // empty: no endpoint
  PolicyName policy_name = PolicyName::kResidency;
  PolicyConfig policy;
  // The keys of [policy] that the file sets; all others are defaults.
  std::vector<std::string> policy_keys_set;
};

// InvalidArgument carries every problem, one a line; NotFound or PermissionDenied if the file
// can't be read. Capacities are compared with what `host` has.
absl::StatusOr<Config> LoadConfig(const std::string& path, const HostFacts& host);
// The same from text; `file_name` is what messages call it.
absl::StatusOr<Config> ParseConfig(std::string_view text, const std::string& file_name,
                                   const HostFacts& host);

// What an empty file means, segments included. Unchecked against any host.
Config DefaultConfig();

// Every key that the file may have, as "limits.sessions" or "pools.nvme.path".
std::vector<std::string> ConfigKeys();

// The segment of a memory pool where the file names none: an eighth of the pool, at most 1 GiB, in
// 2 MiB steps, and such that little is lost to rounding the capacity to whole segments.
Bytes DefaultSegment(Bytes capacity);

}  // namespace residency
