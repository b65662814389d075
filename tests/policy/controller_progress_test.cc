// Nobody starves: where nothing fails and every client keeps within its limits and gives back what
// it is asked for, every batch is granted, long before its deadline.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/policy/controller_seeds.h"
#include "tests/policy/fake_node.h"

namespace residency {
namespace {

// Clients that stay within their limits and give back what they are asked for.
struct Client {
  SessionId session;
  RequestId waits_for;
  TimePoint due{};
  TimePoint done_at{};  // computing until then
  bool computing = false;
  uint64_t granted = 0;
};

class Progress {
 public:
  // `share` of the pool for each of two sessions; blocks of one size.
  Progress(uint64_t seed, LeaseMode mode, Bytes max_leased, int batch)
      : random_(seed * 31 + 7), node_(Options(seed)), mode_(mode), batch_(batch), seed_(seed) {
    node_.set_observer([this](const Command& c) { OnCommand(c); });
    for (uint64_t s = 1; s <= 2; ++s) {
      node_.Post(SessionOpened{SessionId(s), DomainId(0)});
      node_.Post(ModelAttach{node_.NextRequest(),
                             SessionId(s),
                             "m",
                             "f",
                             max_leased,
                             MiB(1) * static_cast<uint64_t>(batch),
                             {}});
      clients_.push_back({.session = SessionId(s), .waits_for = {}});
    }
    node_.Step();
    EXPECT_EQ(failed_, 0) << "a session was not attached";
    BlocksRegister event{node_.NextRequest(), SessionId(1), ModelId(0), {}};
    for (int i = 0; i < kBlocks; ++i) {
      BlockSpec spec;
      spec.name = absl::StrCat("b", i);
      spec.bytes = MiB(1);
      spec.layer = 0;
      spec.expert = i;
      spec.role = i % 4 == 0 ? Role::kNorm : Role::kExpert;
      spec.recipe = {.kind = RecipeKind::kSynthetic, .file = {}, .offset = 0, .seed = 1};
      event.blocks.push_back(spec);
    }
    node_.Post(event);
    node_.Step();
  }

  void Run(Micros for_time) {
    const TimePoint end = node_.now() + for_time;
    while (node_.now() < end && !testing::Test::HasFailure()) {
      for (Client& client : clients_) Act(client);
      node_.Step();
      node_.Advance(Micros(200), true);
    }
  }
  const std::vector<Client>& clients() const { return clients_; }

 private:
  static constexpr int kBlocks = 24;
  // Far above what any fair order takes, far below for ever.
  static constexpr Micros kDeadline{500'000};

  static FakeNodeOptions Options(uint64_t seed) {
    return {.pools = {{.id = PoolId(0),
                       .tier = Tier::kHbm,
                       .name = "hbm",
                       .capacity = MiB(12),
                       .segment_bytes = MiB(1),
                       .domain_segments = true},
                      {.id = PoolId(1),
                       .tier = Tier::kDram,
                       .name = "dram",
                       .capacity = MiB(16),
                       .segment_bytes = MiB(1),
                       .domain_segments = true},
                      {.id = PoolId(2),
                       .tier = Tier::kNvme,
                       .name = "nvme",
                       .capacity = MiB(20),
                       .segment_bytes = MiB(4),
                       .domain_segments = false}},
            .policy = {},
            .seed = seed,
            .faults = {},
            .jitter = true};
  }

  void Act(Client& client) {
    if (client.waits_for.valid()) return;
    if (client.computing) {
      if (node_.now() < client.done_at) return;
      client.computing = false;
      // What was asked back while it was in use, and in other modes everything.
      LeasesReleased event{RequestId(), client.session, {}};
      if (mode_ != LeaseMode::kRecallable) event.leases = node_.LeasesOf(client.session);
      for (const LeaseId lease : std::exchange(owed_[client.session], {})) {
        event.leases.push_back(lease);
      }
      node_.Post(event);
    }
    AcquireBatch event{.request = node_.NextRequest(),
                       .session = client.session,
                       .client_request = ++next_call_,
                       .blocks = {},
                       .accepts = {},
                       .deadline = node_.now() + kDeadline,
                       .mode = mode_};
    while (static_cast<int>(event.blocks.size()) < batch_) {
      const BlockId block(static_cast<uint32_t>(random_.Below(kBlocks)));
      if (std::find(event.blocks.begin(), event.blocks.end(), block) == event.blocks.end()) {
        event.blocks.push_back(block);
      }
    }
    client.waits_for = event.request;
    node_.Post(StepMarked{client.session, ModelId(0), true, {}});
    node_.Post(event);
  }

  void OnCommand(const Command& command) {
    if (const auto* reply = std::get_if<Reply>(&command)) {
      if (!reply->status.ok()) {
        ++failed_;
        ADD_FAILURE() << "seed " << seed_ << ", at " << node_.now().time_since_epoch().count()
                      << " us: " << reply->status;
      }
      for (Client& client : clients_) {
        if (client.waits_for != reply->request) continue;
        client.waits_for = RequestId();
        client.computing = true;
        client.done_at = node_.now() + Micros(random_.Below(5000));
        ++client.granted;
      }
    } else if (const auto* send = std::get_if<SendHint>(&command)) {
      const auto* recall = std::get_if<RecallHint>(&send->hint);
      if (recall == nullptr) return;
      for (Client& client : clients_) {
        if (client.session != send->session) continue;
        if (client.computing) {
          auto& owed = owed_[client.session];
          owed.insert(owed.end(), recall->leases.begin(), recall->leases.end());
        } else {
          node_.Post(LeasesReleased{RequestId(), client.session, recall->leases});
        }
      }
    }
  }

  FakeRandom random_;
  FakeNode node_;
  const LeaseMode mode_;
  const int batch_;
  const uint64_t seed_;
  std::vector<Client> clients_;
  std::map<SessionId, std::vector<LeaseId>> owed_;
  uint64_t next_call_ = 0;
  int failed_ = 0;
};

class ControllerProgress : public testing::TestWithParam<LeaseMode> {};

TEST_P(ControllerProgress, EveryBatchWithinTheLimitsIsGrantedInTime) {
  for (uint64_t seed = FirstSeed(); seed < EndSeed(6) && !HasFailure(); ++seed) {
    // Two sessions as large as they may be: 2 x 4 in use and 4 kept for demand are all of the pool.
    // A quarter of the blocks is sensitive, which must not keep them waiting either.
    Progress progress(seed, GetParam(), MiB(4), 4);
    progress.Run(Micros(1'000'000));
    for (const Client& client : progress.clients()) {
      EXPECT_GT(client.granted, 50u) << "seed " << seed << ", session " << client.session;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, ControllerProgress,
                         testing::Values(LeaseMode::kRecallable, LeaseMode::kPinned,
                                         LeaseMode::kStreaming));

}  // namespace
}  // namespace residency
