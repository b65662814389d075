// The files that recipes read from, known by identity and not by path. Every method is
// thread-safe; Add, Open and CheckIdentity make system calls on the file.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/ids.h"
#include "movers/file_identity.h"
#include "movers/owned_fd.h"

namespace residency {

struct FileRegistryOptions {
  // A file known from the catalogue is reopened by path only beneath one of these directories.
  std::vector<std::string> recipe_roots;
  size_t files_max = 4096;   // each holds a descriptor
  bool allow_direct = true;  // O_DIRECT
};

// A file open for reading. The descriptor lives as long as somebody holds this.
struct OpenFile {
  OwnedFd fd;
  bool direct = false;  // O_DIRECT: reads must be aligned
  uint64_t size = 0;
};

struct FileInfo {
  DomainId domain;
  std::string path;  // as the engine named it; for people, and to reopen
  FileIdentity identity;
};

class FileRegistry {
 public:
  explicit FileRegistry(FileRegistryOptions options);

  // Registers a file that a client passed; the same file in the same domain gets the same id.
  // InvalidArgument for what is not a regular file, or not open for reading (the daemon must not
  // read for a client what the client may not read); ResourceExhausted at files_max.
  absl::StatusOr<FileId> Add(DomainId domain, OwnedFd fd, const std::string& path);

  // Makes a file known again under the id that it had, without touching it: it is opened when it
  // is first read. Add() of the same file gives it its descriptor. AlreadyExists,
  // ResourceExhausted.
  absl::Status Restore(FileId id, const FileInfo& info);

  // FailedPrecondition, naming the file, if it cannot be reopened (the engine must supply it
  // again) or is not the file it was (IsFileChanged). NotFound for unknown ids.
  absl::StatusOr<std::shared_ptr<const OpenFile>> Open(FileId id);

  // Whether the open file still is what it was: call before and after reading. FailedPrecondition
  // with IsFileChanged if not.
  absl::Status CheckIdentity(FileId id);

  absl::StatusOr<FileInfo> Info(FileId id) const;  // what to persist
  // Drops a file that no recipe names any more; reads under way keep its descriptor.
  void Forget(FileId id);
  size_t size() const;

 private:
  struct Entry {
    FileInfo info;
    std::shared_ptr<const OpenFile> open;  // null until first read, for restored files
  };

  absl::StatusOr<std::shared_ptr<const OpenFile>> OpenByPath(const FileInfo& info) const;
  absl::Status CheckBeneathRoots(const std::string& canonical, const FileInfo& info) const;
  std::shared_ptr<const OpenFile> MakeOpen(OwnedFd fd, const FileIdentity& identity) const;

  const FileRegistryOptions options_;

  mutable std::mutex mu_;
  absl::flat_hash_map<FileId, Entry> entries_;                            // guarded by mu_
  absl::flat_hash_map<std::pair<DomainId, FileIdentity>, FileId> known_;  // guarded by mu_
  uint32_t next_id_ = 0;                                                  // guarded by mu_
};

// Whether an error of Open or CheckIdentity says that the file is not the one it was, rather than
// that it is out of reach.
bool IsFileChanged(const absl::Status& status);

}  // namespace residency
