// The engine's side of residencyd: attach a model, lease its blocks, report what is used.
//
//   auto client = residency::Client::Connect({.runtime_dir = "/run/residencyd"});
//   auto model = (*client)->AttachCheckpoint("model.safetensors", {});
//   auto leases = (*client)->Acquire(model->Expert(layer, expert), {});
//   Use((*leases)[0].data(), (*leases)[0].size());
//
// A Client is one session. All methods may be called from any thread. Errors are values; the
// messages say what was wanted, what was found and what to do. A process that uses a Client must
// not fork without exec: the child has neither the threads nor the leases.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "residency/lease.h"
#include "residency/model.h"
#include "residency/types.h"

namespace residency::inline client {

struct ClientOptions {
  // Where the daemon's sockets are; "engine.sock" in it unless the paths below say otherwise.
  // Empty: $RESIDENCY_RUNTIME_DIR, else /run/residencyd.
  std::string runtime_dir{};
  std::string engine_socket{};
  std::string side_socket{};  // empty: as the daemon says
  std::string name{};         // for messages

  absl::Duration connect_deadline = absl::Seconds(10);
  // Between two tries to connect: from the first, doubling, to the last. Also after a lost daemon,
  // for as long as the Client lives.
  absl::Duration retry_first = absl::Milliseconds(20);
  absl::Duration retry_last = absl::Seconds(2);
  // For each call that is not an Acquire. PutBlock and RegisterBlocks may wait for the disk.
  absl::Duration call_deadline = absl::Seconds(30);

  // Bounds of the queues; what does not fit is dropped and counted.
  size_t reports_max = 4096;
  size_t hints_max = 4096;
};

struct AcquireOptions {
  // From the call. At its end nothing is held and the error names who holds the room.
  absl::Duration deadline = absl::Seconds(10);
  LeaseMode mode = LeaseMode::kRecallable;
  // Empty: what the blocks' model declared.
  Accepts accepts = Accepts::kNone;
};

using AcquireResult = absl::StatusOr<std::vector<Lease>>;

// What the daemon tells; recalls are handled by the library and not seen here.
struct Hint {
  enum class Kind : uint8_t { kPromoted, kArriving, kServeLowbit, kRevoked };
  Kind kind = Kind::kPromoted;
  BlockId block{};
  ResidencyState state = ResidencyState::kUnspecified;  // kPromoted
  absl::Duration eta{};                                 // kArriving
  std::string reason{};                                 // kRevoked
};

struct Hints {
  std::vector<Hint> hints{};
  uint64_t dropped = 0;  // since the last poll
};

struct ClientStats {
  uint64_t local_hits = 0;  // leases from the cache: no RPC, no system call
  uint64_t misses = 0;      // leases that the daemon was asked for
  uint64_t stream_messages_sent = 0;
  uint64_t unary_calls_sent = 0;
  uint64_t reports_accepted = 0;
  uint64_t reports_dropped = 0;         // here: the queue was full or there was no daemon
  uint64_t reports_dropped_remote = 0;  // as the daemon last counted, ours included
  uint64_t hints_dropped = 0;
  uint64_t recalls = 0;      // leases that the daemon asked back
  uint64_t revocations = 0;  // leases whose bytes were lost
  uint64_t orphans = 0;      // leases that lost their daemon
  uint64_t reconnects = 0;
  uint64_t leases = 0;        // held now, idle ones included
  uint64_t bytes_in_use = 0;  // under a Lease now
};

class Client {
 public:
  // Tries until the deadline; the error says what was tried and what came of it.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(ClientOptions options);
  // Ends the session and, with it, all leases. Waits for callbacks that run.
  ~Client();

  // Opens a checkpoint, safetensors (a file, an index or a directory) or GGUF (a file, the first of
  // several or a directory), offers its files and registers its blocks. Empty tensors get no block.
  // ResourceExhausted if the limits do not fit the pool.
  absl::StatusOr<Model> AttachCheckpoint(const std::string& path, CheckpointOptions options);
  // The same for blocks that the engine describes itself.
  absl::StatusOr<Model> AttachBlocks(ModelSpec spec, std::vector<BlockSpec> blocks);
  // FailedPrecondition while a Lease of the model lives.
  absl::Status Detach(const Model& model);

  // Supplies the bytes of a block, exactly as many as it has. A block without a recipe is lost with
  // the daemon unless put durably, and is then to be put again (Acquire: DataLoss).
  absl::Status PutBlock(BlockId block, std::span<const std::byte> bytes, Durability durability);

  // All or nothing, in the order of `blocks`. Hits come from the cache; the daemon is asked for the
  // rest. Waits through a lost daemon while the deadline lasts. All blocks of one call belong to
  // one model. ResourceExhausted: the model's declared limits, or no room in time.
  AcquireResult Acquire(std::span<const BlockId> blocks, const AcquireOptions& options = {});
  // The callback runs on the library's own thread, one at a time, and always exactly once, at the
  // latest when the Client ends. It may call anything but ~Client.
  void AcquireAsync(std::span<const BlockId> blocks, const AcquireOptions& options,
                    std::function<void(AcquireResult)> done);
  std::future<AcquireResult> AcquireAsync(std::span<const BlockId> blocks,
                                          const AcquireOptions& options = {});
  // A hit in the lease cache or nothing. Makes no system call and waits for nobody.
  std::optional<Lease> TryAcquireLocal(BlockId block);

  // Reports are queued and never wait; see ClientStats for what was dropped.
  void ReportAccess(const Model& model, Phase phase, std::span<const BlockId> blocks);
  // One visit of one layer: for each request, its top_k experts, rank 0 first, and their gates,
  // which may be left out. Dropped, and counted, if the sizes do not agree.
  void ReportRouting(const Model& model, uint32_t layer, Phase phase,
                     std::span<const uint64_t> request_ids, uint32_t top_k,
                     std::span<const uint32_t> experts, std::span<const float> gates = {});
  void StepBegin(const Model& model, uint64_t step, Phase phase);
  void StepEnd(const Model& model, uint64_t step, Phase phase,
               std::span<const uint64_t> ended_request_ids = {});

  Hints PollHints(size_t max);

  bool connected() const;
  ClientStats Stats() const;

  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

 private:
  class Impl;
  explicit Client(std::shared_ptr<Impl> impl);

  std::shared_ptr<Impl> impl_;
};

}  // namespace residency::inline client
