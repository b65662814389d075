#include "daemon/config_reader.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/strings.h"
#include "policy/nearest_key.h"

namespace residency {
namespace {

using Kind = ConfigNode::Kind;

constexpr std::pair<std::string_view, int64_t> kDurationUnits[] = {
    {"us", 1}, {"ms", 1000}, {"s", 1'000'000}, {"min", 60'000'000}};

bool IsPlainPath(std::string_view path) {
  if (path.empty() || path.front() != '/') return false;
  if (path.find('\0') != std::string_view::npos) return false;
  return path.find("/../") == std::string_view::npos && !path.ends_with("/..");
}

constexpr std::string_view kPathRule = "an absolute path without \"..\"";

}  // namespace

void ConfigProblems::Add(const std::string& key, std::string_view what) {
  AddAt(LineOf(key), key, what);
}

void ConfigProblems::AddAt(int line, const std::string& key, std::string_view what) {
  problems_.emplace(line, absl::StrCat(file_name_, ":", line, ": ", key, ": ", ToAbsl(what)));
}

absl::Status ConfigProblems::ToStatus() const {
  if (problems_.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrJoin(
      problems_, "\n", [](std::string* out, const auto& problem) { *out += problem.second; }));
}

int ConfigProblems::LineOf(std::string key) const {
  for (;;) {
    if (const auto it = lines_.find(key); it != lines_.end()) return it->second;
    const size_t dot = key.rfind('.');
    if (dot == std::string::npos) return 1;
    key.resize(dot);
  }
}

SectionReader::SectionReader(const ConfigNode* table, std::string path, ConfigProblems& problems)
    : table_(table), path_(std::move(path)), problems_(problems) {
  if (table_ != nullptr && !path_.empty()) problems_.Remember(path_, table_->line);
}

std::string SectionReader::PathOf(std::string_view key) const {
  return path_.empty() ? std::string(key) : absl::StrCat(path_, ".", ToAbsl(key));
}

const ConfigNode* SectionReader::Take(std::string_view key) {
  asked_.push_back(PathOf(key));
  asked_here_.emplace_back(key);
  const ConfigNode* const node = table_ == nullptr ? nullptr : table_->Find(key);
  if (node != nullptr) problems_.Remember(asked_.back(), node->line);
  return node;
}

void SectionReader::Wrong(std::string_view key, const ConfigNode& node, std::string_view allowed) {
  problems_.AddAt(node.line, PathOf(key),
                  absl::StrCat("found ", node.Describe(), ", allowed is ", ToAbsl(allowed)));
}

const ConfigNode* SectionReader::Table(std::string_view key) {
  const ConfigNode* const node = Take(key);
  if (node == nullptr || node->kind == Kind::kTable) return node;
  Wrong(key, *node, absl::StrCat("one table, written [", PathOf(key), "]"));
  return nullptr;
}

std::vector<const ConfigNode*> SectionReader::Tables(std::string_view key) {
  std::vector<const ConfigNode*> tables;
  const ConfigNode* const node = Take(key);
  if (node == nullptr) return tables;
  const std::string allowed = absl::StrCat("tables, each written [[", PathOf(key), "]]");
  if (node->kind != Kind::kArray) {
    Wrong(key, *node, allowed);
    return tables;
  }
  for (const ConfigNode& item : node->items) {
    if (item.kind == Kind::kTable) {
      tables.push_back(&item);
    } else {
      Wrong(key, item, allowed);
    }
  }
  return tables;
}

void SectionReader::Text(std::string_view key, std::string& out) {
  const ConfigNode* const node = Take(key);
  if (node == nullptr) return;
  if (node->kind != Kind::kString) return Wrong(key, *node, "text in quotes");
  out = node->text;
}

void SectionReader::TextList(std::string_view key, std::vector<std::string>& out) {
  const ConfigNode* const node = Take(key);
  if (node == nullptr) return;
  if (node->kind != Kind::kArray) return Wrong(key, *node, "a list of texts");
  out.clear();
  for (const ConfigNode& item : node->items) {
    if (item.kind != Kind::kString) {
      Wrong(key, item, "text in quotes");
    } else {
      out.push_back(item.text);
    }
  }
}

void SectionReader::Path(std::string_view key, std::string& out) {
  std::string path = out;
  Text(key, path);
  const ConfigNode* const node = table_ == nullptr ? nullptr : table_->Find(key);
  if (node == nullptr || node->kind != Kind::kString) return;
  if (!IsPlainPath(path)) return Wrong(key, *node, kPathRule);
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  out = path;
}

void SectionReader::PathList(std::string_view key, std::vector<std::string>& out) {
  TextList(key, out);
  for (const std::string& path : out) {
    if (IsPlainPath(path)) continue;
    problems_.Add(PathOf(key),
                  absl::StrCat("found \"", path, "\", allowed is ", ToAbsl(kPathRule)));
  }
}

void SectionReader::Switch(std::string_view key, bool& out) {
  const ConfigNode* const node = Take(key);
  if (node == nullptr) return;
  if (node->kind != Kind::kBool) return Wrong(key, *node, "true or false");
  out = node->flag;
}

void SectionReader::Count(std::string_view key, int64_t& out, int64_t min, int64_t max) {
  const ConfigNode* const node = Take(key);
  if (node == nullptr) return;
  if (node->kind != Kind::kInteger || node->integer < min || node->integer > max) {
    return Wrong(key, *node, absl::StrCat("a whole number from ", min, " to ", max));
  }
  out = node->integer;
}

void SectionReader::Size(std::string_view key, Bytes& out, Bytes min, Bytes max) {
  const ConfigNode* const node = Take(key);
  if (node == nullptr) return;
  const std::string allowed =
      absl::StrCat("a size such as \"24GiB\", from ", FormatBytes(min), " to ", FormatBytes(max));
  Bytes size;
  if (node->kind == Kind::kInteger && node->integer >= 0) {
    size = Bytes(static_cast<uint64_t>(node->integer));
  } else if (node->kind == Kind::kString) {
    const absl::StatusOr<Bytes> parsed = ParseBytes(node->text);
    if (!parsed.ok())
      return problems_.AddAt(node->line, PathOf(key), ToStd(parsed.status().message()));
    size = *parsed;
  } else {
    return Wrong(key, *node, allowed);
  }
  if (size < min || size > max) return Wrong(key, *node, allowed);
  out = size;
}

void SectionReader::Duration(std::string_view key, Micros& out, Micros min, Micros max) {
  const ConfigNode* const node = Take(key);
  if (node == nullptr) return;
  const std::string allowed = absl::StrCat("a duration such as \"250ms\", from ",
                                           FormatDuration(min), " to ", FormatDuration(max));
  if (node->kind != Kind::kString) return Wrong(key, *node, allowed);
  Micros duration{};
  if (const absl::Status status = ParseDuration(node->text, &duration); !status.ok()) {
    return problems_.AddAt(node->line, PathOf(key), ToStd(status.message()));
  }
  if (duration < min || duration > max) return Wrong(key, *node, allowed);
  out = duration;
}

void SectionReader::Mode(std::string_view key, uint32_t& out) {
  constexpr uint32_t kModeMax = 0777;
  const ConfigNode* const node = Take(key);
  if (node == nullptr) return;
  uint32_t mode = kModeMax + 1;
  if (node->kind == Kind::kInteger && node->integer >= 0 && node->integer <= kModeMax) {
    mode = static_cast<uint32_t>(node->integer);
  } else if (node->kind == Kind::kString) {
    const char* const begin = node->text.data();
    const char* const end = begin + node->text.size();
    const auto [stop, error] = std::from_chars(begin, end, mode, 8);
    if (error != std::errc() || stop != end) mode = kModeMax + 1;
  }
  if (mode > kModeMax) return Wrong(key, *node, "permission bits such as 0o660 or \"0660\"");
  out = mode;
}

const std::string* SectionReader::ChosenWord(std::string_view key,
                                             const std::vector<std::string_view>& words) {
  const ConfigNode* const node = Take(key);
  if (node == nullptr) return nullptr;
  const bool known =
      node->kind == Kind::kString && std::ranges::find(words, node->text) != words.end();
  if (known) return &node->text;
  const auto quoted = [](std::string* out, std::string_view word) {
    absl::StrAppend(out, "\"", ToAbsl(word), "\"");
  };
  Wrong(key, *node, absl::StrCat("one of ", absl::StrJoin(words, ", ", quoted)));
  return nullptr;
}

void SectionReader::RejectUnknown() {
  if (table_ == nullptr) return;
  const std::vector<std::string_view> known(asked_here_.begin(), asked_here_.end());
  for (const auto& [key, node] : table_->members) {
    if (std::ranges::find(asked_here_, key) != asked_here_.end()) continue;
    problems_.AddAt(node.line, PathOf(key), absl::StrCat("unknown key", DidYouMean(key, known)));
  }
}

absl::Status ParseDuration(std::string_view text, Micros* out) {
  constexpr double kMicrosMax = 3.2e13;  // a year
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  for (const auto& [name, factor] : kDurationUnits) {
    const double microseconds = number * static_cast<double>(factor);
    if (error != std::errc() || unit != name) continue;
    if (!(microseconds >= 0 && microseconds <= kMicrosMax)) continue;
    *out = Micros(std::llround(microseconds));
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", ToAbsl(text),
      "\" is not a duration: write a number and one of us, ms, s, min, such as 250ms"));
}

std::string FormatDuration(Micros duration) {
  std::string text = absl::StrCat(duration.count(), "us");
  for (const auto& [name, factor] : kDurationUnits) {
    if (duration.count() == 0 || duration.count() % factor != 0) break;
    text = absl::StrCat(duration.count() / factor, ToAbsl(name));
  }
  return text;
}

}  // namespace residency
