// RTRACE01 files, plain and compressed.
#include <string>

#include "sim/rtrace.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using residency::fuzz::Check;
  // Small, so that a compressed input can't take the time of a thousand others.
  const residency::TraceLimits limits{.json_bytes = 1 << 16, .content_bytes = 1 << 20};
  const std::string content(residency::fuzz::TextOf(data, size));
  const absl::StatusOr<residency::Trace> trace = residency::ParseTrace("f", content, limits);
  if (!trace.ok()) return 0;
  for (const residency::TraceRequest& request : trace->requests) {
    Check(residency::CheckRequest(trace->header, request).ok(), "an accepted request is valid");
  }
  const absl::StatusOr<std::string> encoded = residency::EncodeTrace(*trace);
  Check(encoded.ok(), "what was read can be written");
  const absl::StatusOr<residency::Trace> again = residency::ParseTrace("g", *encoded);
  Check(again.ok(), "what was written can be read");
  Check(again->requests.size() == trace->requests.size(), "nothing is lost by writing");
  return 0;
}
