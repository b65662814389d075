// Protocol messages as JSON with stable keys: the field names of the .proto files. Fields with
// default values are written too. 64-bit integers are strings, as proto JSON wants them; enums are
// their names; `bytes` fields are base64.
#pragma once

#include <string>

#include "google/protobuf/message.h"
#include "nlohmann/json.hpp"

namespace residency::ctl {

// Ends in a newline. `one_line`: a document per line, for --watch.
std::string ToJson(const google::protobuf::Message& message, bool one_line);

// The same for what is no message; keys keep their order.
std::string ToJson(const nlohmann::ordered_json& document, bool one_line);

}  // namespace residency::ctl
