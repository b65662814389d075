// Seeded campaigns against the controller: clients that do everything at random, on nodes where
// everything may fail. The node around the controller checks every command; what is checked here is
// how it ends.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/policy/controller_seeds.h"
#include "tests/policy/fake_node.h"
#include "tests/policy/transcript_text.h"

namespace residency {
namespace {

std::vector<PoolOptions> OddPools() {
  // Not multiples of anything that blocks are.
  return {{.id = PoolId(0),
           .tier = Tier::kHbm,
           .name = "hbm",
           .capacity = Bytes(10'321'920),
           .segment_bytes = MiB(1),
           .domain_segments = true},
          {.id = PoolId(1),
           .tier = Tier::kDram,
           .name = "dram",
           .capacity = Bytes(14'000'128),
           .segment_bytes = MiB(1),
           .domain_segments = true},
          {.id = PoolId(2),
           .tier = Tier::kNvme,
           .name = "nvme",
           .capacity = Bytes(17'000'448),
           .segment_bytes = MiB(4),
           .domain_segments = false}};
}

// Does everything at random.
class Campaign {
 public:
  explicit Campaign(uint64_t seed, bool tell = false)
      : random_(seed * 7919 + 1), node_(Options(seed)), tell_(tell) {
    node_.set_observer([this](const Command& c) { OnCommand(c); });
    for (uint64_t s = 1; s <= 3; ++s) Open(s);
    Register();
  }

  void Run(int steps) {
    for (int i = 0; i < steps && !testing::Test::HasFailure(); ++i) {
      Act();
      // A step is one event, or several that arrived together.
      if (random_.Chance(0.7)) node_.Step();
      if (random_.Chance(0.6)) node_.Advance(Micros(random_.Below(3000)), true);
    }
  }

  // Every deadline passes, every session ends, nothing fails any more.
  void Quiesce() {
    node_.StopFaults();
    node_.Step();
    for (uint64_t s = 1; s <= last_session_; ++s) node_.Post(SessionEnded{SessionId(s)});
    node_.Step();
    PolicyConfig quiet;
    quiet.stage_dram = quiet.stage_nvme = quiet.prefetch = false;
    node_.Post(PolicyChanged{quiet});
    node_.Advance(kPutDeadlineAndMore, true);
    node_.Post(OperatorDrain{RequestId()});
    for (int i = 0; i < 50 && !node_.Quiet(); ++i) node_.Advance(Micros(100'000), true);
  }

  void CheckAtRest() {
    const ResidencyTable& table = node_.state().table;
    EXPECT_TRUE(table.leases().empty());
    EXPECT_TRUE(table.live().empty());
    EXPECT_TRUE(node_.Quiet());
    EXPECT_EQ(node_.controller().waiting_batches(), 0u);
    for (const auto& pool : table.pools()) EXPECT_TRUE(pool->reserved().zero());
    for (uint32_t i = 0; i < table.copies().size(); ++i) {
      const CopyStatus status = table.copy(SlotId(i)).status;
      EXPECT_TRUE(status == CopyStatus::kFree || status == CopyStatus::kLive) << Name(status);
    }
    for (const auto& [request, abandonable] : asked_) {
      const auto it = node_.answers().find(request);
      const int answers = it == node_.answers().end() ? 0 : it->second;
      EXPECT_TRUE(answers == 1 || (answers == 0 && abandonable))
          << "request " << request << " was answered " << answers << " times";
    }
    for (const auto& [request, count] : node_.answers()) {
      EXPECT_TRUE(asked_.contains(request)) << "an answer to nobody: " << request;
    }
  }

  const std::string& story() const { return story_; }
  const Counters& counters() const { return node_.state().counters; }

 private:
  static constexpr Micros kPutDeadlineAndMore{70'000'000};

  static FakeNodeOptions Options(uint64_t seed) {
    FakeNodeOptions options{
        .pools = OddPools(), .policy = {}, .seed = seed, .faults = {}, .jitter = true};
    options.faults = {.corrupt = 0.02,
                      .source_error = 0.01,
                      .target_error = 0.01,
                      .still_held = 0.05,
                      .commit_failed = 0.02};
    options.policy.min_residency = Micros(5000);
    options.policy.recall_deadline = Micros(100'000);
    options.policy.thrash_window = Micros(300'000);
    return options;
  }

  RequestId Ask() {
    const RequestId request = node_.NextRequest();
    asked_[request] = false;
    return request;
  }

  // Sessions 1 and 2 share a domain and its model; every third one is of another.
  void Open(uint64_t s) {
    last_session_ = std::max(last_session_, s);
    const uint32_t domain = s % 3 == 0 ? 1 : 0;
    node_.Post(SessionOpened{SessionId(s), DomainId(domain)});
    node_.Post(ModelAttach{Ask(),
                           SessionId(s),
                           absl::StrCat("m", domain),
                           "f",
                           Bytes(2'500'000),
                           Bytes(1'500'000),
                           {}});
    node_.Step();
    open_.push_back(SessionId(s));
  }

  void Register() {
    for (uint32_t domain = 0; domain < 2; ++domain) {
      BlocksRegister event{Ask(), SessionId(domain == 0 ? 1 : 3), ModelId(domain), {}};
      for (int i = 0; i < 14; ++i) {
        BlockSpec spec;
        spec.name = absl::StrCat("b", domain, "_", i);
        spec.bytes = Bytes(100'000 + random_.Below(600'000));
        spec.layer = i / 4;
        spec.expert = i % 4;
        spec.role = i % 5 == 0 ? Role::kNorm : Role::kExpert;
        if (i % 7 != 6) {
          spec.recipe = {.kind = i % 2 ? RecipeKind::kFileRange : RecipeKind::kSynthetic,
                         .file = FileId(static_cast<uint32_t>(i)),
                         .offset = 0,
                         .seed = 1};
        }
        event.blocks.push_back(spec);
      }
      node_.Post(event);
    }
    node_.Step();
  }

  void OnCommand(const Command& command) {
    if (tell_) {
      absl::StrAppend(&story_, node_.now().time_since_epoch().count(), " ",
                      TextOf(command, node_.state()), "\n");
    }
    const auto* send = std::get_if<SendHint>(&command);
    if (send == nullptr) return;
    // Most clients give back what they are asked for, some time later; some don't.
    if (const auto* recall = std::get_if<RecallHint>(&send->hint)) {
      if (random_.Chance(0.8)) recalled_.push_back({send->session, recall->leases});
    } else if (const auto* revoked = std::get_if<RevokedHint>(&send->hint)) {
      recalled_.push_back({send->session, revoked->leases});
    }
  }

  SessionId AnySession() { return open_[random_.Below(open_.size())]; }
  BlockId AnyBlock() {
    return BlockId(static_cast<uint32_t>(random_.Below(node_.state().table.block_count())));
  }
  BlockId BlockOf(SessionId session) {
    return BlockId(static_cast<uint32_t>(random_.Below(14) + (session.value() % 3 == 0 ? 14 : 0)));
  }
  ModelId ModelOf(SessionId session) { return ModelId(session.value() % 3 == 0 ? 1 : 0); }

  void Act() {
    switch (random_.Below(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return Acquire();
      case 4:
      case 5:
      case 6:
        return Release();
      case 7:
      case 8:
        return AnswerRecall();
      case 9:
        return Route();
      case 10:
        return Report();
      case 11:
        return Move();
      case 12:
        return Put();
      case 13:
        return Pin();
      case 14:
        return Stream();
      default:
        return Session();
    }
  }

  void Acquire() {
    const SessionId session = AnySession();
    AcquireBatch event{.request = Ask(),
                       .session = session,
                       .client_request = random_.Below(1000),
                       .blocks = {},
                       .accepts = {.hbm_full = true, .host_full = random_.Chance(.3)},
                       .deadline = node_.now() + Micros(1000 + random_.Below(400'000)),
                       .mode = static_cast<LeaseMode>(random_.Below(3))};
    const uint64_t count = 1 + random_.Below(4);
    for (uint64_t i = 0; i < count; ++i) event.blocks.push_back(BlockOf(session));
    node_.Post(event);
  }

  void Release() {
    const SessionId session = AnySession();
    const std::vector<LeaseId> held = node_.LeasesOf(session);
    LeasesReleased event{random_.Chance(0.5) ? Ask() : RequestId(), session, {}};
    for (const LeaseId lease : held) {
      if (random_.Chance(0.6)) event.leases.push_back(lease);
    }
    node_.Post(event);
  }

  void AnswerRecall() {
    if (recalled_.empty()) return;
    const size_t i = random_.Below(recalled_.size());
    node_.Post(LeasesReleased{RequestId(), recalled_[i].first, recalled_[i].second});
    recalled_.erase(recalled_.begin() + static_cast<ptrdiff_t>(i));
  }

  void Route() {
    const SessionId session = AnySession();
    node_.Post(RoutingReported{.session = session,
                               .model = ModelOf(session),
                               .layer = static_cast<int32_t>(random_.Below(4)),
                               .phase = Phase::kDecode,
                               .requests = {random_.Below(3)},
                               .top_k = 2,
                               .experts = {static_cast<uint16_t>(random_.Below(2)),
                                           static_cast<uint16_t>(random_.Below(2))},
                               .gates = {}});
  }

  void Report() {
    const SessionId session = AnySession();
    if (random_.Chance(0.5)) {
      node_.Post(StepMarked{session, ModelOf(session), random_.Chance(0.7), {}});
    } else {
      node_.Post(AccessReported{session, ModelOf(session), Phase::kDecode, {BlockOf(session)}});
    }
  }

  void Move() {
    const ResidencyState to[] = {ResidencyState::kS0FullHbm, ResidencyState::kS3Dram,
                                 ResidencyState::kS4Nvme, ResidencyState::kS6Recomputable};
    node_.Post(OperatorMove{Ask(), AnyBlock(), to[random_.Below(4)],
                            node_.now() + Micros(random_.Below(200'000))});
  }

  void Put() {
    const SessionId session = AnySession();
    const BlockId block = BlockOf(session);
    const Recipe supply{.kind = RecipeKind::kFileRange, .file = FileId(99), .offset = 0, .seed = 0};
    node_.Post(BlockPut{Ask(), session, block, supply,
                        FakeNode::ContentOf(block) + (random_.Chance(0.1) ? 1 : 0),
                        random_.Chance(0.5)});
  }

  void Pin() { node_.Post(OperatorPin{Ask(), AnyBlock(), random_.Chance(0.4)}); }

  // A stream breaks, or a call is given up.
  void Stream() {
    node_.Step();
    const SessionId session = AnySession();
    if (random_.Chance(0.3)) {
      SessionResumed event{session, {}};
      for (const LeaseId lease : node_.LeasesOf(session)) {
        if (random_.Chance(0.5)) event.held.push_back(lease);
      }
      node_.Post(event);
    } else {
      // Any call may be the one: what is not answered by now needs no answer.
      for (auto& [request, abandonable] : asked_) abandonable |= !node_.answers().contains(request);
      node_.Post(AcquireAbandoned{session, random_.Below(1000)});
    }
    node_.Step();
  }

  void Session() {
    if (!random_.Chance(0.2)) return;
    node_.Step();
    if (random_.Chance(0.3)) {
      const SessionId session = AnySession();
      node_.Post(ModelDetach{Ask(), session, ModelOf(session)});
      node_.Post(ModelAttach{Ask(),
                             session,
                             absl::StrCat("m", ModelOf(session).value()),
                             "f",
                             Bytes(2'500'000),
                             Bytes(1'500'000),
                             {}});
      return node_.Step();
    }
    const size_t i = random_.Below(open_.size());
    const uint64_t next = open_[i].value() + 3;  // of the same domain
    node_.Post(SessionEnded{open_[i]});
    open_.erase(open_.begin() + static_cast<ptrdiff_t>(i));
    node_.Step();
    Open(next);
  }

  FakeRandom random_;
  FakeNode node_;
  bool tell_;
  std::string story_;
  uint64_t last_session_ = 0;
  std::vector<SessionId> open_;
  std::map<RequestId, bool> asked_;  // whether it may stay unanswered
  std::vector<std::pair<SessionId, std::vector<LeaseId>>> recalled_;
};

TEST(ControllerCampaign, KeepsItsPromisesWhateverFails) {
  Counters sum;
  for (uint64_t seed = FirstSeed(); seed < EndSeed(20) && !HasFailure(); ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Campaign campaign(seed);
    campaign.Run(400);
    campaign.Quiesce();
    campaign.CheckAtRest();
    sum.acquires += campaign.counters().acquires - campaign.counters().acquires_failed;
    sum.acquires_hit += campaign.counters().acquires_hit;
    sum.recalls += campaign.counters().recalls;
    sum.prefetches_used += campaign.counters().prefetches_used;
    sum.transitions_cancelled += campaign.counters().transitions_cancelled;
    sum.checksum_failures += campaign.counters().checksum_failures;
    sum.stages += campaign.counters().stages;
  }
  if (FirstSeed() != 1) return;
  // The campaigns go where it hurts.
  EXPECT_GT(sum.acquires, 0u);
  EXPECT_GT(sum.acquires_hit, 0u);
  EXPECT_GT(sum.recalls, 0u);
  EXPECT_GT(sum.prefetches_used, 0u);
  EXPECT_GT(sum.transitions_cancelled, 0u);
  EXPECT_GT(sum.checksum_failures, 0u);
  EXPECT_GT(sum.stages, 0u);
}

TEST(ControllerCampaign, TheSameSeedGivesTheSameCommands) {
  for (uint64_t seed = 100; seed < 104; ++seed) {
    // Both at once, so that no two objects share an address.
    Campaign first(seed, true);
    Campaign second(seed, true);
    first.Run(300);
    second.Run(300);
    EXPECT_EQ(first.story(), second.story()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace residency
