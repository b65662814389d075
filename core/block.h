// The unit of residency: immutable bytes of weights, what is known about them, and where the list
// of their copies begins.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/bytes.h"
#include "core/element.h"
#include "core/ids.h"
#include "core/recipe.h"

namespace residency {

enum class Role : uint8_t {
  kExpert,
  kAttention,
  kRouter,
  kNorm,
  kEmbedding,
  kDenseMlp,
  kAdapter,
  kOther,
};

constexpr const char* Name(Role role) {
  constexpr const char* kNames[] = {"expert",    "attention", "router",  "norm",
                                    "embedding", "dense_mlp", "adapter", "other"};
  return kNames[static_cast<int>(role)];
}

// How much a stall on a block of this role hurts, in [0, 1], where nobody says better: what every
// token needs comes first, an expert is one of several.
constexpr float DefaultCriticality(Role role) {
  constexpr float kDefaults[] = {0.5f, 1.0f, 1.0f, 1.0f, 0.8f, 0.9f, 0.4f, 0.5f};
  return kDefaults[static_cast<int>(role)];
}

// How much quality is lost when a block of this role is served low-bit, until it is measured.
constexpr float DefaultSensitivity(Role role) {
  constexpr float kDefaults[] = {0.2f, 0.5f, 1.0f, 1.0f, 0.7f, 0.4f, 0.5f, 0.5f};
  return kDefaults[static_cast<int>(role)];
}

// What a registration says of a block.
struct BlockSpec {
  std::string name;  // unique in its model
  Bytes bytes;
  int32_t layer = -1;   // -1: belongs to no layer
  int32_t expert = -1;  // -1: no expert
  Role role = Role::kOther;
  std::optional<float> criticality;  // in [0, 1]
  std::optional<float> sensitivity;  // in [0, 1]
  Recipe recipe;
  BlockId alias_of;  // valid: these are the bytes of that block of the same domain
  std::optional<uint64_t> checksum;
  std::string layout;
  ElementType element = ElementType::kOther;
};

// A block as the residency table keeps it. Constant after registration but for what is marked.
struct Block {
  BlockId id;
  ModelId model;
  DomainId domain;
  int32_t layer = -1;
  int32_t expert = -1;
  BlockId next_sibling;  // the next block of the same (model, layer, expert)
  Bytes bytes;
  Recipe recipe;          // renewed when an engine supplies a lost file again
  uint64_t checksum = 0;  // XXH3-64 of the full bytes; set by the first materialisation
  Ticket live;            // changes: the live transition, if there is one
  SlotId first_copy;      // changes: head of the list through Copy::next
  uint32_t leases = 0;    // changes: over all copies
  uint32_t pins = 0;      // changes: by operators
  float criticality = 0;
  float sensitivity = 0;
  std::string_view name;  // bytes owned by the table
  ContentFacts facts;     // changes: set when its bytes are first seen
  // Changes: 4096-byte pages of its compressed form, known once it has been compressed.
  uint32_t compressed_pages = 0;
  uint16_t layout = 0;  // number of an interned string
  Role role = Role::kOther;
  ElementType element = ElementType::kOther;
  bool sensitivity_given = false;  // by the engine; else measured
  bool checksum_known = false;     // changes
  bool recipe_broken = false;      // changes: its file is gone or is not the one it was
  bool ever_had_bytes = false;     // changes: without recipe and copies it is lost, not just empty

  bool CanRecompute() const { return recipe.runnable() && !recipe_broken; }
};

}  // namespace residency
