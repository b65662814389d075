// What the tests of the gRPC ports share: a port that answers as the test says, a session, and a
// real server on a socket of its own.
#pragma once

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/control_port.h"
#include "daemon/grpc_server.h"
#include "daemon/session_registry.h"
#include "tests/daemon/temp_dir.h"

namespace residency {

inline constexpr std::chrono::seconds kTestDeadline{30};

// Takes down what is posted. Calls are answered by `answer` if that gives something, else by
// Answer(). Questions are put to `controller`.
class FakePort final : public ControlPort {
 public:
  using Body = decltype(Reply::body);

  void Call(std::function<Event(RequestId)> make, ReplyHandler handler) override {
    RequestId id;
    std::optional<Reply> reply;
    {
      const std::lock_guard lock(mutex_);
      id = RequestId(next_++);
      if (full_) {
        reply = Reply{id, absl::ResourceExhaustedError("mailbox full"), {}};
      } else {
        events_.push_back(make(id));
        if (answer) reply = answer(id, events_.back());
        if (!reply) pending_.emplace(id, handler);
      }
      changed_.notify_all();
    }
    if (reply) handler(*reply);
  }
  bool Post(Event event) override {
    const std::lock_guard lock(mutex_);
    if (full_) return false;
    events_.push_back(std::move(event));
    changed_.notify_all();
    return true;
  }
  bool Ask(Question question) override {
    {
      const std::lock_guard lock(mutex_);
      if (full_) return false;
      ++questions_;
    }
    question(controller);
    return true;
  }

  void set_full(bool full) {
    const std::lock_guard lock(mutex_);
    full_ = full;
  }
  int questions() {
    const std::lock_guard lock(mutex_);
    return questions_;
  }

  // The `n`-th (from 0) event of this kind, waited for.
  template <class Kind>
  std::optional<Kind> Wait(size_t n = 0) {
    std::unique_lock lock(mutex_);
    std::optional<Kind> found;
    changed_.wait_for(lock, kTestDeadline, [&] {
      size_t seen = 0;
      for (const Event& event : events_) {
        const Kind* const kind = std::get_if<Kind>(&event);
        if (kind != nullptr && seen++ == n) found = *kind;
      }
      return found.has_value();
    });
    EXPECT_TRUE(found.has_value()) << "the event never came";
    return found;
  }
  template <class Kind>
  size_t Count() {
    const std::lock_guard lock(mutex_);
    size_t count = 0;
    for (const Event& event : events_) count += std::holds_alternative<Kind>(event);
    return count;
  }

  void Answer(RequestId id, absl::Status status, Body body) {
    ReplyHandler handler;
    {
      const std::lock_guard lock(mutex_);
      const auto it = pending_.find(id);
      ASSERT_NE(it, pending_.end());
      handler = std::move(it->second);
      pending_.erase(it);
    }
    handler(Reply{id, std::move(status), std::move(body)});
  }

  // Set before the server starts.
  std::function<std::optional<Reply>(RequestId, const Event&)> answer;
  const Controller* controller = nullptr;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Event> events_;
  std::map<RequestId, ReplyHandler> pending_;
  uint64_t next_ = 1;
  bool full_ = false;
  int questions_ = 0;
};

inline PeerProcess FakePeer(pid_t pid) {
  return {.uid = 1000, .pid = pid, .name = "engine", .pidfd = OwnedFd()};
}

inline std::shared_ptr<grpc::Channel> ConnectTo(const std::string& path) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel("unix:" + path, grpc::InsecureChannelCredentials(), arguments);
}

inline std::unique_ptr<GrpcServer> Serve(const std::string& path, grpc::Service& service) {
  auto server = GrpcServer::Start({.path = path, .access = {0600, ""}}, service);
  EXPECT_TRUE(server.ok()) << server.status();
  return server.ok() ? *std::move(server) : nullptr;
}

}  // namespace residency
