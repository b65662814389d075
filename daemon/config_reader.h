// Reads one table of a configuration document key by key, each with its type and range. Problems
// are collected, never thrown: a key with one keeps its default.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "core/bytes.h"
#include "core/clock.h"
#include "daemon/config_document.h"

namespace residency {

// Every problem found so far, and where each key stood so that a later check can say so too.
class ConfigProblems {
 public:
  explicit ConfigProblems(std::string file_name) : file_name_(std::move(file_name)) {}

  void Remember(const std::string& key, int line) { lines_.emplace(key, line); }
  // At the line of `key` where the file has it, else of the nearest table around it.
  void Add(const std::string& key, std::string_view what);
  void AddAt(int line, const std::string& key, std::string_view what);

  bool empty() const { return problems_.empty(); }
  // OK, or InvalidArgument with one problem a line in the order of the file.
  absl::Status ToStatus() const;

 private:
  int LineOf(std::string key) const;

  const std::string file_name_;
  std::map<std::string, int> lines_;
  std::multimap<int, std::string> problems_;
};

// One word of a closed list and what it stands for.
template <class T>
struct ConfigChoice {
  std::string_view word;
  T value;
};

class SectionReader {
 public:
  // `table` may be null: then every key keeps its default. `path` is the dotted name of the table
  // in messages.
  SectionReader(const ConfigNode* table, std::string path, ConfigProblems& problems);

  // A sub-table; null, with a problem if it is anything else, where there is none.
  const ConfigNode* Table(std::string_view key);
  // The tables of an array of tables.
  std::vector<const ConfigNode*> Tables(std::string_view key);

  void Text(std::string_view key, std::string& out);
  void TextList(std::string_view key, std::vector<std::string>& out);
  // An absolute path without "..".
  void Path(std::string_view key, std::string& out);
  void PathList(std::string_view key, std::vector<std::string>& out);
  void Switch(std::string_view key, bool& out);
  void Count(std::string_view key, int64_t& out, int64_t min, int64_t max);
  // "24GiB", or a plain number of bytes.
  void Size(std::string_view key, Bytes& out, Bytes min, Bytes max);
  // "250ms", "10s", "5min".
  void Duration(std::string_view key, Micros& out, Micros min, Micros max);
  // Permission bits as 0o660 or "0660".
  void Mode(std::string_view key, uint32_t& out);
  template <class T, size_t N>
  void Choice(std::string_view key, T& out, const ConfigChoice<T> (&choices)[N]);

  // The node of a key that is read elsewhere; null if the file does not have it.
  const ConfigNode* Take(std::string_view key);
  // Whether the file has this key, whatever its value.
  bool Has(std::string_view key) const { return table_ != nullptr && table_->Find(key) != nullptr; }

  // Call last: every key that nobody asked for is a problem, with the nearest known one.
  void RejectUnknown();

  std::string PathOf(std::string_view key) const;
  // Full paths of all keys asked for, in order.
  const std::vector<std::string>& asked() const { return asked_; }

 private:
  void Wrong(std::string_view key, const ConfigNode& node, std::string_view allowed);
  const std::string* ChosenWord(std::string_view key, const std::vector<std::string_view>& words);

  const ConfigNode* const table_;
  const std::string path_;
  ConfigProblems& problems_;
  std::vector<std::string> asked_;
  std::vector<std::string> asked_here_;  // without the path
};

// "250ms" as microseconds; InvalidArgument says what is understood.
absl::Status ParseDuration(std::string_view text, Micros* out);
std::string FormatDuration(Micros duration);

template <class T, size_t N>
void SectionReader::Choice(std::string_view key, T& out, const ConfigChoice<T> (&choices)[N]) {
  std::vector<std::string_view> words;
  for (const ConfigChoice<T>& choice : choices) words.push_back(choice.word);
  const std::string* const word = ChosenWord(key, words);
  if (word == nullptr) return;
  for (const ConfigChoice<T>& choice : choices) {
    if (choice.word == *word) out = choice.value;
  }
}

}  // namespace residency
