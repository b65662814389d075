// The project's own source files as the structure rules see them: paths, lines and includes.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace residency::structure {

struct Include {
  int line = 0;  // from 1
  bool quoted = false;
  std::string target;  // as written: "core/ids.h", "liburing.h"
};

struct SourceFile {
  std::string path;  // from the repository root, with '/'
  std::vector<std::string> lines;
  std::vector<Include> includes;

  std::string_view folder() const;  // "daemon" of "daemon/main.cc"
  bool Under(std::string_view prefix) const { return std::string_view(path).starts_with(prefix); }
};

SourceFile ParseSource(std::string path, std::string_view text);

// Every .h, .cc and .cu file below these folders of the repository, in path order. A folder that
// does not exist contributes nothing.
std::vector<SourceFile> ReadSources(const std::filesystem::path& root,
                                    const std::vector<std::string>& folders);

}  // namespace residency::structure
