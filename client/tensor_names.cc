#include "client/tensor_names.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <vector>

namespace residency::inline client::internal {
namespace {

struct Part {
  std::string_view text;
  size_t end = 0;  // in the name
};

std::vector<Part> Split(std::string_view name) {
  std::vector<Part> parts;
  size_t begin = 0;
  while (begin <= name.size()) {
    size_t dot = std::min(name.find('.', begin), name.size());
    parts.push_back({name.substr(begin, dot - begin), dot});
    begin = dot + 1;
  }
  return parts;
}

int32_t Number(std::string_view text) {
  int32_t value = -1;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value >= 0 ? value : -1;
}

bool IsLayerWord(std::string_view word) {
  return word == "layers" || word == "layer" || word == "h" || word == "blocks" ||
         word == "block" || word == "blk";
}

// What GGUF files call an expert's matrices where each is a tensor of its own.
bool IsGgufExpertWord(std::string_view word) {
  return word == "ffn_gate" || word == "ffn_up" || word == "ffn_down";
}

// The first that matches wins: "post_attention_layernorm" is a norm, "mlp.gate.weight" a router and
// "mlp.gate_proj.weight" not.
constexpr std::array<std::pair<std::string_view, Role>, 25> kRoles = {{
    {"lora_", Role::kAdapter},
    {"adapter", Role::kAdapter},
    {"norm", Role::kNorm},
    {".ln_", Role::kNorm},
    {"ln_f", Role::kNorm},
    {"embed", Role::kEmbedding},
    {"lm_head", Role::kEmbedding},
    {".wte.", Role::kEmbedding},
    {"wte.", Role::kEmbedding},
    {"wpe.", Role::kEmbedding},
    {"router", Role::kRouter},
    {".gate.", Role::kRouter},
    {"ffn_gate_inp", Role::kRouter},
    {"exp_probs_b", Role::kRouter},
    {"_embd.", Role::kEmbedding},
    {"attn", Role::kAttention},
    {"attention", Role::kAttention},
    {"q_proj", Role::kAttention},
    {"k_proj", Role::kAttention},
    {"experts.", Role::kExpert},
    {"shared_expert", Role::kDenseMlp},
    {"mlp", Role::kDenseMlp},
    {"feed_forward", Role::kDenseMlp},
    {"ffn", Role::kDenseMlp},
    {"intermediate.dense", Role::kDenseMlp},
}};

Role RoleOf(std::string_view name, std::span<const RoleRule> rules) {
  for (const RoleRule& rule : rules) {
    if (name.find(rule.contains) != std::string_view::npos) return rule.role;
  }
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (lower == "output.weight" || lower == "output.bias") return Role::kEmbedding;  // GGUF
  for (const auto& [word, role] : kRoles) {
    if (lower.find(word) != std::string::npos) return role;
  }
  return Role::kOther;
}

}  // namespace

TensorPlace PlaceOf(std::string_view tensor_name, std::span<const RoleRule> rules) {
  TensorPlace place;
  std::vector<Part> parts = Split(tensor_name);
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    int32_t number = Number(parts[i + 1].text);
    if (number < 0) continue;
    if (place.layer < 0 && IsLayerWord(parts[i].text)) place.layer = number;
    if (place.layer >= 0 && place.expert < 0 && parts[i].text == "experts") {
      place.expert = number;
      place.expert_name = std::string(tensor_name.substr(0, parts[i + 1].end));
    }
    if (place.layer >= 0 && place.expert < 0 && IsGgufExpertWord(parts[i].text)) {
      place.expert = number;
      place.expert_name = std::string(tensor_name.substr(0, parts[i - 1].end)) + ".experts." +
                          std::string(parts[i + 1].text);
    }
  }
  // Starts with "ffn_", since "chexps" and "shexp" are of other kinds.
  for (size_t i = 1; i < parts.size() && place.layer >= 0 && place.expert < 0; ++i) {
    if (!parts[i].text.starts_with("ffn_") || !parts[i].text.ends_with("_exps")) continue;
    place.holds_all_experts = true;
    place.expert_name = std::string(tensor_name.substr(0, parts[i - 1].end)) + ".experts";
    break;
  }
  const bool expert = place.expert >= 0 || place.holds_all_experts;
  place.role = expert ? Role::kExpert : RoleOf(tensor_name, rules);
  return place;
}

}  // namespace residency::inline client::internal
