#include "tests/structure/source_tree.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>

namespace residency::structure {
namespace {

std::optional<Include> ParseInclude(std::string_view line, int number) {
  const auto skip_blanks = [&line] {
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  };
  const auto consume = [&line](std::string_view word) {
    if (!line.starts_with(word)) return false;
    line.remove_prefix(word.size());
    return true;
  };
  skip_blanks();
  if (!consume("#")) return std::nullopt;
  skip_blanks();
  if (!consume("include")) return std::nullopt;
  skip_blanks();
  const bool quoted = consume("\"");
  if (!quoted && !consume("<")) return std::nullopt;
  const size_t end = line.find(quoted ? '"' : '>');
  if (end == std::string_view::npos) return std::nullopt;
  return Include{number, quoted, std::string(line.substr(0, end))};
}

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

bool IsSource(const std::filesystem::path& path) {
  const std::filesystem::path extension = path.extension();
  return extension == ".h" || extension == ".cc" || extension == ".cu";
}

}  // namespace

std::string_view SourceFile::folder() const {
  return std::string_view(path).substr(0, path.find('/'));
}

SourceFile ParseSource(std::string path, std::string_view text) {
  SourceFile file{std::move(path), {}, {}};
  std::istringstream in{std::string(text)};
  for (std::string line; std::getline(in, line);) {
    const int number = static_cast<int>(file.lines.size()) + 1;
    if (auto include = ParseInclude(line, number)) file.includes.push_back(*std::move(include));
    file.lines.push_back(std::move(line));
  }
  return file;
}

std::vector<SourceFile> ReadSources(const std::filesystem::path& root,
                                    const std::vector<std::string>& folders) {
  std::vector<SourceFile> files;
  for (const std::string& folder : folders) {
    if (!std::filesystem::is_directory(root / folder)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / folder)) {
      if (!entry.is_regular_file() || !IsSource(entry.path())) continue;
      files.push_back(ParseSource(std::filesystem::relative(entry.path(), root).generic_string(),
                                  ReadFile(entry.path())));
    }
  }
  std::ranges::sort(files, {}, &SourceFile::path);
  return files;
}

}  // namespace residency::structure
