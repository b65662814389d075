#include "tests/client/ctl/fake_operator.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/ctl/cli.h"
#include "client/ctl/names.h"
#include "gtest/gtest.h"

namespace residency::ctl {

TempDir::TempDir() {
  std::string pattern = testing::TempDir() + "/ctlXXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) std::abort();
  path_ = pattern;
}

TempDir::~TempDir() { std::filesystem::remove_all(path_); }

FakeOperator::FakeOperator() : socket_(dir_.Path("operator.sock")) {
  status.set_healthy(true);
  status.set_version("9.9.9");
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + socket_, grpc::InsecureServerCredentials());
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) std::abort();
}

FakeOperator::~FakeOperator() { Stop(); }

void FakeOperator::Stop() {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_ = nullptr;
}

std::vector<std::string> FakeOperator::calls() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return calls_;
}

void FakeOperator::Record(std::string call) {
  std::lock_guard<std::mutex> lock(mutex_);
  calls_.push_back(std::move(call));
}

const v1::BlockInfo* FakeOperator::Find(const std::string& block) const {
  for (const v1::BlockInfo& info : blocks) {
    if (block == absl::StrCat(info.block_id()) || block == info.name()) return &info;
  }
  return nullptr;
}

grpc::Status FakeOperator::Require(const std::string& block) const {
  if (Find(block) != nullptr) return grpc::Status::OK;
  return {grpc::StatusCode::NOT_FOUND, absl::StrCat("no block ", block)};
}

grpc::Status FakeOperator::GetStatus(grpc::ServerContext* context, const v1::GetStatusRequest*,
                                     v1::GetStatusResponse* response) {
  Record("GetStatus");
  while (hangs && !context->IsCancelled()) std::this_thread::yield();
  *response = status;
  return grpc::Status::OK;
}

// The token is the index of the first block of the page.
grpc::Status FakeOperator::ListBlocks(grpc::ServerContext*, const v1::ListBlocksRequest* request,
                                      v1::ListBlocksResponse* response) {
  std::string call = absl::StrCat("ListBlocks size ", request->page_size());
  if (request->has_model_id()) absl::StrAppend(&call, " model ", request->model_id());
  if (request->has_state()) absl::StrAppend(&call, " state ", StateName(request->state()));
  if (request->has_layer()) absl::StrAppend(&call, " layer ", request->layer());
  if (!request->name_contains().empty()) absl::StrAppend(&call, " name ", request->name_contains());
  if (request->has_role()) absl::StrAppend(&call, " role ", RoleName(request->role()));
  if (request->has_expert()) absl::StrAppend(&call, " expert ", request->expert());
  if (!request->pool().empty()) absl::StrAppend(&call, " pool ", request->pool());
  if (request->has_tier()) absl::StrAppend(&call, " tier ", TierName(request->tier()));
  if (request->leased()) absl::StrAppend(&call, " leased");
  if (request->pinned()) absl::StrAppend(&call, " pinned");
  if (request->lost()) absl::StrAppend(&call, " lost");
  if (request->has_min_bytes()) absl::StrAppend(&call, " min ", request->min_bytes());
  if (request->has_max_bytes()) absl::StrAppend(&call, " max ", request->max_bytes());
  if (request->has_element_type()) {
    absl::StrAppend(&call, " element ", ElementTypeName(request->element_type()));
  }
  if (request->order_by() != v1::BLOCK_ORDER_UNSPECIFIED) {
    absl::StrAppend(&call, " by ", v1::BlockOrder_Name(request->order_by()),
                    request->descending() ? " descending" : "");
  }
  if (request->scores()) absl::StrAppend(&call, " scores");
  Record(call);
  size_t at = 0;
  if (!request->page_token().empty() && !absl::SimpleAtoi(request->page_token(), &at)) {
    return {grpc::StatusCode::INVALID_ARGUMENT, "bad token"};
  }
  const uint32_t page = request->page_size() == 0 ? 1000 : request->page_size();
  while (static_cast<uint32_t>(response->blocks_size()) < page && at < blocks.size()) {
    const v1::BlockInfo& block = blocks[at++];
    if (block.name().find(request->name_contains()) == std::string::npos) continue;
    *response->add_blocks() = block;
  }
  if (request->order_by() != v1::BLOCK_ORDER_UNSPECIFIED) {
    response->set_matched(blocks.size());
    return grpc::Status::OK;
  }
  if (at < blocks.size()) response->set_next_page_token(absl::StrCat(at));
  return grpc::Status::OK;
}

grpc::Status FakeOperator::GetBlock(grpc::ServerContext*, const v1::GetBlockRequest* request,
                                    v1::GetBlockResponse* response) {
  if (grpc::Status found = Require(request->block()); !found.ok()) return found;
  *response->mutable_block() = *Find(request->block());
  return grpc::Status::OK;
}

grpc::Status FakeOperator::ExplainBlock(grpc::ServerContext*,
                                        const v1::ExplainBlockRequest* request,
                                        v1::ExplainBlockResponse* response) {
  if (grpc::Status found = Require(request->block()); !found.ok()) return found;
  *response = explanation;
  return grpc::Status::OK;
}

grpc::Status FakeOperator::ListModels(grpc::ServerContext*, const v1::ListModelsRequest*,
                                      v1::ListModelsResponse* response) {
  *response = models;
  return grpc::Status::OK;
}

grpc::Status FakeOperator::ListPools(grpc::ServerContext*, const v1::ListPoolsRequest*,
                                     v1::ListPoolsResponse* response) {
  *response = pools;
  return grpc::Status::OK;
}

grpc::Status FakeOperator::ListMisses(grpc::ServerContext*, const v1::ListMissesRequest*,
                                      v1::ListMissesResponse* response) {
  *response = misses;
  return grpc::Status::OK;
}

grpc::Status FakeOperator::ListSessions(grpc::ServerContext*, const v1::ListSessionsRequest*,
                                        v1::ListSessionsResponse* response) {
  *response = sessions;
  return grpc::Status::OK;
}

grpc::Status FakeOperator::EndSession(grpc::ServerContext*, const v1::EndSessionRequest* request,
                                      v1::EndSessionResponse*) {
  Record(absl::StrCat("EndSession ", request->session_id()));
  for (const v1::SessionInfo& session : sessions.sessions()) {
    if (session.session_id() == request->session_id()) return grpc::Status::OK;
  }
  return {grpc::StatusCode::NOT_FOUND, absl::StrCat("no session ", request->session_id())};
}

grpc::Status FakeOperator::PinBlock(grpc::ServerContext*, const v1::PinBlockRequest* request,
                                    v1::PinBlockResponse*) {
  Record("PinBlock " + request->block());
  return Require(request->block());
}

grpc::Status FakeOperator::PromoteBlock(grpc::ServerContext*,
                                        const v1::PromoteBlockRequest* request,
                                        v1::PromoteBlockResponse* response) {
  Record(absl::StrCat("PromoteBlock ", request->block(), " ", StateName(request->to()), " ",
                      request->deadline_us()));
  response->set_state(request->to());
  return move_result;
}

grpc::Status FakeOperator::DemoteBlock(grpc::ServerContext*, const v1::DemoteBlockRequest* request,
                                       v1::DemoteBlockResponse* response) {
  Record(absl::StrCat("DemoteBlock ", request->block(), " ", StateName(request->to()), " ",
                      request->deadline_us()));
  response->set_state(request->to());
  return move_result;
}

grpc::Status FakeOperator::Drain(grpc::ServerContext*, const v1::DrainRequest* request,
                                 v1::DrainResponse* response) {
  Record(absl::StrCat("Drain ", request->deadline_us()));
  response->set_leases_held(status.leases());
  if (on_drain) on_drain();
  return grpc::Status::OK;
}

grpc::Status FakeOperator::GetPolicy(grpc::ServerContext*, const v1::GetPolicyRequest*,
                                     v1::GetPolicyResponse* response) {
  *response = policy;
  return grpc::Status::OK;
}

grpc::Status FakeOperator::UpdatePolicy(grpc::ServerContext*,
                                        const v1::UpdatePolicyRequest* request,
                                        v1::UpdatePolicyResponse* response) {
  for (const auto& [key, value] : request->values()) {
    const auto named = [&key = key](const v1::PolicyValue& known) { return known.key() == key; };
    if (std::none_of(policy.values().begin(), policy.values().end(), named)) {
      return {grpc::StatusCode::NOT_FOUND, absl::StrCat("there is no policy key ", key)};
    }
  }
  for (v1::PolicyValue value : policy.values()) {
    if (const auto it = request->values().find(value.key()); it != request->values().end()) {
      value.set_value(it->second);
      value.set_source(v1::POLICY_SOURCE_OPERATOR);
    }
    *response->add_values() = value;
  }
  for (const auto& [key, value] : request->values()) {
    Record(absl::StrCat("UpdatePolicy ", key, "=", value));
  }
  return grpc::Status::OK;
}

Outcome RunWith(std::vector<std::string> arguments, const std::function<void(Environment&)>& tune) {
  std::ostringstream out;
  std::ostringstream err;
  Environment env;
  env.out = &out;
  env.err = &err;
  env.size = [] { return TerminalSize{}; };
  env.catch_interrupts = [] {};
  env.wait = [](absl::Duration) { return false; };
  env.enter_screen = [] {};
  env.leave_screen = [] {};
  env.wait_key = [](absl::Duration) { return std::optional<char>(); };
  if (tune) tune(env);
  std::vector<const char*> argv = {"residencyctl"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  const int code = RunCtl(static_cast<int>(argv.size()), argv.data(), env);
  return {code, out.str(), err.str()};
}

}  // namespace residency::ctl
