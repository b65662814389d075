// A recorded or synthetic run of a router: which experts every token used in every layer. Plain
// data, in memory whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace residency {

// A gate is stored as value / kGateOne.
inline constexpr uint16_t kGateOne = 65535;

struct TraceHeader {
  std::string model;
  uint32_t layers = 0;   // mixture-of-experts layers only
  uint32_t experts = 0;  // per layer
  uint32_t top_k = 0;
  std::vector<uint64_t> expert_bytes;                          // of one expert, by layer
  std::optional<std::vector<uint64_t>> dense_bytes_per_layer;  // none when unknown
  std::string phase;                                           // which tokens are recorded
  std::string gates;                                           // what they are, or "none"
  std::string source;
  std::string licence;

  bool has_gates() const { return gates != "none"; }
};

struct TraceRequest {
  uint32_t id = 0;
  uint32_t tokens = 0;
  uint32_t prompt_tokens = 0;  // the first so many of `tokens`
  uint32_t layers = 0;
  uint32_t top_k = 0;
  // Index (token * layers + layer) * top_k + rank. Rank 0 is the router's first choice.
  std::vector<uint16_t> experts;
  std::vector<uint16_t> gates;

  // REQUIRES: token < tokens, layer < layers.
  std::span<const uint16_t> Experts(uint32_t token, uint32_t layer) const {
    return {experts.data() + Index(token, layer), top_k};
  }
  std::span<const uint16_t> Gates(uint32_t token, uint32_t layer) const {
    return {gates.data() + Index(token, layer), top_k};
  }

 private:
  size_t Index(uint32_t token, uint32_t layer) const {
    return (size_t{token} * layers + layer) * top_k;
  }
};

struct Trace {
  TraceHeader header;
  std::vector<TraceRequest> requests;

  uint64_t tokens() const {
    uint64_t sum = 0;
    for (const TraceRequest& request : requests) sum += request.tokens;
    return sum;
  }
};

}  // namespace residency
