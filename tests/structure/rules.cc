#include "tests/structure/rules.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace residency::structure {
namespace {

using Folders = std::set<std::string, std::less<>>;

// Longest prefix wins.
const std::map<std::string, Folders, std::less<>>& AllowedIncludes() {
  static const auto& allowed = *new std::map<std::string, Folders, std::less<>>{
      {"core/", {"core"}},
      {"policy/", {"policy", "core"}},
      {"movers/", {"movers", "core"}},
      {"sim/", {"sim", "policy", "core"}},
      {"client/", {"client", "proto"}},
      // The demonstration engine also replays traces and makes synthetic weights.
      {"client/demo/", {"client", "proto", "sim", "core"}},
      {"daemon/", {"daemon", "movers", "policy", "core", "proto"}},
  };
  return allowed;
}

const Folders* AllowedFor(const SourceFile& file) {
  const Folders* best = nullptr;
  size_t best_length = 0;
  for (const auto& [prefix, folders] : AllowedIncludes()) {
    if (file.Under(prefix) && prefix.size() > best_length) {
      best = &folders;
      best_length = prefix.size();
    }
  }
  return best;
}

// The folder of ours that an include names; empty for an outside library. Generated headers are
// found both as "proto/residency/v1/x.pb.h" and as "residency/v1/x.pb.h".
std::string_view OwnFolder(std::string_view target) {
  if (target.starts_with("residency/v1/")) return "proto";
  static const auto& ours = *new Folders{"core", "policy", "movers", "daemon", "client",
                                         "sim",  "proto",  "tests",  "config", "deploy"};
  const size_t slash = target.find('/');
  if (slash == std::string_view::npos || !ours.contains(target.substr(0, slash))) return {};
  return target.substr(0, slash);
}

std::string At(const SourceFile& file, const Include& include) {
  return absl::StrCat(file.path, ":", include.line, ": includes ", include.target);
}

bool StartsWithAny(std::string_view text, const std::vector<std::string_view>& prefixes) {
  return std::ranges::any_of(prefixes, [&](std::string_view p) { return text.starts_with(p); });
}

bool IsGrpc(std::string_view target) {
  return StartsWithAny(target, {"grpc/", "grpc++/", "grpcpp/"}) || target.ends_with(".grpc.pb.h");
}

bool IsCuda(std::string_view target) {
  return StartsWithAny(target, {"cuda.h", "cuda_runtime", "cuda_fp", "cuda_bf"});
}

bool NameContainsAny(const SourceFile& file, const std::vector<std::string_view>& words) {
  const std::string_view name = std::string_view(file.path).substr(file.path.rfind('/') + 1);
  return std::ranges::any_of(
      words, [&](std::string_view word) { return name.find(word) != std::string_view::npos; });
}

bool MayUseGrpc(const SourceFile& file) {
  if (file.Under("client/")) return true;
  return file.Under("daemon/") &&
         NameContainsAny(file, {"service", "server", "rpc", "stream", "main.cc"});
}

bool MayUseCuda(const SourceFile& file) {
  return file.path.ends_with(".cu") || NameContainsAny(file, {"cuda"});
}

std::string WithoutExtension(const std::string& path) { return path.substr(0, path.rfind('.')); }

}  // namespace

const std::vector<std::string>& CodeFolders() {
  static const auto& folders =
      *new std::vector<std::string>{"core", "policy", "movers", "daemon", "client", "sim"};
  return folders;
}

const std::vector<std::string>& DocumentedFolders() {
  static const auto& folders =
      *new std::vector<std::string>{"core",  "policy", "movers", "daemon", "client", "sim",
                                    "proto", "config", "deploy", "tests",  "scripts"};
  return folders;
}

Findings IncludeDirection(const std::vector<SourceFile>& files) {
  Findings findings;
  for (const SourceFile& file : files) {
    const Folders* allowed = AllowedFor(file);
    if (allowed == nullptr) continue;
    for (const Include& include : file.includes) {
      const std::string_view folder = OwnFolder(include.target);
      if (folder.empty() || allowed->contains(folder)) continue;
      findings.push_back(absl::StrCat(At(file, include), ", but ", std::string(file.folder()),
                                      "/ must not depend on ", std::string(folder), "/"));
    }
  }
  return findings;
}

Findings PureFolders(const std::vector<SourceFile>& files) {
  static const auto& kBarred = *new std::vector<std::string_view>{"grpc",
                                                                  "liburing.h",
                                                                  "sqlite3.h",
                                                                  "sys/",
                                                                  "linux/",
                                                                  "unistd.h",
                                                                  "poll.h",
                                                                  "fcntl.h",
                                                                  "thread",
                                                                  "mutex",
                                                                  "condition_variable",
                                                                  "shared_mutex",
                                                                  "future",
                                                                  "fstream",
                                                                  "filesystem",
                                                                  "spdlog/",
                                                                  "absl/synchronization/",
                                                                  "absl/time/clock.h"};
  Findings findings;
  for (const SourceFile& file : files) {
    if (!file.Under("core/") && !file.Under("policy/")) continue;
    for (const Include& include : file.includes) {
      if (!StartsWithAny(include.target, kBarred) && !IsGrpc(include.target)) continue;
      findings.push_back(absl::StrCat(At(file, include), ", but ", std::string(file.folder()),
                                      "/ does no I/O, logging, locking or threading"));
    }
  }
  return findings;
}

Findings LibraryUsers(const std::vector<SourceFile>& files) {
  Findings findings;
  std::set<std::string> liburing_users;
  std::set<std::string> sqlite_users;  // without extension: a .h/.cc pair is one
  for (const SourceFile& file : files) {
    for (const Include& include : file.includes) {
      if (include.target == "liburing.h") liburing_users.insert(file.path);
      if (include.target == "sqlite3.h") sqlite_users.insert(WithoutExtension(file.path));
      if (IsGrpc(include.target) && !MayUseGrpc(file)) {
        findings.push_back(
            absl::StrCat(At(file, include),
                         ", but gRPC is for the client and the daemon's services and server"));
      }
      if (IsCuda(include.target) && !MayUseCuda(file)) {
        findings.push_back(
            absl::StrCat(At(file, include), ", but CUDA is for files with cuda in their name"));
      }
    }
  }
  const auto at_most_one = [&findings](const std::set<std::string>& users, const char* library) {
    if (users.size() <= 1) return;
    std::string finding = absl::StrCat(library, " must have one user, found ", users.size(), ":");
    for (const std::string& user : users) absl::StrAppend(&finding, " ", user);
    findings.push_back(finding);
  };
  at_most_one(liburing_users, "liburing.h");
  at_most_one(sqlite_users, "sqlite3.h");
  return findings;
}

Findings FileLength(const std::vector<SourceFile>& files) {
  Findings findings;
  for (const SourceFile& file : files) {
    if (file.lines.size() <= kSourceLinesMax) continue;
    findings.push_back(absl::StrCat(file.path, ": ", file.lines.size(), " lines, at most ",
                                    kSourceLinesMax, " allowed; give one of its ideas a file"));
  }
  return findings;
}

Findings Sleeps(const std::vector<SourceFile>& tests) {
  static const auto& kSleeps =
      *new std::vector<std::string_view>{"sleep_for(",      "sleep_until(", "usleep(", "nanosleep(",
                                         "absl::SleepFor(", " sleep(",      "::sleep("};
  Findings findings;
  for (const SourceFile& file : tests) {
    if (file.Under("tests/structure/")) continue;  // these very words stand here
    for (size_t i = 0; i < file.lines.size(); ++i) {
      for (const std::string_view sleep : kSleeps) {
        if (file.lines[i].find(sleep) == std::string::npos) continue;
        findings.push_back(absl::StrCat(file.path, ":", i + 1, ": sleeps (", std::string(sleep),
                                        "); advance the clock, or wait on a condition"));
      }
    }
  }
  return findings;
}

Findings Readmes(const std::filesystem::path& root) {
  Findings findings;
  for (const std::string& folder : DocumentedFolders()) {
    if (!std::filesystem::is_directory(root / folder)) continue;
    std::ifstream in(root / folder / "README.md");
    int lines = 0;
    for (std::string line; std::getline(in, line);) ++lines;
    if (lines == 0) findings.push_back(absl::StrCat(folder, "/README.md: missing or empty"));
    if (lines > kReadmeLinesMax) {
      findings.push_back(absl::StrCat(folder, "/README.md: ", lines, " lines, at most ",
                                      kReadmeLinesMax, " allowed"));
    }
  }
  return findings;
}

}  // namespace residency::structure
