// What goes into the controller and what comes out: plain values, so that a story of the controller
// can be written down, replayed and compared.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "core/block.h"
#include "core/hint.h"
#include "core/ids.h"
#include "core/lease.h"
#include "core/residency_state.h"
#include "core/transfer.h"
#include "policy/signals.h"

namespace residency {

// ---------------------------------------------------------------- events

struct SessionOpened {
  SessionId session;
  DomainId domain;
};
// The process exited, said goodbye, or an operator ended it: every lease goes back.
struct SessionEnded {
  SessionId session;
};
// A client came back on a new stream and says which leases it still has; the others go back.
struct SessionResumed {
  SessionId session;
  std::vector<LeaseId> held;
};
struct ModelAttach {
  RequestId request;
  SessionId session;
  std::string name;
  std::string fingerprint;
  Bytes max_leased;
  Bytes max_batch;
  AcceptMask accepts;
};
struct ModelDetach {
  RequestId request;
  SessionId session;
  ModelId model;
};
struct BlocksRegister {
  RequestId request;
  SessionId session;
  ModelId model;
  std::vector<BlockSpec> blocks;
};
// Supplies the bytes of a block from a file range that is read once.
struct BlockPut {
  RequestId request;
  SessionId session;
  BlockId block;
  Recipe supply;
  uint64_t checksum = 0;
  bool durable = false;
};
struct AccessReported {
  SessionId session;
  ModelId model;
  Phase phase = Phase::kDecode;
  std::vector<BlockId> blocks;
};
struct RoutingReported {
  SessionId session;
  ModelId model;
  int32_t layer = 0;
  Phase phase = Phase::kDecode;
  std::vector<uint64_t> requests;
  int top_k = 0;
  std::vector<uint16_t> experts;
  std::vector<float> gates;
};
struct StepMarked {
  SessionId session;
  ModelId model;
  bool begin = false;
  std::vector<uint64_t> ended_requests;
};
struct AcquireBatch {
  RequestId request;
  SessionId session;
  // Unique in the session: a retry under the same id gets the same leases.
  uint64_t client_request = 0;
  std::vector<BlockId> blocks;
  AcceptMask accepts;
  TimePoint deadline;
  LeaseMode mode = LeaseMode::kRecallable;
};
// The call ended before its reply could be delivered: what it was granted goes back.
struct AcquireAbandoned {
  SessionId session;
  uint64_t client_request = 0;
};
struct LeasesReleased {
  RequestId request;  // none: no reply is wanted
  SessionId session;
  std::vector<LeaseId> leases;
};
struct TransferEnded {
  TransferOutcome outcome;
};
// Rows are on disk. Tokens are those of Persist commands.
struct CatalogueCommitted {
  std::vector<uint64_t> tokens;
};
struct CatalogueFailed {
  std::vector<uint64_t> tokens;
  absl::Status status;
};
struct CopyReclaimed {
  SlotId slot;
  Generation generation;
};
struct CopyStillHeld {
  SlotId slot;
  Generation generation;
};
struct OperatorPin {
  RequestId request;
  BlockId block;
  bool pin = true;
};
// Promotion or demotion to a settled state, waiting until `deadline`.
struct OperatorMove {
  RequestId request;
  BlockId block;
  ResidencyState to = ResidencyState::kS6Recomputable;
  TimePoint deadline;
};
struct OperatorDrain {
  RequestId request;
};
struct PolicyChanged {
  PolicyConfig config;
};
struct TimerFired {};

using Event = std::variant<SessionOpened, SessionEnded, SessionResumed, ModelAttach, ModelDetach,
                           BlocksRegister, BlockPut, AccessReported, RoutingReported, StepMarked,
                           AcquireBatch, AcquireAbandoned, LeasesReleased, TransferEnded,
                           CatalogueCommitted, CatalogueFailed, CopyReclaimed, CopyStillHeld,
                           OperatorPin, OperatorMove, OperatorDrain, PolicyChanged, TimerFired>;

// ---------------------------------------------------------------- commands

struct StartTransfer {
  TransferSpec spec;
};
struct CancelTransfer {
  Ticket ticket;
};
struct ReclassifyTransfer {
  Ticket ticket;
  LinkClass cls;
};
// Ask the holders whether these bytes may be reused; answered by CopyReclaimed or CopyStillHeld.
struct ReclaimCopy {
  SlotId slot;
  Generation generation;
  CopyPlace place;
};
struct SendHint {
  SessionId session;
  Hint hint;
};

// What must last. Carried out in order, off the controller's thread. A token, where one is given,
// comes back in CatalogueCommitted or CatalogueFailed.
struct PersistModel {
  ModelId model;
};
struct PersistBlock {
  BlockId block;
};
struct PersistAlias {
  ModelId model;
  std::string name;
  BlockId root;
};
struct PersistChecksum {
  BlockId block;
  uint64_t checksum;
};
struct PersistExtent {
  SlotId slot;
  BlockId block;
  CopyPlace place;
  Encoding encoding;
  uint64_t checksum;
};
struct EraseExtent {
  SlotId slot;
  CopyPlace place;
};
struct Persist {
  std::variant<PersistModel, PersistBlock, PersistAlias, PersistChecksum, PersistExtent,
               EraseExtent>
      row;
  uint64_t token = 0;
};

struct AttachedBody {
  ModelId model;
  uint64_t known_blocks = 0;
};
struct RegisteredBody {
  std::vector<BlockId> blocks;
  uint32_t recipes_renewed = 0;
};
struct GrantedLease {
  LeaseId lease;
  BlockId block;
  CopyPlace place;
  Bytes bytes;
  Encoding encoding = Encoding::kFull;
  Generation generation;
  uint64_t checksum = 0;
  LeaseMode mode = LeaseMode::kRecallable;
  ResidencyState served_from = ResidencyState::kS0FullHbm;
  Micros stall{0};
  std::string layout;  // as registered
  ElementType element = ElementType::kOther;
  Bytes full_bytes{};                         // of the block
  LowbitFormat lowbit = LowbitFormat::kInt8;  // where the encoding is low-bit
  float lowbit_error = 0;
};
struct GrantedBody {
  std::vector<GrantedLease> leases;
};
struct ReleasedBody {
  uint32_t unknown = 0;
};
struct MovedBody {
  ResidencyState state = ResidencyState::kS6Recomputable;
};
struct DrainedBody {
  uint64_t leases_held = 0;
};
struct Reply {
  RequestId request;
  absl::Status status;  // the body is meaningless unless OK
  std::variant<std::monostate, AttachedBody, RegisteredBody, GrantedBody, ReleasedBody, MovedBody,
               DrainedBody>
      body;
};

using Command = std::variant<StartTransfer, CancelTransfer, ReclassifyTransfer, ReclaimCopy,
                             SendHint, Persist, Reply>;

}  // namespace residency
