// The rules that keep the folders apart, as functions from source files to findings. Each finding
// is one line: where, what was found, what the rule is. No finding means that the rule holds.
#pragma once

#include <string>
#include <vector>

#include "tests/structure/source_tree.h"

namespace residency::structure {

using Findings = std::vector<std::string>;

inline constexpr int kSourceLinesMax = 500;
inline constexpr int kReadmeLinesMax = 40;

// The folders with rules of their own about what they include.
const std::vector<std::string>& CodeFolders();
// The folders that must each have a README.
const std::vector<std::string>& DocumentedFolders();

// Which of our folders may include which: policy -> core, daemon -> all but client and sim, ...
Findings IncludeDirection(const std::vector<SourceFile>& files);

// core and policy decide and touch nothing: no threads, locks, system calls, RPC or logging.
Findings PureFolders(const std::vector<SourceFile>& files);

// An outside library is known in few places: liburing in one file, SQLite in one .h/.cc pair, gRPC
// in the daemon's services and the client, CUDA in files named for it.
Findings LibraryUsers(const std::vector<SourceFile>& files);

// Source files stay under kSourceLinesMax lines.
Findings FileLength(const std::vector<SourceFile>& files);

// Tests wait on a condition with a deadline; they do not sleep.
Findings Sleeps(const std::vector<SourceFile>& tests);

// Every documented folder that exists under `root` has a README.md of at most kReadmeLinesMax
// lines.
Findings Readmes(const std::filesystem::path& root);

}  // namespace residency::structure
