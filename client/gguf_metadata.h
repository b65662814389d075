// The key-value part of a GGUF header.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "client/gguf_cursor.h"
#include "client/gguf_header.h"

namespace residency {

// Reads `count` entries; on a problem `cursor` holds it.
std::map<std::string, GgufValue> ReadGgufMetadata(uint64_t count, GgufCursor& cursor);

}  // namespace residency
