#include "tests/client/fake_daemon.h"

#include <fcntl.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace residency::client_test {
namespace {

using client::internal::UniqueFd;

constexpr absl::Duration kPatience = absl::Seconds(20);

UniqueFd ListenAt(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  ::unlink(path.c_str());
  UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(::listen(fd.get(), 8), 0);
  return fd;
}

}  // namespace

FakeDaemon::FakeDaemon(std::string directory, FakeOptions options)
    : directory_(std::move(directory)), options_(std::move(options)) {
  for (uint64_t i = 0; i < options_.segments; ++i) {
    segments_.emplace_back(::memfd_create("fake-segment", MFD_CLOEXEC));
    EXPECT_EQ(::ftruncate(segments_.back().get(), static_cast<off_t>(options_.segment_bytes)), 0);
  }
  listener_ = ListenAt(directory_ + "/side.sock");
  side_thread_ = std::thread([this] { Listen(); });
  std::string engine = directory_ + "/engine.sock";
  ::unlink(engine.c_str());
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + engine, grpc::InsecureServerCredentials());
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  EXPECT_NE(server_, nullptr);
}

FakeDaemon::~FakeDaemon() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    for (int peer : peers_) ::shutdown(peer, SHUT_RDWR);
  }
  ::shutdown(listener_.get(), SHUT_RDWR);
  side_thread_.join();
  for (std::thread& thread : peer_threads_) thread.join();
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
}

FakeLog FakeDaemon::Log() const {
  absl::MutexLock lock(&mu_);
  return log_;
}

bool FakeDaemon::WaitFor(const std::function<bool(const FakeLog&)>& done) const {
  absl::MutexLock lock(&mu_);
  auto met = [&] { return done(log_); };
  return mu_.AwaitWithTimeout(absl::Condition(&met), kPatience);
}

void FakeDaemon::Refuse(const std::string& block_name) {
  absl::MutexLock lock(&mu_);
  refused_ = block_name;
}

void FakeDaemon::HoldAcquires(bool hold) {
  absl::MutexLock lock(&mu_);
  hold_acquires_ = hold;
  if (hold) return;
  for (const v1::AcquireBatch& batch : std::exchange(held_acquires_, {})) Answer(batch);
}

void FakeDaemon::StallReads(bool stall) {
  absl::MutexLock lock(&mu_);
  stalled_ = stall;
}

void FakeDaemon::SendHint(const v1::Hint& hint) {
  v1::SessionResponse response;
  *response.mutable_hint() = hint;
  absl::MutexLock lock(&mu_);
  ASSERT_NE(stream_, nullptr);
  stream_->Write(response);
}

void FakeDaemon::SendRecall(const std::vector<uint64_t>& lease_ids) {
  v1::Hint hint;
  hint.mutable_recall()->mutable_lease_ids()->Assign(lease_ids.begin(), lease_ids.end());
  SendHint(hint);
}

void FakeDaemon::BreakStream() {
  absl::MutexLock lock(&mu_);
  ASSERT_NE(stream_context_, nullptr);
  stream_context_->TryCancel();
}

void FakeDaemon::EndSession() {
  absl::MutexLock lock(&mu_);
  ++session_id_;
  log_.leases.clear();
  if (stream_context_ != nullptr) stream_context_->TryCancel();
}

std::string FakeDaemon::Token() const {
  return absl::StrCat("token-", options_.instance, "-", session_id_);
}

uint32_t FakeDaemon::BlockIdOf(const std::string& name) const {
  absl::MutexLock lock(&mu_);
  return block_ids_.at(name);
}

grpc::Status FakeDaemon::GetNodeInfo(grpc::ServerContext*, const v1::GetNodeInfoRequest*,
                                     v1::GetNodeInfoResponse* response) {
  response->set_daemon_instance(options_.instance);
  response->set_side_socket_path(directory_ + "/side.sock");
  response->set_register_blocks_max(options_.register_blocks_max);
  response->set_acquire_blocks_max(options_.acquire_blocks_max);
  v1::Pool& pool = *response->add_pools();
  pool.set_pool_id(1);
  pool.set_tier(v1::TIER_HBM);
  pool.set_name("hbm0");
  pool.set_segment_bytes(options_.segment_bytes);
  pool.set_capacity_bytes(options_.segment_bytes * options_.segments);
  return grpc::Status::OK;
}

grpc::Status FakeDaemon::AttachModel(grpc::ServerContext* context,
                                     const v1::AttachModelRequest* request,
                                     v1::AttachModelResponse* response) {
  if (grpc::Status valid = CheckToken(context); !valid.ok()) return valid;
  absl::MutexLock lock(&mu_);
  ++log_.attaches;
  log_.models.push_back(*request);
  response->set_model_id(static_cast<uint32_t>(log_.attaches));
  return grpc::Status::OK;
}

grpc::Status FakeDaemon::RegisterBlocks(grpc::ServerContext* context,
                                        const v1::RegisterBlocksRequest* request,
                                        v1::RegisterBlocksResponse* response) {
  if (grpc::Status valid = CheckToken(context); !valid.ok()) return valid;
  if (static_cast<uint32_t>(request->blocks_size()) > options_.register_blocks_max) {
    return {grpc::StatusCode::INVALID_ARGUMENT, "too many blocks"};
  }
  absl::MutexLock lock(&mu_);
  ++log_.registers;
  for (const v1::BlockSpec& spec : request->blocks()) {
    auto [at, added] = block_ids_.try_emplace(
        spec.name(), options_.first_block_id + static_cast<uint32_t>(blocks_.size()));
    if (added) {
      FakeBlock& block = blocks_[at->second];
      block.spec = spec;
      block.offset = next_offset_;
      next_offset_ += spec.bytes();
      Write(block, BytesOf(spec));
    }
    response->add_block_ids(at->second);
  }
  return grpc::Status::OK;
}

std::string FakeDaemon::BytesOf(const v1::BlockSpec& spec) {
  std::string bytes(spec.bytes(), '\0');
  if (spec.has_synthetic()) {
    for (uint64_t i = 0; i < spec.bytes(); ++i) {
      bytes[i] = static_cast<char>(SyntheticByte(spec.synthetic().seed(), i));
    }
  } else if (spec.has_file_range()) {
    EXPECT_EQ(::pread(files_.at(spec.file_range().file_handle()).get(), bytes.data(), bytes.size(),
                      static_cast<off_t>(spec.file_range().offset())),
              static_cast<ssize_t>(bytes.size()));
  }
  return bytes;
}

void FakeDaemon::Write(const FakeBlock& block, const std::string& bytes) {
  for (uint64_t done = 0; done < bytes.size();) {
    uint64_t at = block.offset + done;
    uint64_t within = at % options_.segment_bytes;
    uint64_t part = std::min(bytes.size() - done, options_.segment_bytes - within);
    EXPECT_EQ(::pwrite(segments_.at(at / options_.segment_bytes).get(), bytes.data() + done, part,
                       static_cast<off_t>(within)),
              static_cast<ssize_t>(part));
    done += part;
  }
}

grpc::Status FakeDaemon::PutBlock(grpc::ServerContext* context, const v1::PutBlockRequest* request,
                                  v1::PutBlockResponse*) {
  if (grpc::Status valid = CheckToken(context); !valid.ok()) return valid;
  absl::MutexLock lock(&mu_);
  const FakeBlock& block = blocks_.at(request->block_id());
  std::string bytes(block.spec.bytes(), '\0');
  EXPECT_EQ(::pread(files_.at(request->file_handle()).get(), bytes.data(), bytes.size(), 0),
            static_cast<ssize_t>(bytes.size()));
  Write(block, bytes);
  return grpc::Status::OK;
}

grpc::Status FakeDaemon::Release(grpc::ServerContext* context, const v1::ReleaseRequest* request,
                                 v1::ReleaseResponse*) {
  if (grpc::Status valid = CheckToken(context); !valid.ok()) return valid;
  absl::MutexLock lock(&mu_);
  for (uint64_t id : request->lease_ids()) log_.leases.erase(id);
  return grpc::Status::OK;
}

grpc::Status FakeDaemon::DetachModel(grpc::ServerContext* context, const v1::DetachModelRequest*,
                                     v1::DetachModelResponse*) {
  if (grpc::Status valid = CheckToken(context); !valid.ok()) return valid;
  absl::MutexLock lock(&mu_);
  ++log_.detaches;
  return grpc::Status::OK;
}

grpc::Status FakeDaemon::Session(grpc::ServerContext* context, Stream* stream) {
  if (grpc::Status valid = CheckToken(context); !valid.ok()) return valid;
  v1::SessionRequest request;
  if (!stream->Read(&request) || !request.has_open()) {
    return {grpc::StatusCode::INVALID_ARGUMENT, "a stream begins with open"};
  }
  {
    absl::MutexLock lock(&mu_);
    log_.held_at_open.assign(request.open().held_lease_ids().begin(),
                             request.open().held_lease_ids().end());
    stream_ = stream;
    stream_context_ = context;
    v1::SessionResponse opened;
    opened.mutable_opened()->set_session_id(session_id_);
    stream->Write(opened);
  }
  while (stream->Read(&request)) {
    absl::MutexLock lock(&mu_);
    auto readable = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !stalled_ || stopping_; };
    mu_.Await(absl::Condition(&readable));
    Handle(request);
  }
  absl::MutexLock lock(&mu_);
  if (stream_ == stream) stream_ = nullptr;
  if (stream_context_ == context) stream_context_ = nullptr;
  return grpc::Status::OK;
}

void FakeDaemon::Handle(const v1::SessionRequest& request) {
  if (request.has_acquire()) {
    ++log_.acquires;
    if (hold_acquires_) {
      held_acquires_.push_back(request.acquire());
    } else {
      Answer(request.acquire());
    }
  } else if (request.has_release()) {
    for (uint64_t id : request.release().lease_ids()) log_.leases.erase(id);
  } else {
    log_.reports.push_back(request);
  }
}

void FakeDaemon::Answer(const v1::AcquireBatch& batch) {
  v1::SessionResponse response;
  v1::AcquireResult& result = *response.mutable_acquired();
  result.set_request_id(batch.request_id());
  for (uint32_t id : batch.block_ids()) {
    auto block = blocks_.find(id);
    if (block == blocks_.end()) {
      result.set_code(grpc::StatusCode::NOT_FOUND);
      result.set_message(absl::StrCat("no block ", id));
    } else if (block->second.spec.name() == refused_) {
      result.set_code(grpc::StatusCode::RESOURCE_EXHAUSTED);
      result.set_message("held by another engine");
    }
  }
  if (result.code() == 0) {
    for (uint32_t id : batch.block_ids()) Grant(batch, id, result.add_leases());
  }
  if (stream_ != nullptr) stream_->Write(response);
}

void FakeDaemon::Grant(const v1::AcquireBatch& batch, uint32_t block_id, v1::Lease* lease) {
  const FakeBlock& block = blocks_.at(block_id);
  lease->set_lease_id(next_lease_++);
  lease->set_block_id(block_id);
  lease->set_pool_id(1);
  lease->set_offset(block.offset);
  lease->set_length(block.spec.bytes());
  lease->set_encoding(v1::ENCODING_FULL);
  lease->set_generation(3);
  lease->set_mode(batch.mode());
  lease->set_served_from(v1::RESIDENCY_STATE_S3_DRAM);
  lease->set_stall_us(123);
  lease->set_layout(block.spec.layout());
  uint64_t last = (block.offset + block.spec.bytes() - 1) / options_.segment_bytes;
  for (uint64_t s = block.offset / options_.segment_bytes; s <= last; ++s) {
    lease->add_regions(kRegionBase + s);
  }
  log_.leases.insert(lease->lease_id());
}

grpc::Status FakeDaemon::CheckToken(grpc::ServerContext* context) const {
  absl::MutexLock lock(&mu_);
  auto found = context->client_metadata().find("residency-token-bin");
  if (found == context->client_metadata().end() ||
      std::string(found->second.data(), found->second.size()) != Token()) {
    return {grpc::StatusCode::UNAUTHENTICATED, "no such session"};
  }
  return grpc::Status::OK;
}

}  // namespace residency::client_test
