// The JSON header of an RTRACE01 file, to and from text. No I/O.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sim/trace.h"

namespace residency {

struct ParsedTraceHeader {
  TraceHeader header;
  uint64_t requests = 0;  // as the header claims
  uint64_t tokens = 0;
};

// Keys that the format does not name are ignored. Messages begin with "header".
absl::StatusOr<ParsedTraceHeader> ParseTraceHeader(const std::string& json);

// Keys in the format's order, without spaces; byte counts that are equal in all layers as one
// number. InvalidArgument as for parsing.
absl::StatusOr<std::string> FormatTraceHeader(const ParsedTraceHeader& header);

}  // namespace residency
