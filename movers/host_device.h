// HBM in host memory: the backend of nodes without a GPU, and of CPU inference.
#pragma once

#include "movers/arena.h"
#include "movers/device.h"

namespace residency {

class HostDevice final : public Device {
 public:
  // Not owned; outlives the device.
  explicit HostDevice(Arena* arena) : arena_(arena) {}

  absl::Status Upload(const CopyPlace& place, uint64_t at, const std::byte* src,
                      size_t size) override;
  absl::Status Download(const CopyPlace& place, uint64_t at, std::byte* dst, size_t size) override;
  absl::StatusOr<OwnedFd> Export(RegionNumber region) override;

 private:
  Arena* const arena_;
};

}  // namespace residency
