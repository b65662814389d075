// What makes a file the one it was. A file that was written, replaced or truncated differs in it.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace residency {

struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;

  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
  template <class H>
  friend H AbslHashValue(H h, const FileIdentity& id) {
    return H::combine(std::move(h), id.device, id.inode, id.size, id.mtime_ns, id.ctime_ns);
  }
};

// InvalidArgument for what is no regular file (memfds are regular files).
absl::StatusOr<FileIdentity> IdentityOf(int fd);

// "size 10 B, found 12 B; mtime differs": what differs between two. REQUIRES: they differ.
std::string DescribeChange(const FileIdentity& wanted, const FileIdentity& found);

}  // namespace residency
