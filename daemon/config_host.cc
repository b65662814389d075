#include "daemon/config_host.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace residency {
namespace {

absl::Status SystemError(const char* call, const std::string& path) {
  const int error = errno;
  return absl::ErrnoToStatus(error, absl::StrCat(call, " ", path));
}

std::string DirectoryOf(const std::string& file) {
  const size_t slash = file.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : file.substr(0, slash);
}

}  // namespace

absl::StatusOr<Bytes> ThisHost::MemAvailable() const {
  std::ifstream in("/proc/meminfo");
  std::string name;
  uint64_t kibibytes = 0;
  std::string unit;
  while (in >> name >> kibibytes) {
    if (name == "MemAvailable:") return KiB(kibibytes);
    std::getline(in, unit);
  }
  return absl::UnavailableError("/proc/meminfo has no MemAvailable: is /proc mounted?");
}

absl::StatusOr<DiskFacts> ThisHost::Disk(const std::string& file) const {
  constexpr uint64_t kStatBlock = 512;
  const std::string directory = DirectoryOf(file);
  struct stat of_directory = {};
  if (stat(directory.c_str(), &of_directory) != 0) return SystemError("stat", directory);
  if (!S_ISDIR(of_directory.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(directory, " is not a directory"));
  }
  DiskFacts facts;
  facts.file_system = of_directory.st_dev;
  struct stat of_file = {};
  if (stat(file.c_str(), &of_file) == 0) {
    if (!S_ISREG(of_file.st_mode)) {
      return absl::FailedPreconditionError(absl::StrCat(file, " is not a regular file"));
    }
    facts.file_system = of_file.st_dev;
    facts.held = Bytes(static_cast<uint64_t>(of_file.st_blocks) * kStatBlock);
  } else if (errno != ENOENT) {
    return SystemError("stat", file);
  }
  struct statvfs file_system = {};
  if (statvfs(directory.c_str(), &file_system) != 0) return SystemError("statvfs", directory);
  facts.free = Bytes(uint64_t{file_system.f_bavail} * file_system.f_frsize);
  return facts;
}

bool ThisHost::HasGpu() const { return access("/dev/nvidia0", F_OK) == 0; }

absl::StatusOr<Bytes> HostWithPools::MemAvailable() const {
  absl::StatusOr<Bytes> available = host_.MemAvailable();
  if (available.ok()) *available += held_;
  return available;
}

absl::StatusOr<DiskFacts> HostWithPools::Disk(const std::string& file) const {
  return host_.Disk(file);
}

bool HostWithPools::HasGpu() const { return host_.HasGpu(); }

}  // namespace residency
