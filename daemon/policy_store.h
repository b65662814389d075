// The policy's values and where each comes from: the built-in default, the file, or an operator.
// Thread-safe. Every change is validated whole and reaches the controller at a tick boundary.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "daemon/policy_admin.h"
#include "policy/config.h"

namespace residency {

class PolicyStore final : public PolicyAdmin {
 public:
  // `keys_set`: what the file says; all else is a default. `changed` hands a new policy on.
  PolicyStore(const PolicyConfig& config, const std::vector<std::string>& keys_set,
              std::function<void(const PolicyConfig&)> changed);

  std::vector<PolicyEntry> List() override;
  absl::Status Update(const std::map<std::string, std::string>& values) override;
  // The file was read again: what it says, and defaults for the rest, replaces everything.
  void Replace(const PolicyConfig& config, const std::vector<std::string>& keys_set);

 private:
  const std::function<void(const PolicyConfig&)> changed_;
  std::mutex mutex_;
  PolicyConfig config_;
  std::set<std::string> from_file_;
  std::set<std::string> from_operator_;
};

}  // namespace residency
