#include "daemon/config_capacity.h"

#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/strings.h"
#include "daemon/unix_socket.h"

namespace residency {
namespace {

void CheckMemory(const Config& config, const HostFacts& host, ConfigProblems& problems) {
  const HbmBackend backend = config.hbm.backend;
  const bool hbm_is_host =
      backend == HbmBackend::kHost || (backend == HbmBackend::kAuto && !host.HasGpu());
  if (backend == HbmBackend::kCuda && !host.HasGpu()) {
    problems.Add("pools.hbm.backend",
                 "found \"cuda\", but no NVIDIA device is here: use \"auto\" or \"host\"");
  }
  const absl::StatusOr<Bytes> available = host.MemAvailable();
  if (!available.ok()) return problems.Add("pools.dram", ToStd(available.status().message()));
  const Bytes wanted = config.dram.capacity + (hbm_is_host ? config.hbm.capacity : Bytes());
  if (wanted <= *available) return;
  problems.Add("pools.dram.capacity",
               absl::StrCat("found ", FormatBytes(config.dram.capacity),
                            hbm_is_host ? absl::StrCat(" beside ", FormatBytes(config.hbm.capacity),
                                                       " of host memory for pools.hbm")
                                        : "",
                            ", but only ", FormatBytes(*available),
                            " of memory is available: lower the capacities"));
}

void CheckDisks(const Config& config, const HostFacts& host, ConfigProblems& problems) {
  std::map<uint64_t, Bytes> wanted_by_file_system;  // beyond what the files hold already
  for (size_t i = 0; i < config.nvme.size(); ++i) {
    const NvmePoolConfig& disk = config.nvme[i];
    if (disk.path.empty()) continue;
    const std::string at = absl::StrCat("pools.nvme.", i);
    const absl::StatusOr<DiskFacts> facts = host.Disk(disk.path);
    if (!facts.ok()) {
      problems.Add(at + ".path", ToStd(facts.status().message()));
      continue;
    }
    Bytes& wanted = wanted_by_file_system[facts->file_system];
    if (disk.capacity > facts->held) wanted += disk.capacity - facts->held;
    if (wanted <= facts->free) continue;
    problems.Add(
        at + ".capacity",
        absl::StrCat("found ", FormatBytes(disk.capacity), ", but the disk has only ",
                     FormatBytes(facts->free), " free beside ", FormatBytes(facts->held), " in ",
                     disk.path, ", and its pools want ", FormatBytes(wanted), " more"));
  }
}

void CheckGroup(const std::string& key, const std::string& group, ConfigProblems& problems) {
  if (group.empty()) return;
  if (const auto gid = GroupId(group); !gid.ok()) problems.Add(key, ToStd(gid.status().message()));
}

}  // namespace

void CheckCapacities(const Config& config, const HostFacts& host, ConfigProblems& problems) {
  CheckMemory(config, host, problems);
  CheckDisks(config, host, problems);
  CheckGroup("daemon.engine_socket_group", config.daemon.engine_socket.group, problems);
  CheckGroup("daemon.side_socket_group", config.daemon.side_socket.group, problems);
  CheckGroup("daemon.operator_socket_group", config.daemon.operator_socket.group, problems);
}

}  // namespace residency
