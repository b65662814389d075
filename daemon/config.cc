#include "daemon/config.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <limits>

#include "absl/strings/str_cat.h"
#include "core/strings.h"
#include "daemon/config_capacity.h"
#include "daemon/config_document.h"
#include "daemon/config_reader.h"
#include "movers/owned_fd.h"

namespace residency {
namespace {

constexpr Bytes kFileMax = MiB(1);
constexpr Bytes kPoolMin = MiB(2);
constexpr Bytes kPoolMax = Bytes(uint64_t{1} << 50);
constexpr Bytes kSegmentMin = MiB(2);
constexpr Bytes kSegmentMax = GiB(64);
constexpr int64_t kMillion = 1'000'000;

constexpr ConfigChoice<LogLevel> kLogLevels[] = {{"trace", LogLevel::kTrace},
                                                 {"debug", LogLevel::kDebug},
                                                 {"info", LogLevel::kInfo},
                                                 {"warn", LogLevel::kWarn},
                                                 {"error", LogLevel::kError}};
constexpr ConfigChoice<HbmBackend> kBackends[] = {
    {"auto", HbmBackend::kAuto}, {"host", HbmBackend::kHost}, {"cuda", HbmBackend::kCuda}};
constexpr ConfigChoice<DiskIo> kDiskIos[] = {
    {"auto", DiskIo::kAuto}, {"io_uring", DiskIo::kIoUring}, {"pread", DiskIo::kPread}};
constexpr ConfigChoice<LowbitFormat> kLowbitFormats[] = {{"int8", LowbitFormat::kInt8},
                                                         {"int4", LowbitFormat::kInt4}};
constexpr ConfigChoice<PolicyName> kPolicies[] = {{"residency", PolicyName::kResidency}};

// What every section needs: where problems go, and the list of keys asked for.
struct Reading {
  ConfigProblems& problems;
  std::vector<std::string> keys;

  void Finish(SectionReader& section) {
    section.RejectUnknown();
    keys.insert(keys.end(), section.asked().begin(), section.asked().end());
  }
};

void CheckSocketPath(const SectionReader& section, std::string_view key, const std::string& path,
                     ConfigProblems& problems) {
  constexpr size_t kPathMax = sizeof(sockaddr_un::sun_path) - 1;
  if (path.size() <= kPathMax) return;
  problems.Add(section.PathOf(key), absl::StrCat("the socket path ", path, " has ", path.size(),
                                                 " bytes, the kernel allows ", kPathMax,
                                                 ": choose a shorter directory"));
}

void ReadDaemon(const ConfigNode* table, DaemonConfig& out, Reading& reading) {
  SectionReader section(table, "daemon", reading.problems);
  section.Path("runtime_dir", out.runtime_dir);
  section.Path("state_dir", out.state_dir);
  section.PathList("recipe_roots", out.recipe_roots);
  section.Choice("log_level", out.log_level, kLogLevels);
  section.Mode("engine_socket_mode", out.engine_socket.mode);
  section.Text("engine_socket_group", out.engine_socket.group);
  section.Mode("side_socket_mode", out.side_socket.mode);
  section.Text("side_socket_group", out.side_socket.group);
  section.Mode("operator_socket_mode", out.operator_socket.mode);
  section.Text("operator_socket_group", out.operator_socket.group);
  CheckSocketPath(section, "runtime_dir", out.OperatorSocketPath(), reading.problems);
  reading.Finish(section);
}

// The segment that was asked for, or the default one, in a capacity of whole segments.
void FitSegments(const SectionReader& section, Bytes& capacity, Bytes& segment,
                 ConfigProblems& problems) {
  if (segment.zero()) segment = DefaultSegment(capacity);
  if (segment.count() % kSegmentMin.count() != 0) {
    problems.Add(section.PathOf("segment"),
                 absl::StrCat("found ", segment.count(), " bytes, allowed is a multiple of 2MiB"));
  }
  if (segment > capacity) {
    problems.Add(section.PathOf("segment"),
                 absl::StrCat("found ", FormatBytes(segment), ", allowed is at most the capacity (",
                              FormatBytes(capacity), ")"));
    return;
  }
  capacity = segment * (capacity / segment);
}

void Require(const SectionReader& section, std::string_view key, ConfigProblems& problems) {
  if (section.Has(key)) return;
  problems.Add(section.PathOf(key), "missing, and it has no default");
}

void ReadHbm(const ConfigNode* table, HbmPoolConfig& out, Reading& reading) {
  SectionReader section(table, "pools.hbm", reading.problems);
  section.Choice("backend", out.backend, kBackends);
  section.Choice("lowbit", out.lowbit, kLowbitFormats);
  section.Size("capacity", out.capacity, kPoolMin, kPoolMax);
  section.Size("segment", out.segment, kSegmentMin, kSegmentMax);
  FitSegments(section, out.capacity, out.segment, reading.problems);
  reading.Finish(section);
}

void ReadDram(const ConfigNode* table, DramPoolConfig& out, Reading& reading) {
  SectionReader section(table, "pools.dram", reading.problems);
  section.Size("capacity", out.capacity, kPoolMin, kPoolMax);
  section.Size("segment", out.segment, kSegmentMin, kSegmentMax);
  section.Switch("lock", out.lock);
  section.Switch("pretouch", out.pretouch);
  section.Switch("compressed", out.compressed);
  FitSegments(section, out.capacity, out.segment, reading.problems);
  reading.Finish(section);
}

bool IsPoolName(std::string_view name) {
  constexpr size_t kNameMax = 32;
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= kNameMax && std::ranges::all_of(name, allowed);
}

NvmePoolConfig ReadDisk(const ConfigNode* table, size_t index, Reading& reading) {
  constexpr Bytes kBlock = KiB(4);
  NvmePoolConfig out;
  out.name = absl::StrCat("nvme", index);
  // Messages of later checks find the line by this path.
  SectionReader section(table, absl::StrCat("pools.nvme.", index), reading.problems);
  section.Text("name", out.name);
  section.Path("path", out.path);
  section.Size("capacity", out.capacity, kPoolMin, kPoolMax);
  section.Choice("io", out.io, kDiskIos);
  section.Switch("compressed", out.compressed);
  Require(section, "path", reading.problems);
  Require(section, "capacity", reading.problems);
  if (!IsPoolName(out.name)) {
    reading.problems.Add(
        section.PathOf("name"),
        absl::StrCat("found \"", out.name, "\", allowed are 1 to 32 of a-z, 0-9, \"_\" and \"-\""));
  }
  out.capacity = kBlock * (out.capacity / kBlock);
  section.RejectUnknown();
  return out;
}

void ReadDisks(const std::vector<const ConfigNode*>& tables, std::vector<NvmePoolConfig>& out,
               Reading& reading) {
  constexpr size_t kDisksMax = 64;
  if (tables.size() > kDisksMax) {
    reading.problems.Add("pools.nvme",
                         absl::StrCat("found ", tables.size(), " disks, allowed are ", kDisksMax));
    return;
  }
  for (size_t i = 0; i < tables.size(); ++i) {
    const NvmePoolConfig disk = ReadDisk(tables[i], i, reading);
    for (const NvmePoolConfig& other : out) {
      const std::string at = absl::StrCat("pools.nvme.", i);
      if (other.name == disk.name) {
        reading.problems.Add(at + ".name", absl::StrCat("\"", disk.name, "\" is used twice"));
      }
      if (other.path == disk.path && !disk.path.empty()) {
        reading.problems.Add(at + ".path", absl::StrCat("\"", disk.path, "\" is used twice"));
      }
    }
    out.push_back(disk);
  }
  for (const char* key : {"name", "path", "capacity", "io", "compressed"}) {
    reading.keys.push_back(absl::StrCat("pools.nvme.", key));
  }
}

void ReadPools(const ConfigNode* table, Config& out, Reading& reading) {
  SectionReader pools(table, "pools", reading.problems);
  ReadHbm(pools.Table("hbm"), out.hbm, reading);
  ReadDram(pools.Table("dram"), out.dram, reading);
  ReadDisks(pools.Tables("nvme"), out.nvme, reading);
  pools.RejectUnknown();
}

void ReadLimits(const ConfigNode* table, LimitsConfig& out, Reading& reading) {
  constexpr Micros kSecond{kMillion};
  SectionReader section(table, "limits", reading.problems);
  section.Count("sessions", out.sessions, 1, 65'536);
  section.Count("sessions_per_uid", out.sessions_per_uid, 1, 65'536);
  section.Count("side_connections", out.side_connections, 1, 65'536);
  section.Count("files_per_session", out.files_per_session, 1, 65'536);
  section.Count("models", out.models, 1, kMillion);
  section.Count("blocks", out.blocks, 1, 64 * kMillion);
  section.Count("mailbox_events", out.mailbox_events, 64, 16 * kMillion);
  section.Count("waiting_batches", out.waiting_batches, 1, kMillion);
  section.Count("acquire_blocks", out.acquire_blocks, 1, 65'536);
  section.Count("register_blocks", out.register_blocks, 1, 65'536);
  section.Count("hints_per_session", out.hints_per_session, 1, kMillion);
  section.Count("catalogue_queue", out.catalogue_queue, 64, 16 * kMillion);
  section.Size("rpc_message", out.rpc_message, KiB(64), MiB(256));
  section.Duration("acquire_deadline_max", out.acquire_deadline_max, kSecond / 1000,
                   3600 * kSecond);
  section.Duration("hint_wait_max", out.hint_wait_max, kSecond / 1000, 3600 * kSecond);
  section.Duration("drain_deadline", out.drain_deadline, kSecond / 10, 600 * kSecond);
  if (out.sessions_per_uid > out.sessions) {
    if (section.Has("sessions_per_uid")) {
      reading.problems.Add(
          section.PathOf("sessions_per_uid"),
          absl::StrCat("found ", out.sessions_per_uid, ", allowed is at most limits.sessions (",
                       out.sessions, ")"));
    }
    out.sessions_per_uid = out.sessions;
  }
  reading.Finish(section);
}

// "" or "host:port".
bool IsListenAddress(std::string_view text) {
  if (text.empty()) return true;
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view port = text.substr(colon + 1);
  uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  return error == std::errc() && end == port.data() + port.size();
}

void ReadMetrics(const ConfigNode* table, std::string& listen, Reading& reading) {
  SectionReader section(table, "metrics", reading.problems);
  section.Text("listen", listen);
  if (!IsListenAddress(listen)) {
    reading.problems.Add(section.PathOf("listen"),
                         absl::StrCat("found \"", listen,
                                      "\", allowed is \"ADDRESS:PORT\", or \"\" for no endpoint"));
  }
  reading.Finish(section);
}

// The text that SetPolicyField reads; empty for what no policy field can be.
std::string PolicyText(const ConfigNode& node) {
  std::array<char, 32> text;
  switch (node.kind) {
    case ConfigNode::Kind::kInteger:
      return absl::StrCat(node.integer);
    case ConfigNode::Kind::kBool:
      return node.flag ? "true" : "false";
    case ConfigNode::Kind::kFloat: {
      const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), node.number);
      return error == std::errc() ? std::string(text.data(), end) : "";
    }
    default:
      return "";
  }
}

void ReadPolicy(const ConfigNode* table, Config& out, Reading& reading) {
  SectionReader section(table, "policy", reading.problems);
  section.Choice("name", out.policy_name, kPolicies);
  for (const PolicyField& field : PolicyFields()) {
    const ConfigNode* const node = section.Take(field.key);
    if (node == nullptr) continue;
    const std::string text = PolicyText(*node);
    if (text.empty()) {
      reading.problems.Add(
          section.PathOf(field.key),
          absl::StrCat("found ", node->Describe(), ", allowed is ", ToAbsl(field.description)));
      continue;
    }
    if (const absl::Status set = SetPolicyField(out.policy, field.key, text); !set.ok()) {
      reading.problems.Add(section.PathOf(field.key), ToStd(set.message()));
      continue;
    }
    out.policy_keys_set.emplace_back(field.key);
  }
  if (const absl::Status whole = ValidatePolicy(out.policy); !whole.ok()) {
    reading.problems.Add("policy", ToStd(whole.message()));
  }
  reading.Finish(section);
}

// Reads every section of `root`; problems and keys go to `reading`.
Config ReadAll(const ConfigNode& root, Reading& reading) {
  Config config;
  SectionReader top(&root, "", reading.problems);
  ReadDaemon(top.Table("daemon"), config.daemon, reading);
  ReadPools(top.Table("pools"), config, reading);
  ReadLimits(top.Table("limits"), config.limits, reading);
  ReadMetrics(top.Table("metrics"), config.metrics_listen, reading);
  ReadPolicy(top.Table("policy"), config, reading);
  top.RejectUnknown();
  return config;
}

absl::StatusOr<std::string> ReadWhole(const std::string& path) {
  const OwnedFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("configuration file ", path));
  struct stat info = {};
  if (fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is not a regular file"));
  }
  if (static_cast<uint64_t>(info.st_size) > kFileMax.count()) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, " has ", info.st_size, " bytes, a configuration file at most ", kFileMax.count()));
  }
  std::string text(static_cast<size_t>(info.st_size), '\0');
  size_t have = 0;
  while (have < text.size()) {
    const ssize_t got = read(fd.get(), text.data() + have, text.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::ErrnoToStatus(errno, absl::StrCat("reading ", path));
    if (got == 0) break;
    have += static_cast<size_t>(got);
  }
  text.resize(have);
  return text;
}

}  // namespace

absl::StatusOr<Config> ParseConfig(std::string_view text, const std::string& file_name,
                                   const HostFacts& host) {
  const absl::StatusOr<ConfigNode> root = ParseConfigDocument(text, file_name);
  if (!root.ok()) return root.status();
  ConfigProblems problems(file_name);
  Reading reading{problems, {}};
  Config config = ReadAll(*root, reading);
  CheckCapacities(config, host, problems);
  if (!problems.empty()) return problems.ToStatus();
  return config;
}

absl::StatusOr<Config> LoadConfig(const std::string& path, const HostFacts& host) {
  const absl::StatusOr<std::string> text = ReadWhole(path);
  if (!text.ok()) return text.status();
  return ParseConfig(*text, path, host);
}

Config DefaultConfig() {
  ConfigProblems problems("defaults");
  Reading reading{problems, {}};
  return ReadAll(ConfigNode(), reading);
}

std::vector<std::string> ConfigKeys() {
  ConfigProblems problems("keys");
  Reading reading{problems, {}};
  ReadAll(ConfigNode(), reading);
  return reading.keys;
}

Bytes DefaultSegment(Bytes capacity) {
  constexpr uint64_t kSegmentsMin = 8;
  constexpr Bytes kStep = kSegmentMin;
  const uint64_t count = std::max(kSegmentsMin, RoundUp(capacity, GiB(1)) / GiB(1));
  const Bytes segment = kStep * (Bytes(capacity.count() / count) / kStep);
  return std::max(segment, kStep);
}

}  // namespace residency
