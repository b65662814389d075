// What the configuration is checked against: the memory, disks and devices of this machine.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "core/bytes.h"

namespace residency {

struct DiskFacts {
  uint64_t file_system = 0;  // tells file systems apart
  Bytes free;                // on that file system, for this user
  Bytes held;                // by the file itself, if it exists
};

// Thread-safe.
class HostFacts {
 public:
  virtual ~HostFacts() = default;
  virtual absl::StatusOr<Bytes> MemAvailable() const = 0;
  // Of a file that exists or could be created in an existing directory; NotFound otherwise.
  virtual absl::StatusOr<DiskFacts> Disk(const std::string& file) const = 0;
  virtual bool HasGpu() const = 0;
};

// This machine: /proc/meminfo, statvfs, the NVIDIA device node.
class ThisHost final : public HostFacts {
 public:
  absl::StatusOr<Bytes> MemAvailable() const override;
  absl::StatusOr<DiskFacts> Disk(const std::string& file) const override;
  bool HasGpu() const override;
};

// This machine as a running daemon sees it when the file is read again: what its own pools hold
// already counts as available.
class HostWithPools final : public HostFacts {
 public:
  explicit HostWithPools(Bytes held) : held_(held) {}
  absl::StatusOr<Bytes> MemAvailable() const override;
  absl::StatusOr<DiskFacts> Disk(const std::string& file) const override;
  bool HasGpu() const override;

 private:
  const ThisHost host_;
  const Bytes held_;
};

}  // namespace residency
