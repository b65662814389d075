#include "client/ctl/columns.h"

#include <algorithm>

namespace residency::ctl {
namespace {

constexpr std::string_view kPlainAgain = "\x1b[0m";

// The length of the escape that `text` begins with; 0 if it begins with none. Ours end in "m".
size_t EscapeLength(std::string_view text) {
  if (!text.starts_with("\x1b[")) return 0;
  const size_t end = text.find('m');
  return end == std::string_view::npos ? text.size() : end + 1;
}

bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

}  // namespace

std::vector<std::string> SplitLines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

size_t VisibleWidth(std::string_view line) {
  size_t width = 0;
  for (size_t i = 0; i < line.size();) {
    if (const size_t escape = EscapeLength(line.substr(i)); escape > 0) {
      i += escape;
    } else {
      width += IsContinuation(line[i++]) ? 0 : 1;
    }
  }
  return width;
}

std::string CutLine(std::string_view line, size_t width) {
  size_t seen = 0;
  bool coloured = false;
  for (size_t i = 0; i < line.size();) {
    if (const size_t escape = EscapeLength(line.substr(i)); escape > 0) {
      coloured = line.substr(i, escape) != kPlainAgain;
      i += escape;
      continue;
    }
    if (!IsContinuation(line[i]) && seen++ == width) {
      return std::string(line.substr(0, i)) + std::string(coloured ? kPlainAgain : "");
    }
    ++i;
  }
  return std::string(line);
}

std::vector<std::string> SideBySide(const std::vector<std::string>& left,
                                    const std::vector<std::string>& right, size_t offset) {
  std::vector<std::string> lines;
  for (size_t i = 0; i < std::max(left.size(), right.size()); ++i) {
    std::string line = i < left.size() ? left[i] : "";
    if (i < right.size()) {
      line.append(offset - std::min(offset, VisibleWidth(line)), ' ');
      line += right[i];
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace residency::ctl
