#include "sim/rtrace.h"

#include <algorithm>
#include <array>
#include <memory>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "sim/rtrace_header.h"
#include "sim/rtrace_input.h"

namespace residency {
namespace {

constexpr char kMagic[] = "RTRACE01";
constexpr size_t kMagicBytes = 8;
constexpr size_t kRecordHeaderBytes = 12;
// 1.02: sources round each gate on its own, so that their sum is not exactly 1.
constexpr uint32_t kGateSumMax = 66846;

uint32_t LittleEndian32(const uint8_t* p) {
  return uint32_t{p[0]} | uint32_t{p[1]} << 8 | uint32_t{p[2]} << 16 | uint32_t{p[3]} << 24;
}

std::vector<uint16_t> Widen(const std::vector<uint8_t>& raw, size_t width) {
  std::vector<uint16_t> values(raw.size() / width);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = width == 1 ? raw[i] : static_cast<uint16_t>(raw[2 * i] | raw[2 * i + 1] << 8);
  }
  return values;
}

absl::StatusOr<ParsedTraceHeader> ReadHeader(TraceInput* input, const TraceLimits& limits) {
  std::vector<uint8_t> raw;
  auto status = input->Read(kMagicBytes, "the magic", &raw);
  if (!status.ok()) return status;
  if (!std::equal(raw.begin(), raw.end(), kMagic)) {
    return input->Invalid(0, "does not begin with RTRACE01: not a routing trace");
  }
  status = input->Read(4, "the header's length", &raw);
  if (!status.ok()) return status;
  const uint32_t length = LittleEndian32(raw.data());
  if (length > limits.json_bytes) {
    return input->Invalid(
        kMagicBytes,
        absl::StrCat("a header of ", length, " bytes is above the limit of ", limits.json_bytes));
  }
  const uint64_t start = input->offset();
  status = input->Read(length, "the header", &raw);
  if (!status.ok()) return status;
  auto header = ParseTraceHeader(std::string(raw.begin(), raw.end()));
  if (!header.ok()) return input->Invalid(start, std::string(header.status().message()));
  return header;
}

absl::StatusOr<TraceRequest> ReadRequest(TraceInput* input, const TraceHeader& header) {
  const uint64_t start = input->offset();
  std::vector<uint8_t> raw;
  auto status = input->Read(kRecordHeaderBytes, "a request's header", &raw);
  if (!status.ok()) return status;
  TraceRequest request;
  request.id = LittleEndian32(&raw[0]);
  request.tokens = LittleEndian32(&raw[4]);
  request.prompt_tokens = LittleEndian32(&raw[8]);
  request.layers = header.layers;
  request.top_k = header.top_k;
  const std::string name = absl::StrCat("request ", request.id);
  const size_t width = header.experts <= 256 ? 1 : 2;
  // At most 2^32 * 2^16 * 2^16 * 2, which does not fit 64 bits.
  uint64_t values, bytes;
  if (__builtin_mul_overflow(uint64_t{request.tokens}, uint64_t{header.layers} * header.top_k,
                             &values) ||
      __builtin_mul_overflow(values, uint64_t{2}, &bytes)) {
    return input->Invalid(
        start, absl::StrCat(name, ": the size of ", request.tokens, " tokens overflows"));
  }
  status = input->Read(values * width, absl::StrCat(name, ": experts"), &raw);
  if (!status.ok()) return status;
  request.experts = Widen(raw, width);
  status = input->Read(bytes, absl::StrCat(name, ": gates"), &raw);
  if (!status.ok()) return status;
  request.gates = Widen(raw, 2);
  status = CheckRequest(header, request);
  if (!status.ok()) return input->Invalid(start, std::string(status.message()));
  return request;
}

absl::StatusOr<Trace> ReadContent(TraceInput* input, const TraceLimits& limits) {
  auto parsed = ReadHeader(input, limits);
  if (!parsed.ok()) return parsed.status();
  Trace trace;
  trace.header = std::move(parsed->header);
  std::unordered_set<uint32_t> ids;
  while (true) {
    auto end = input->AtEnd();
    if (!end.ok()) return end.status();
    if (*end) break;
    const uint64_t start = input->offset();
    auto request = ReadRequest(input, trace.header);
    if (!request.ok()) return request.status();
    if (!ids.insert(request->id).second) {
      return input->Invalid(start, absl::StrCat("request ", request->id, ": the id appears twice"));
    }
    trace.requests.push_back(*std::move(request));
  }
  if (trace.requests.size() != parsed->requests || trace.tokens() != parsed->tokens) {
    return input->Invalid(
        input->offset(),
        absl::StrCat("the header says ", parsed->requests, " requests and ", parsed->tokens,
                     " tokens, the file has ", trace.requests.size(), " and ", trace.tokens()));
  }
  return trace;
}

// The rules of one token in one layer; the empty text if they hold.
std::string CheckChoice(const TraceHeader& header, std::span<const uint16_t> experts,
                        std::span<const uint16_t> gates, std::vector<uint16_t>* scratch) {
  scratch->assign(experts.begin(), experts.end());
  std::sort(scratch->begin(), scratch->end());
  if (scratch->back() >= header.experts) {
    return absl::StrCat("expert ", scratch->back(), " of ", header.experts);
  }
  const auto repeated = std::adjacent_find(scratch->begin(), scratch->end());
  if (repeated != scratch->end()) return absl::StrCat("expert ", *repeated, " is chosen twice");
  if (!std::is_sorted(gates.rbegin(), gates.rend())) return "gates increase with rank";
  if (!header.has_gates()) {
    return gates.front() == 0 ? "" : "a gate is not 0, though the header says none are recorded";
  }
  uint64_t sum = 0;
  for (uint16_t gate : gates) sum += gate;
  if (sum > kGateSumMax) {
    return absl::StrCat("gates sum to ", sum, "; at most ", kGateSumMax, " (1.02) is plausible");
  }
  return "";
}

}  // namespace

absl::Status CheckRequest(const TraceHeader& header, const TraceRequest& request) {
  const auto invalid = [&](const std::string& problem) {
    return absl::InvalidArgumentError(absl::StrCat("request ", request.id, ": ", problem));
  };
  if (request.layers != header.layers || request.top_k != header.top_k) {
    return invalid("layers or top_k differ from the header's");
  }
  if (request.tokens == 0) return invalid("has no tokens; at least one is required");
  if (request.prompt_tokens > request.tokens) {
    return invalid(
        absl::StrCat(request.prompt_tokens, " prompt tokens of ", request.tokens, " tokens"));
  }
  const uint64_t values = uint64_t{request.tokens} * request.layers * request.top_k;
  if (request.experts.size() != values || request.gates.size() != values) {
    return invalid(absl::StrCat("must have ", values, " experts and gates, has ",
                                request.experts.size(), " and ", request.gates.size()));
  }
  std::vector<uint16_t> scratch;
  for (uint32_t token = 0; token < request.tokens; ++token) {
    for (uint32_t layer = 0; layer < request.layers; ++layer) {
      const std::string problem =
          CheckChoice(header, request.Experts(token, layer), request.Gates(token, layer), &scratch);
      if (!problem.empty()) {
        return invalid(absl::StrCat("token ", token, " layer ", layer, ": ", problem));
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Trace> ReadTrace(const std::string& path, const TraceLimits& limits) {
  auto input = TraceInput::OpenFile(path, limits.content_bytes);
  if (!input.ok()) return input.status();
  return ReadContent(input->get(), limits);
}

absl::StatusOr<Trace> ParseTrace(const std::string& name, const std::string& content,
                                 const TraceLimits& limits) {
  auto input = TraceInput::OpenBytes(name, content, limits.content_bytes);
  if (!input.ok()) return input.status();
  return ReadContent(input->get(), limits);
}

}  // namespace residency
