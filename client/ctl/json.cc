#include "client/ctl/json.h"

#include <cstdlib>

#include "google/protobuf/util/json_util.h"

namespace residency::ctl {

std::string ToJson(const google::protobuf::Message& message, bool one_line) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = !one_line;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string text;
  // Fails only for well-known types with impossible values, which no message of ours holds.
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) std::abort();
  if (one_line) text += "\n";
  return text;
}

std::string ToJson(const nlohmann::ordered_json& document, bool one_line) {
  using Json = nlohmann::ordered_json;
  return document.dump(one_line ? -1 : 1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace residency::ctl
