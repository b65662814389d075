#include "daemon/config_document.h"

#include <algorithm>
#include <cctype>

#include "absl/strings/str_cat.h"
#include "core/strings.h"

namespace residency {
namespace {

// The library asserts what text can break: "[.x]" is enough for toml++ 3.3. Such text must not end
// the daemon, so its assertions throw this, to be caught below; with NDEBUG it would assume them.
struct BrokenAssertion {};

[[noreturn]] inline void ThrowBrokenAssertion() { throw BrokenAssertion(); }

}  // namespace
}  // namespace residency

// Header-only and without exceptions of its own: the packaged library throws.
#undef NDEBUG
#define TOML_ASSERT(condition) ((condition) ? void() : ::residency::ThrowBrokenAssertion())
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
    out.members.push_back({std::string(key.str()), std::move(member)});
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

namespace {

// The first line that is a table's header but does not begin with a key: what a broken assertion
// of the library has been about. 1 if there is none.
int LineOfBadHeader(std::string_view text) {
  int line = 1;
  for (size_t at = 0; at < text.size(); ++line) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view header = text.substr(at, end - at);
    const size_t bracket = header.find_first_not_of(" \t");
    const size_t key = header.find_first_not_of("[ \t", bracket);
    if (bracket != std::string_view::npos && header[bracket] == '[' &&
        key != std::string_view::npos &&
        std::isalnum(static_cast<unsigned char>(header[key])) == 0 &&
        std::string_view("_-\"'").find(header[key]) == std::string_view::npos) {
      return line;
    }
    at = end + 1;
  }
  return 1;
}

absl::Status NotToml(std::string_view file_name, int line, std::string_view problem) {
  return absl::InvalidArgumentError(
      absl::StrCat(ToAbsl(file_name), ":", line, ": not valid TOML: ", ToAbsl(problem)));
}

}  // namespace

absl::StatusOr<ConfigNode> ParseConfigDocument(std::string_view text, std::string_view file_name) {
  try {
    const toml::parse_result result = toml::parse(text, file_name);
    if (result) return FromTable(result.table());
    const toml::parse_error& error = result.error();
    return NotToml(file_name, static_cast<int>(error.source().begin.line), error.description());
  } catch (const BrokenAssertion&) {
    return NotToml(file_name, LineOfBadHeader(text),
                   "a key must begin with a letter, a digit, '_', '-' or a quote");
  }
}

}  // namespace residency
