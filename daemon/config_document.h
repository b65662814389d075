// A TOML file as a tree of plain values that know their line. The only user of the TOML library.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace residency {

struct ConfigMember;

struct ConfigNode {
  enum class Kind : uint8_t { kTable, kArray, kString, kInteger, kFloat, kBool, kDate };

  Kind kind = Kind::kTable;
  int line = 1;      // of the key, or of the value in an array
  std::string text;  // kString
  int64_t integer = 0;
  double number = 0;
  bool flag = false;
  std::vector<ConfigNode> items;      // kArray
  std::vector<ConfigMember> members;  // kTable, sorted by key

  // Null if there is none. REQUIRES: kTable.
  const ConfigNode* Find(std::string_view key) const;
  // "a table", "the text \"x\"", "the number 3": for messages.
  std::string Describe() const;
};

struct ConfigMember {
  std::string key;
  ConfigNode node;
};

// The root table. InvalidArgument is "file:line: what is wrong with the syntax".
absl::StatusOr<ConfigNode> ParseConfigDocument(std::string_view text, std::string_view file_name);

}  // namespace residency
