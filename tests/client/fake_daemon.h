// A daemon for the client's tests, in this process: real sockets, real memory files, no policy. It
// has one HBM pool in which every block has its place from registration on, grants every acquire
// unless told otherwise, and remembers what it was sent.
#pragma once

#include <grpcpp/server.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/unique_fd.h"
#include "residency/v1/engine.grpc.pb.h"
#include "residency/v1/side.pb.h"

namespace residency::client_test {

// What a synthetic block of this seed holds at `index`.
inline uint8_t SyntheticByte(uint64_t seed, uint64_t index) {
  return static_cast<uint8_t>(seed * 37 + index * 11 + (index >> 8));
}

struct FakeOptions {
  std::string instance = "instance-0000001";
  // The first block's number, so that a restarted daemon numbers differently.
  uint32_t first_block_id = 1;
  uint64_t segment_bytes = 64 << 10;
  uint64_t segments = 16;
  uint32_t register_blocks_max = 3;
  uint32_t acquire_blocks_max = 64;
  int refuse_hellos = 0;  // that many times Unavailable first
};

// What it was sent; a copy of the moment.
struct FakeLog {
  int hellos = 0;
  int goodbyes = 0;
  int registers = 0;
  int acquires = 0;
  int attaches = 0;
  int detaches = 0;
  std::vector<uint64_t> held_at_open;  // of the last stream
  std::set<uint64_t> leases;           // granted and not released
  std::vector<std::string> offered_paths;
  std::vector<residency::v1::SessionRequest> reports;
  std::vector<residency::v1::AttachModelRequest> models;
};

class FakeDaemon final : public v1::EngineService::Service {
 public:
  FakeDaemon(std::string directory, FakeOptions options = {});
  ~FakeDaemon() override;  // as a crash: no goodbyes

  FakeLog Log() const;
  // False if `done` does not come true within 20 s.
  bool WaitFor(const std::function<bool(const FakeLog&)>& done) const;

  // Blocks with this name are refused (ResourceExhausted) while set; empty for none.
  void Refuse(const std::string& block_name);
  // While held, acquires are kept and answered at the end of holding.
  void HoldAcquires(bool hold);
  // While stalled, the stream is not read.
  void StallReads(bool stall);
  void SendHint(const v1::Hint& hint);
  void SendRecall(const std::vector<uint64_t>& lease_ids);
  void BreakStream();
  // As an operator does: the session's leases are gone, and it can't be resumed.
  void EndSession();
  uint32_t BlockIdOf(const std::string& name) const;

 private:
  static constexpr uint64_t kRegionBase = 7000;

  struct FakeBlock {
    v1::BlockSpec spec;
    uint64_t offset = 0;
  };
  using Stream = grpc::ServerReaderWriter<v1::SessionResponse, v1::SessionRequest>;

  grpc::Status GetNodeInfo(grpc::ServerContext*, const v1::GetNodeInfoRequest*,
                           v1::GetNodeInfoResponse* response) override;
  grpc::Status AttachModel(grpc::ServerContext* context, const v1::AttachModelRequest* request,
                           v1::AttachModelResponse* response) override;
  grpc::Status RegisterBlocks(grpc::ServerContext* context,
                              const v1::RegisterBlocksRequest* request,
                              v1::RegisterBlocksResponse* response) override;
  grpc::Status PutBlock(grpc::ServerContext* context, const v1::PutBlockRequest* request,
                        v1::PutBlockResponse* response) override;
  grpc::Status Session(grpc::ServerContext* context, Stream* stream) override;
  grpc::Status Release(grpc::ServerContext* context, const v1::ReleaseRequest* request,
                       v1::ReleaseResponse* response) override;
  grpc::Status DetachModel(grpc::ServerContext* context, const v1::DetachModelRequest* request,
                           v1::DetachModelResponse* response) override;

  std::string Token() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  grpc::Status CheckToken(grpc::ServerContext* context) const;
  void Handle(const v1::SessionRequest& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Answer(const v1::AcquireBatch& batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Write(const FakeBlock& block, const std::string& bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Grant(const v1::AcquireBatch& batch, uint32_t block_id, v1::Lease* lease)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  void Listen();
  void Serve(int fd);
  v1::SideResponse AnswerSide(const v1::SideRequest& request, int fd_in, int* fd_out);
  std::string BytesOf(const v1::BlockSpec& spec) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string directory_;
  const FakeOptions options_;
  mutable absl::Mutex mu_;
  uint64_t session_id_ ABSL_GUARDED_BY(mu_) = 42;
  FakeLog log_ ABSL_GUARDED_BY(mu_);
  std::map<uint32_t, FakeBlock> blocks_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, uint32_t> block_ids_ ABSL_GUARDED_BY(mu_);
  std::map<uint32_t, client::internal::UniqueFd> files_ ABSL_GUARDED_BY(mu_);
  std::vector<client::internal::UniqueFd> segments_;
  uint64_t next_offset_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t next_lease_ ABSL_GUARDED_BY(mu_) = 1;
  std::string refused_ ABSL_GUARDED_BY(mu_);
  bool hold_acquires_ ABSL_GUARDED_BY(mu_) = false;
  bool stalled_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<v1::AcquireBatch> held_acquires_ ABSL_GUARDED_BY(mu_);
  grpc::ServerContext* stream_context_ ABSL_GUARDED_BY(mu_) = nullptr;
  Stream* stream_ ABSL_GUARDED_BY(mu_) = nullptr;
  std::set<int> peers_ ABSL_GUARDED_BY(mu_);

  client::internal::UniqueFd listener_;
  std::thread side_thread_;
  std::vector<std::thread> peer_threads_;  // side_thread_ only, until it has ended
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace residency::client_test
