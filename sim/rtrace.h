// RTRACE01 files: a magic, a JSON header, then one binary record per request; little endian,
// optionally zstd-compressed as a whole.
//
//   0   8  magic "RTRACE01"
//   8   4  length of the JSON header, which follows
//   then per request: id u32, tokens u32, prompt tokens u32,
//        experts (u8 if experts <= 256, else u16) [tokens][layers][top_k],
//        gates u16 [tokens][layers][top_k]
//
// The reader is strict: what it returns obeys every rule of the format. Errors are InvalidArgument
// and name the file, the byte (of the decompressed content) and the request.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sim/trace.h"

namespace residency {

inline constexpr uint32_t kMaxTraceLayers = 65536;
inline constexpr uint32_t kMaxTraceExperts = 65536;

struct TraceLimits {
  uint64_t json_bytes = uint64_t{1} << 24;
  // Of the decompressed content; in memory a trace takes up to four thirds of it.
  uint64_t content_bytes = uint64_t{4} << 30;
};

// Reads plain or compressed by the first bytes, whatever the name. Memory grows with what was
// really read, never with what a length field claims.
absl::StatusOr<Trace> ReadTrace(const std::string& path, const TraceLimits& limits = {});

// The same for content in memory; `name` is for messages.
absl::StatusOr<Trace> ParseTrace(const std::string& name, const std::string& content,
                                 const TraceLimits& limits = {});

// The uncompressed file. InvalidArgument if the trace breaks a rule of the format.
absl::StatusOr<std::string> EncodeTrace(const Trace& trace);

// Compressed if the name ends in ".zst". The file appears under its name only when complete.
absl::Status WriteTrace(const Trace& trace, const std::string& path);

// The rules that hold within one request: at least one token, no more prompt tokens than tokens,
// experts in range and distinct, gates that do not increase with rank, sum to about 1 at most, and
// are 0 when the header says "none". The message begins with "request ID".
absl::Status CheckRequest(const TraceHeader& header, const TraceRequest& request);

}  // namespace residency
