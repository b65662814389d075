// JSON for headers that strangers wrote: bounded, and without the leniency of a plain DOM parse,
// which keeps the last of two equal keys.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace residency {

inline constexpr size_t kMaxJsonDepth = 16;
inline constexpr size_t kMaxJsonValues = size_t{1} << 24;

// InvalidArgument begins with `file` and names the byte or the key: text that is not JSON or not
// UTF-8, a key given twice in one object, nesting or number of values above the limits.
absl::StatusOr<nlohmann::json> ParseStrictJson(const std::string& file, const std::string& text);

// A name from a file as it may appear in a message: quoted, escaped, cut to 200 bytes.
std::string QuotedForMessage(const std::string& name);

bool IsUtf8(const std::string& text);

}  // namespace residency
