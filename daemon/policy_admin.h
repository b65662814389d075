// How operators read and change the policy.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace residency {

enum class PolicySource : uint8_t { kDefault, kFile, kOperator };

struct PolicyEntry {
  std::string key;
  std::string value;
  PolicySource source = PolicySource::kDefault;
  std::string description;
};

class PolicyAdmin {
 public:
  virtual ~PolicyAdmin() = default;
  virtual std::vector<PolicyEntry> List() = 0;
  // All or nothing. NotFound for an unknown key; InvalidArgument names the key and the range.
  virtual absl::Status Update(const std::map<std::string, std::string>& values) = 0;
};

}  // namespace residency
