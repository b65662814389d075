// policy get and policy set.
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/ctl/command.h"
#include "client/ctl/near_names.h"
#include "client/ctl/render.h"

namespace residency::ctl {
namespace {

using Stub = OperatorClient::Stub;

template <typename Response>
Frame ShowValues(const Context& context, const Response& response) {
  const auto render = [](const Response& message, const View& view) {
    return RenderPolicy(message.values(), view);
  };
  return Frame{context.Show(response, render), ExitCode::kOk, ""};
}

// Only the values whose key is asked for.
template <typename Response, typename Wanted>
Response Select(const Response& response, Wanted wanted) {
  Response selected;
  for (const v1::PolicyValue& value : response.values()) {
    if (wanted(value.key())) *selected.add_values() = value;
  }
  return selected;
}

// What to do about a key that there is not: the nearest ones there are, and where all are listed.
absl::Status UnknownKey(const v1::GetPolicyResponse& policy, std::string_view key,
                        std::string_view message) {
  constexpr size_t kFarthest = 3;  // Changes that a typo is taken to make at most.
  std::vector<std::pair<size_t, std::string>> near;
  for (const v1::PolicyValue& value : policy.values()) {
    const size_t distance = EditDistance(key, value.key());
    if (distance <= kFarthest) near.emplace_back(distance, value.key());
  }
  const std::string meant =
      near.empty() ? "" : absl::StrCat("\ndid you mean ", std::ranges::min(near).second, "?");
  return absl::NotFoundError(absl::StrCat(absl::string_view(message.data(), message.size()), meant,
                                          "\n'residencyctl policy get' lists them all"));
}

absl::StatusOr<Frame> Get(const Context& context, const std::string& key) {
  absl::StatusOr<v1::GetPolicyResponse> policy =
      context.client.Call(&Stub::GetPolicy, v1::GetPolicyRequest());
  if (!policy.ok()) return policy.status();
  if (key.empty()) return ShowValues(context, *policy);
  const v1::GetPolicyResponse selected =
      Select(*policy, [&key](const std::string& k) { return k == key; });
  if (selected.values().empty()) {
    return UnknownKey(*policy, key, absl::StrCat("no policy key ", key));
  }
  return ShowValues(context, selected);
}

absl::StatusOr<Frame> Set(const Context& context,
                          const std::map<std::string, std::string>& values) {
  v1::UpdatePolicyRequest request;
  request.mutable_values()->insert(values.begin(), values.end());
  absl::StatusOr<v1::UpdatePolicyResponse> policy =
      context.client.Call(&Stub::UpdatePolicy, request);
  if (absl::IsNotFound(policy.status())) {
    absl::StatusOr<v1::GetPolicyResponse> known =
        context.client.Call(&Stub::GetPolicy, v1::GetPolicyRequest());
    if (!known.ok()) return policy.status();
    for (const auto& [key, value] : values) {
      const auto matches = [&key = key](const v1::PolicyValue& v) { return v.key() == key; };
      if (std::any_of(known->values().begin(), known->values().end(), matches)) continue;
      return UnknownKey(*known, key, std::string(policy.status().message()));
    }
  }
  if (!policy.ok()) return policy.status();
  return ShowValues(context, Select(*policy, [&values](const std::string& key) {
                      return values.count(key) > 0;
                    }));
}

// KEY=VALUE; the value may be empty or hold "=". Throws CLI11's error for a usage message.
std::map<std::string, std::string> ParseAssignments(const std::vector<std::string>& texts) {
  std::map<std::string, std::string> values;
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw CLI::ValidationError("policy set", text + " is not KEY=VALUE");
    }
    if (!values.emplace(text.substr(0, equals), text.substr(equals + 1)).second) {
      throw CLI::ValidationError("policy set", text.substr(0, equals) + " is given twice");
    }
  }
  return values;
}

}  // namespace

void AddPolicyCommands(CLI::App& app, Selection& selection) {
  CLI::App* policy = app.add_subcommand("policy", "Show or change the policy's parameters");
  policy->require_subcommand(1)->fallthrough();

  CLI::App* get =
      policy->add_subcommand("get", "All parameters, or one, and where each comes from");
  auto key = std::make_shared<std::string>();
  get->add_option("KEY", *key, "Only this one");
  get->fallthrough()->callback([&selection, key] {
    selection = {[key](const Context& c) { return Get(c, *key); }, true};
  });

  CLI::App* set = policy->add_subcommand(
      "set", "Change parameters, all or none, until SIGHUP or a restart of the daemon");
  auto texts = std::make_shared<std::vector<std::string>>();
  set->add_option("KEY=VALUE", *texts, "One or more")->required();
  set->fallthrough()->callback([&selection, texts] {
    selection = {[values = ParseAssignments(*texts)](const Context& c) { return Set(c, values); },
                 false};
  });
}

}  // namespace residency::ctl
