#include "movers/host_device.h"

#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"

namespace residency {
namespace {

absl::Status CheckRange(const Arena& arena, const CopyPlace& place, uint64_t at, size_t size) {
  const Extent& extent = place.extent;
  const bool in_extent = at <= extent.length && size <= extent.length - at;
  const uint64_t capacity = arena.capacity().count();
  const bool in_arena = extent.offset <= capacity && extent.length <= capacity - extent.offset;
  if (in_extent && in_arena) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrCat("host device: ", size, " B at ", at, " of the extent [",
                                            extent.offset, ", ", extent.end(), ") in a pool of ",
                                            arena.capacity().count(), " B"));
}

}  // namespace

absl::Status HostDevice::Upload(const CopyPlace& place, uint64_t at, const std::byte* src,
                                size_t size) {
  if (absl::Status status = CheckRange(*arena_, place, at, size); !status.ok()) return status;
  if (absl::Status status = arena_->EnsureExtent(place.extent, place.regions); !status.ok()) {
    return status;
  }
  std::memcpy(arena_->Data(place.extent.offset + at), src, size);
  return absl::OkStatus();
}

absl::Status HostDevice::Download(const CopyPlace& place, uint64_t at, std::byte* dst,
                                  size_t size) {
  if (absl::Status status = CheckRange(*arena_, place, at, size); !status.ok()) return status;
  std::memcpy(dst, arena_->Data(place.extent.offset + at), size);
  return absl::OkStatus();
}

absl::StatusOr<OwnedFd> HostDevice::Export(RegionNumber region) { return arena_->Export(region); }

DeviceBackend SelectDeviceBackend() {
  const bool gpu_present = access("/dev/nvidiactl", F_OK) == 0;
  return {"host", gpu_present ? "no CUDA backend is compiled in (an NVIDIA device is present)"
                              : "no CUDA backend is compiled in and no NVIDIA device is present"};
}

}  // namespace residency
