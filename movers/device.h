// The seam to what holds a pool of HBM. Thread-safe; the calls block for as long as the copy takes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/ids.h"
#include "core/transfer.h"
#include "movers/owned_fd.h"

namespace residency {

class Device {
 public:
  virtual ~Device() = default;
  // Copies host memory to `at` bytes into the place, whose regions become current if they are not.
  // REQUIRES: at + size <= place.extent.length.
  virtual absl::Status Upload(const CopyPlace& place, uint64_t at, const std::byte* src,
                              size_t size) = 0;
  // Copies from `at` bytes into the place to host memory.
  virtual absl::Status Download(const CopyPlace& place, uint64_t at, std::byte* dst,
                                size_t size) = 0;
  // A descriptor from which a client maps the region. NotFound if it is not assigned.
  virtual absl::StatusOr<OwnedFd> Export(RegionNumber region) = 0;
};

// Which backend holds HBM on this node, and why.
struct DeviceBackend {
  std::string name;    // "host"
  std::string reason;  // "no CUDA backend is compiled in"
};
DeviceBackend SelectDeviceBackend();

}  // namespace residency
