#include "movers/file_registry.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "movers/direct_io.h"

namespace residency {
namespace {

constexpr char kChangedPayload[] = "residency/file-changed";

absl::Status Changed(const FileInfo& info, const FileIdentity& found) {
  absl::Status status = absl::FailedPreconditionError(
      absl::StrCat("file ", info.path, " has changed since it was registered: ",
                   DescribeChange(info.identity, found), "; register its blocks again"));
  status.SetPayload(kChangedPayload, absl::Cord("1"));
  return status;
}

absl::Status SupplyAgain(const FileInfo& info, const std::string& why) {
  return absl::FailedPreconditionError(absl::StrCat(
      "file ", info.path, " cannot be reopened: ", why, "; the engine must supply it again"));
}

// The canonical path, or empty with errno set.
std::string Canonical(const std::string& path) {
  char resolved[PATH_MAX];
  return realpath(path.c_str(), resolved) == nullptr ? std::string() : std::string(resolved);
}

absl::Status CheckReadable(int fd, const std::string& path) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return absl::ErrnoToStatus(errno, absl::StrCat("descriptor of ", path));
  const bool readable = (flags & O_PATH) == 0 && (flags & O_ACCMODE) != O_WRONLY;
  if (readable) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the descriptor of ", path, " is not open for reading; pass one that is"));
}

}  // namespace

bool IsFileChanged(const absl::Status& status) {
  return status.GetPayload(kChangedPayload).has_value();
}

FileRegistry::FileRegistry(FileRegistryOptions options) : options_(std::move(options)) {}

absl::StatusOr<FileId> FileRegistry::Add(DomainId domain, OwnedFd fd, const std::string& path) {
  if (absl::Status status = CheckReadable(fd.get(), path); !status.ok()) return status;
  const absl::StatusOr<FileIdentity> identity = IdentityOf(fd.get());
  if (!identity.ok()) {
    return absl::Status(identity.status().code(),
                        absl::StrCat(path, ": ", identity.status().message()));
  }
  std::shared_ptr<const OpenFile> open = MakeOpen(std::move(fd), *identity);
  std::lock_guard lock(mu_);
  const auto known = known_.find({domain, *identity});
  if (known != known_.end()) {
    Entry& entry = entries_.at(known->second);
    if (entry.open == nullptr) entry.open = std::move(open);
    return known->second;
  }
  if (entries_.size() >= options_.files_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat("file ", path, ": already ", entries_.size(), " files registered, the limit"));
  }
  const FileId id(next_id_++);
  entries_[id] = {{domain, path, *identity}, std::move(open)};
  known_[{domain, *identity}] = id;
  return id;
}

absl::Status FileRegistry::Restore(FileId id, const FileInfo& info) {
  std::lock_guard lock(mu_);
  if (entries_.contains(id) || known_.contains({info.domain, info.identity})) {
    return absl::AlreadyExistsError(
        absl::StrCat("file ", id.value(), " (", info.path, ") is registered already"));
  }
  if (entries_.size() >= options_.files_max) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "file ", info.path, ": already ", entries_.size(), " files registered, the limit"));
  }
  entries_[id] = {info, nullptr};
  known_[{info.domain, info.identity}] = id;
  next_id_ = std::max(next_id_, id.value() + 1);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const OpenFile>> FileRegistry::Open(FileId id) {
  FileInfo info;
  {
    std::lock_guard lock(mu_);
    const auto it = entries_.find(id);
    if (it == entries_.end()) {
      return absl::NotFoundError(absl::StrCat("no file ", id.value(), " is registered"));
    }
    if (it->second.open != nullptr) return it->second.open;
    info = it->second.info;
  }
  // Outside the lock: a network filesystem may take its time.
  absl::StatusOr<std::shared_ptr<const OpenFile>> opened = OpenByPath(info);
  if (!opened.ok()) return opened;
  std::lock_guard lock(mu_);
  const auto it = entries_.find(id);
  if (it == entries_.end()) return opened;  // forgotten meanwhile
  if (it->second.open == nullptr) it->second.open = *opened;
  return it->second.open;
}

absl::StatusOr<std::shared_ptr<const OpenFile>> FileRegistry::OpenByPath(
    const FileInfo& info) const {
  const std::string canonical = Canonical(info.path);
  if (canonical.empty()) return SupplyAgain(info, strerror(errno));
  if (absl::Status status = CheckBeneathRoots(canonical, info); !status.ok()) return status;
  // O_NONBLOCK: a FIFO put in its place must not stop us. Whatever is swapped between the check of
  // the path and the opening cannot pass the check of the identity.
  OwnedFd fd(open(canonical.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd.valid()) return SupplyAgain(info, strerror(errno));
  const absl::StatusOr<FileIdentity> found = IdentityOf(fd.get());
  if (!found.ok()) return SupplyAgain(info, std::string(found.status().message()));
  if (*found != info.identity) return Changed(info, *found);
  return MakeOpen(std::move(fd), info.identity);
}

absl::Status FileRegistry::CheckBeneathRoots(const std::string& canonical,
                                             const FileInfo& info) const {
  for (const std::string& root : options_.recipe_roots) {
    std::string prefix = Canonical(root);
    if (prefix.empty()) continue;
    if (prefix.back() != '/') prefix += '/';
    if (canonical.starts_with(prefix)) return absl::OkStatus();
  }
  return SupplyAgain(info, absl::StrCat("it lies at ", canonical, ", beneath none of the ",
                                        options_.recipe_roots.size(), " recipe_roots"));
}

// Our own open file description where the system permits one: O_DIRECT set on the client's would
// change the client's reads too.
std::shared_ptr<const OpenFile> FileRegistry::MakeOpen(OwnedFd fd,
                                                       const FileIdentity& identity) const {
  auto file = std::make_shared<OpenFile>();
  file->size = identity.size;
  const std::string self = absl::StrCat("/proc/self/fd/", fd.get());
  OwnedFd own(open(self.c_str(), O_RDONLY | O_CLOEXEC));
  if (own.valid()) {
    file->direct = options_.allow_direct && TurnOnDirectIo(own.get()).ok();
    file->fd = std::move(own);
  } else {
    file->direct = (fcntl(fd.get(), F_GETFL) & O_DIRECT) != 0;
    file->fd = std::move(fd);
  }
  return file;
}

absl::Status FileRegistry::CheckIdentity(FileId id) {
  const absl::StatusOr<std::shared_ptr<const OpenFile>> file = Open(id);
  if (!file.ok()) return file.status();
  const absl::StatusOr<FileInfo> info = Info(id);
  if (!info.ok()) return info.status();
  const absl::StatusOr<FileIdentity> found = IdentityOf((*file)->fd.get());
  if (!found.ok()) return found.status();
  return *found == info->identity ? absl::OkStatus() : Changed(*info, *found);
}

absl::StatusOr<FileInfo> FileRegistry::Info(FileId id) const {
  std::lock_guard lock(mu_);
  const auto it = entries_.find(id);
  if (it == entries_.end()) {
    return absl::NotFoundError(absl::StrCat("no file ", id.value(), " is registered"));
  }
  return it->second.info;
}

void FileRegistry::Forget(FileId id) {
  std::lock_guard lock(mu_);
  const auto it = entries_.find(id);
  if (it == entries_.end()) return;
  known_.erase({it->second.info.domain, it->second.info.identity});
  entries_.erase(it);
}

size_t FileRegistry::size() const {
  std::lock_guard lock(mu_);
  return entries_.size();
}

}  // namespace residency
