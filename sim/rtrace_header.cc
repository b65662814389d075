#include "sim/rtrace_header.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "sim/rtrace.h"

namespace residency {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxDepth = 16;

absl::Status Invalid(const std::string& problem) {
  return absl::InvalidArgumentError(absl::StrCat("header: ", problem));
}

std::string Quoted(const std::string& text) {
  return absl::StrCat("'", absl::CHexEscape(text.substr(0, 100)), "'");
}

// A plain parse keeps the last of two equal keys; the names of every open object are watched.
absl::StatusOr<Json> ParseWithoutDuplicates(const std::string& text) {
  // The parser takes a NUL byte for the end of the text and would ignore what follows.
  if (text.find('\0') != std::string::npos) return Invalid("is not valid UTF-8 JSON: a NUL byte");
  std::string problem;
  std::vector<std::set<std::string>> open;
  const auto watch = [&](int, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end) open.pop_back();
    if (open.size() > kMaxDepth) problem = absl::StrCat("objects nested above ", kMaxDepth);
    if (event == Json::parse_event_t::key &&
        !open.back().insert(value.get_ref<const std::string&>()).second) {
      problem =
          absl::StrCat("the key ", Quoted(value.get_ref<const std::string&>()), " is given twice");
    }
    return problem.empty();
  };
  Json root = Json::parse(text, watch, /*allow_exceptions=*/false);
  if (!problem.empty()) return Invalid(problem);
  if (root.is_discarded()) return Invalid("is not valid UTF-8 JSON");
  if (!root.is_object()) return Invalid(absl::StrCat("must be an object, is ", root.type_name()));
  return root;
}

// Takes typed values out of the header and keeps the first error.
class Fields {
 public:
  explicit Fields(const Json& root) : root_(root) {}

  std::string Text(const char* key) {
    const Json* value = Find(key);
    if (value == nullptr) return "";
    if (value->is_string()) return value->get<std::string>();
    Fail(absl::StrCat("'", key, "' must be text, is ", value->type_name()));
    return "";
  }

  uint64_t Integer(const char* key, uint64_t least, uint64_t most) {
    const Json* value = Find(key);
    if (value == nullptr) return least;
    if (value->is_number_unsigned()) {
      const uint64_t number = value->get<uint64_t>();
      if (number >= least && number <= most) return number;
    }
    Fail(absl::StrCat("'", key, "' must be an integer from ", least, " to ", most, ", is ",
                      value->is_number() ? value->dump() : value->type_name()));
    return least;
  }

  // One value for all layers, or one per layer.
  std::vector<uint64_t> BytesByLayer(const char* key, uint32_t layers) {
    const Json* value = Find(key);
    std::vector<uint64_t> bytes;
    if (value == nullptr) return bytes;
    if (value->is_number_unsigned()) bytes.assign(layers, value->get<uint64_t>());
    if (value->is_array()) {
      for (const Json& entry : *value) {
        if (entry.is_number_unsigned()) bytes.push_back(entry.get<uint64_t>());
      }
      // A shortfall shows entries that were not byte counts.
      if (bytes.size() != value->size()) bytes.clear();
    }
    if (bytes.size() == layers) return bytes;
    Fail(absl::StrCat("'", key, "' must be a byte count or a list of ", layers,
                      " byte counts, one per layer"));
    return bytes;
  }

  bool IsNull(const char* key) const { return root_.contains(key) && root_[key].is_null(); }
  const absl::Status& status() const { return status_; }

 private:
  const Json* Find(const char* key) {
    const auto found = root_.find(key);
    if (found != root_.end()) return &*found;
    Fail(absl::StrCat("lacks '", key, "'"));
    return nullptr;
  }

  void Fail(const std::string& problem) {
    if (status_.ok()) status_ = Invalid(problem);
  }

  const Json& root_;
  absl::Status status_;
};

absl::StatusOr<ParsedTraceHeader> FromJson(const Json& root) {
  constexpr uint64_t kAny = std::numeric_limits<uint64_t>::max();
  Fields fields(root);
  ParsedTraceHeader parsed;
  TraceHeader& header = parsed.header;
  header.model = fields.Text("model");
  header.layers = static_cast<uint32_t>(fields.Integer("n_layers", 1, kMaxTraceLayers));
  header.experts = static_cast<uint32_t>(fields.Integer("n_experts", 1, kMaxTraceExperts));
  header.top_k = static_cast<uint32_t>(fields.Integer("top_k", 1, header.experts));
  header.expert_bytes = fields.BytesByLayer("expert_bytes", header.layers);
  if (!fields.IsNull("dense_bytes_per_layer")) {
    header.dense_bytes_per_layer = fields.BytesByLayer("dense_bytes_per_layer", header.layers);
  }
  header.phase = fields.Text("phase");
  header.gates = fields.Text("gates");
  header.source = fields.Text("source");
  header.licence = fields.Text("licence");
  parsed.requests = fields.Integer("n_requests", 0, kAny);
  parsed.tokens = fields.Integer("n_tokens", 0, kAny);
  if (!fields.status().ok()) return fields.status();
  return parsed;
}

nlohmann::ordered_json ShortBytes(const std::vector<uint64_t>& bytes) {
  const bool equal =
      std::all_of(bytes.begin(), bytes.end(), [&](uint64_t b) { return b == bytes.front(); });
  if (equal && !bytes.empty()) return bytes.front();
  return bytes;
}

}  // namespace

absl::StatusOr<ParsedTraceHeader> ParseTraceHeader(const std::string& json) {
  auto root = ParseWithoutDuplicates(json);
  if (!root.ok()) return root.status();
  return FromJson(*root);
}

absl::StatusOr<std::string> FormatTraceHeader(const ParsedTraceHeader& parsed) {
  const TraceHeader& header = parsed.header;
  nlohmann::ordered_json root;
  root["model"] = header.model;
  root["n_layers"] = header.layers;
  root["n_experts"] = header.experts;
  root["top_k"] = header.top_k;
  root["expert_bytes"] = ShortBytes(header.expert_bytes);
  root["dense_bytes_per_layer"] = nullptr;
  if (header.dense_bytes_per_layer) {
    root["dense_bytes_per_layer"] = ShortBytes(*header.dense_bytes_per_layer);
  }
  root["phase"] = header.phase;
  root["gates"] = header.gates;
  root["source"] = header.source;
  root["licence"] = header.licence;
  root["n_requests"] = parsed.requests;
  root["n_tokens"] = parsed.tokens;
  // Bytes that are not UTF-8 are written as they are and then refused by the parser below.
  std::string text = root.dump(-1, ' ', false, Json::error_handler_t::ignore);
  auto back = ParseTraceHeader(text);
  if (!back.ok()) return back.status();
  if (back->header.expert_bytes.size() != header.expert_bytes.size()) {
    return Invalid(absl::StrCat("'expert_bytes' must have ", header.layers, " values, has ",
                                header.expert_bytes.size()));
  }
  return text;
}

}  // namespace residency
