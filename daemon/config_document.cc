#include "daemon/config_document.h"

#include "absl/strings/str_cat.h"
#include "core/strings.h"

// Header-only and without exceptions: the packaged library throws.
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

namespace residency {
namespace {

ConfigNode FromToml(const toml::node& node);

ConfigNode FromTable(const toml::table& table) {
  ConfigNode out;
  for (const auto& [key, value] : table) {
    ConfigNode member = FromToml(value);
    if (key.source().begin.line > 0) member.line = static_cast<int>(key.source().begin.line);
    out.members.emplace_back(std::string(key.str()), std::move(member));
  }
  return out;
}

// The library bounds the depth of a document, and so the recursion.
ConfigNode FromToml(const toml::node& node) {
  using Kind = ConfigNode::Kind;
  ConfigNode out;
  if (const toml::table* table = node.as_table()) {
    out = FromTable(*table);
  } else if (const toml::array* array = node.as_array()) {
    out.kind = Kind::kArray;
    for (const toml::node& item : *array) out.items.push_back(FromToml(item));
  } else if (const auto* text = node.as_string()) {
    out.kind = Kind::kString;
    out.text = text->get();
  } else if (const auto* integer = node.as_integer()) {
    out.kind = Kind::kInteger;
    out.integer = integer->get();
  } else if (const auto* number = node.as_floating_point()) {
    out.kind = Kind::kFloat;
    out.number = number->get();
  } else if (const auto* flag = node.as_boolean()) {
    out.kind = Kind::kBool;
    out.flag = flag->get();
  } else {
    out.kind = Kind::kDate;
  }
  out.line = static_cast<int>(node.source().begin.line);
  return out;
}

}  // namespace

const ConfigNode* ConfigNode::Find(std::string_view key) const {
  for (const auto& [name, node] : members) {
    if (name == key) return &node;
  }
  return nullptr;
}

std::string ConfigNode::Describe() const {
  switch (kind) {
    case Kind::kTable:
      return "a table";
    case Kind::kArray:
      return "a list";
    case Kind::kString:
      return absl::StrCat("\"", text, "\"");
    case Kind::kInteger:
      return absl::StrCat("the number ", integer);
    case Kind::kFloat:
      return absl::StrCat("the number ", number);
    case Kind::kBool:
      return flag ? "true" : "false";
    case Kind::kDate:
      return "a date or time";
  }
  return "";
}

absl::StatusOr<ConfigNode> ParseConfigDocument(std::string_view text, std::string_view file_name) {
  const toml::parse_result result = toml::parse(text, file_name);
  if (result) return FromTable(result.table());
  const toml::parse_error& error = result.error();
  return absl::InvalidArgumentError(
      absl::StrCat(ToAbsl(file_name), ":", error.source().begin.line,
                   ": not valid TOML: ", ToAbsl(error.description())));
}

}  // namespace residency
