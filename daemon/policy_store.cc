#include "daemon/policy_store.h"

namespace residency {

PolicyStore::PolicyStore(const PolicyConfig& config, const std::vector<std::string>& keys_set,
                         std::function<void(const PolicyConfig&)> changed)
    : changed_(std::move(changed)), config_(config), from_file_(keys_set.begin(), keys_set.end()) {}

std::vector<PolicyEntry> PolicyStore::List() {
  const std::lock_guard lock(mutex_);
  std::vector<PolicyEntry> entries;
  for (const PolicyField& field : PolicyFields()) {
    const std::string key(field.key);
    PolicySource source = PolicySource::kDefault;
    if (from_file_.contains(key)) source = PolicySource::kFile;
    if (from_operator_.contains(key)) source = PolicySource::kOperator;
    entries.push_back({.key = key,
                       .value = GetPolicyField(config_, field.key).value(),
                       .source = source,
                       .description = std::string(field.description)});
  }
  return entries;
}

absl::Status PolicyStore::Update(const std::map<std::string, std::string>& values) {
  const std::lock_guard lock(mutex_);
  PolicyConfig next = config_;
  for (const auto& [key, value] : values) {
    if (absl::Status status = SetPolicyField(next, key, value); !status.ok()) return status;
  }
  if (absl::Status status = ValidatePolicy(next); !status.ok()) return status;
  config_ = next;
  for (const auto& [key, value] : values) from_operator_.insert(key);
  changed_(config_);
  return absl::OkStatus();
}

void PolicyStore::Replace(const PolicyConfig& config, const std::vector<std::string>& keys_set) {
  const std::lock_guard lock(mutex_);
  config_ = config;
  from_file_ = {keys_set.begin(), keys_set.end()};
  from_operator_.clear();
  changed_(config_);
}

}  // namespace residency
