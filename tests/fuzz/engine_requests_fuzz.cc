// What engines ask: bytes to messages, messages to events, events into a real controller, whose
// invariants are checked after every step. The kind of a frame: bits 0 to 3 what it is (Act), bits
// 4 and 5 whose session, bit 6 "arrives together with the next", bit 7 "time passes afterwards".
#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <string>
#include <utility>
#include <variant>

#include "daemon/convert.h"
#include "daemon/convert_requests.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/fuzz_node.h"

namespace residency {
namespace {

using fuzz::Check;

LimitsConfig SmallLimits() {
  LimitsConfig limits;
  limits.register_blocks = 64;
  limits.acquire_blocks = 16;
  limits.blocks = 1000;
  return limits;
}

absl::StatusOr<FileId> FindFile(uint32_t handle) {
  if (handle == 0 || handle > 3) return absl::InvalidArgumentError("no such file");
  return FileId(handle);
}

class Engines {
 public:
  Engines() : node_(fuzz::NodeOptions()) {
    node_.set_observer([](const Command& command) { OnCommand(command); });
    for (SessionId& session : sessions_) Open(session);
    node_.Step();
  }

  void Take(const fuzz::Frame& frame) {
    Act(frame.kind & 15, sessions_[(frame.kind >> 4 & 3) % kSessions], frame.payload);
    if ((frame.kind & 0x40) == 0) node_.Step();
    if ((frame.kind & 0x80) != 0) node_.Advance(patience_.Spend(Micros(3000)), true);
  }

  // Every session ends: nothing may be left of what they held.
  void End() {
    for (const SessionId session : sessions_) node_.Post(SessionEnded{session});
    node_.Step();
    Check(node_.state().table.leases().empty(), "no lease outlives its session");
    Check(node_.controller().waiting_batches() == 0, "no batch outlives its session");
    for (const auto& [request, answers] : node_.answers()) {
      Check(answers == 1 || !request.valid(), "a request is answered once");
    }
  }

 private:
  static constexpr size_t kSessions = 3;

  void Open(SessionId& session) {
    session = SessionId(next_session_++);
    node_.Post(SessionOpened{session, DomainId(session.value() % 2)});
  }

  // Decodes and posts one message.
  template <class Message, class DecodeIt>
  void Send(const std::string& payload, const DecodeIt& decode) {
    Message message;
    if (!message.ParseFromString(payload)) return;
    PostDecoded(decode(message));
  }
  template <class AnyEvent>
  void PostDecoded(absl::StatusOr<AnyEvent> event) {
    if (!event.ok()) {
      Check(!event.status().message().empty(), "a refusal says why");
      return;
    }
    if constexpr (requires { event->request; }) event->request = node_.NextRequest();
    node_.Post(*std::move(event));
  }

  void Act(int act, SessionId& session, const std::string& payload) {
    const SessionId id = session;
    const auto plain = [&](const auto& message) { return Decode(message, id); };
    switch (act) {
      case 0:
        return Send<v1::AttachModelRequest>(payload, plain);
      case 1:
        return Send<v1::DetachModelRequest>(payload, plain);
      case 2:
        return Send<v1::RegisterBlocksRequest>(
            payload, [&](const auto& m) { return Decode(m, id, limits_, FindFile); });
      case 3:
        return Send<v1::PutBlockRequest>(payload,
                                         [&](const auto& m) { return Decode(m, id, FindFile); });
      case 4:
        return Send<v1::AcquireRequest>(
            payload, [&](const auto& m) { return Decode(m.batch(), id, limits_, node_.now()); });
      case 5:
        return Send<v1::ReleaseRequest>(payload, plain);
      case 6:
        return OnStream(id, payload);
      case 7:
        return node_.Post(AcquireAbandoned{id, payload.empty() ? 0u : uint8_t(payload[0])});
      case 8:
        node_.Post(SessionEnded{id});
        return Open(session);
      default:
        node_.Advance(patience_.Spend(Micros(int64_t{act - 8} * 20'000)), true);
    }
  }

  void OnStream(SessionId id, const std::string& payload) {
    v1::SessionRequest request;
    if (!request.ParseFromString(payload)) return;
    switch (request.request_case()) {
      case v1::SessionRequest::kOpen:
        return PostDecoded(Decode(request.open(), id));
      case v1::SessionRequest::kAcquire:
        return PostDecoded(Decode(request.acquire(), id, limits_, node_.now()));
      case v1::SessionRequest::kRelease:
        return PostDecoded(Decode(request.release(), id));
      case v1::SessionRequest::kAccess:
        return PostDecoded(Decode(request.access(), id));
      case v1::SessionRequest::kRouting:
        return PostDecoded(Decode(request.routing(), id));
      case v1::SessionRequest::kStep:
        return PostDecoded(Decode(request.step(), id));
      case v1::SessionRequest::REQUEST_NOT_SET:
        return;
    }
  }

  // What the engine would be told must be sayable.
  static void OnCommand(const Command& command) {
    if (const auto* hint = std::get_if<SendHint>(&command)) {
      Check(ToProto(hint->hint).IsInitialized(), "a hint can be sent");
    }
    const auto* reply = std::get_if<Reply>(&command);
    const auto* granted = reply == nullptr ? nullptr : std::get_if<GrantedBody>(&reply->body);
    if (granted == nullptr) return;
    for (const GrantedLease& lease : granted->leases) {
      Check(ToProto(lease).lease_id() == lease.lease.value(), "a lease can be sent");
    }
  }

  const LimitsConfig limits_ = SmallLimits();
  FakeNode node_;
  fuzz::Patience patience_;
  SessionId sessions_[kSessions];
  uint64_t next_session_ = 1;
};

}  // namespace
}  // namespace residency

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // It complains of every text that is not UTF-8.
  [[maybe_unused]] static auto* const loud = google::protobuf::SetLogHandler(nullptr);
  residency::Engines engines;
  residency::fuzz::Frames frames(data, size);
  residency::fuzz::Frame frame;
  while (frames.Next(&frame)) engines.Take(frame);
  engines.End();
  return 0;
}
