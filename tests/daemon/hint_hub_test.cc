#include "daemon/hint_hub.h"

#include <gtest/gtest.h>

#include "daemon/hint_hub_merge.h"

namespace residency {
namespace {

const SessionId kSession(7);

Hint Arriving(uint32_t block) { return ArrivingHint{BlockId(block), Micros(5)}; }
Hint Recall(uint64_t lease) { return RecallHint{{LeaseId(lease)}}; }

TEST(HintHub, KeepsHintsInOrderUntilPulled) {
  HintHub hub(8);
  hub.Open(kSession);
  for (uint32_t i = 0; i < 3; ++i) hub.Deliver(kSession, Arriving(i));
  const auto first = hub.Pull(kSession, 2);
  ASSERT_EQ(first.hints.size(), 2u);
  EXPECT_EQ(std::get<ArrivingHint>(first.hints[0]).block, BlockId(0));
  EXPECT_EQ(std::get<ArrivingHint>(first.hints[1]).block, BlockId(1));
  EXPECT_EQ(hub.Pull(kSession, 8).hints.size(), 1u);
}

TEST(HintHub, DropsAndCountsWhatHasNoRoom) {
  HintHub hub(2);
  hub.Open(kSession);
  for (uint32_t i = 0; i < 5; ++i) hub.Deliver(kSession, Arriving(i));
  const auto pulled = hub.Pull(kSession, 8);
  EXPECT_EQ(pulled.hints.size(), 2u);
  EXPECT_EQ(pulled.dropped, 3u);
  EXPECT_EQ(hub.Pull(kSession, 8).dropped, 0u);
}

TEST(HintHub, RecallsAreNeverDroppedAndShareAMessage) {
  HintHub hub(1);
  hub.Open(kSession);
  hub.Deliver(kSession, Arriving(0));
  for (uint64_t i = 0; i < 100; ++i) {
    hub.Deliver(kSession, Recall(i));
    hub.Deliver(kSession, Arriving(1));
  }
  hub.Deliver(kSession, RevokedHint{{LeaseId(1)}, "bad"});
  const auto pulled = hub.Pull(kSession, 8);
  ASSERT_EQ(pulled.hints.size(), 3u);
  EXPECT_EQ(std::get<RecallHint>(pulled.hints[1]).leases.size(), 100u);
  EXPECT_EQ(std::get<RevokedHint>(pulled.hints[2]).reason, "bad");
  EXPECT_EQ(pulled.dropped, 100u);
}

TEST(HintHub, ASinkGetsWhatWasQueuedAndThenWhatComes) {
  HintHub hub(8);
  hub.Open(kSession);
  hub.Deliver(kSession, Arriving(0));
  std::vector<uint32_t> got;
  hub.SetSink(kSession,
              [&](const Hint& hint) { got.push_back(std::get<ArrivingHint>(hint).block.value()); });
  hub.Deliver(kSession, Arriving(1));
  EXPECT_EQ(got, (std::vector<uint32_t>{0, 1}));
  hub.SetSink(kSession, nullptr);
  hub.Deliver(kSession, Arriving(2));
  EXPECT_EQ(got.size(), 2u);
  EXPECT_EQ(hub.Pull(kSession, 8).hints.size(), 1u);
}

TEST(HintHub, ASinkMayTakeItselfAway) {
  HintHub hub(8);
  hub.Open(kSession);
  int calls = 0;
  hub.SetSink(kSession, [&](const Hint&) {
    ++calls;
    hub.SetSink(kSession, nullptr);
  });
  hub.Deliver(kSession, Arriving(0));
  hub.Deliver(kSession, Arriving(1));
  EXPECT_EQ(calls, 1);
}

TEST(HintHub, ReadyRunsOnceWithAHintOrAtTheEnd) {
  HintHub hub(8);
  hub.Open(kSession);
  int replaced = 0;
  int ready = 0;
  hub.WhenReady(kSession, [&] { ++replaced; });
  hub.WhenReady(kSession, [&] { ++ready; });
  EXPECT_EQ(ready, 0);
  hub.Deliver(kSession, Arriving(0));
  hub.Deliver(kSession, Arriving(1));
  EXPECT_EQ(ready, 1);
  hub.WhenReady(kSession, [&] { ++ready; });
  EXPECT_EQ(ready, 2) << "there is a hint already";
  hub.Pull(kSession, 8);
  hub.WhenReady(kSession, [&] { ++ready; });
  hub.Close(kSession);
  EXPECT_EQ(ready, 3);
  EXPECT_EQ(replaced, 0);
}

TEST(HintHub, AClosedSessionKeepsNothing) {
  HintHub hub(8);
  hub.Deliver(kSession, Arriving(0));
  hub.Open(kSession);
  EXPECT_TRUE(hub.Pull(kSession, 8).hints.empty());
  hub.Close(kSession);
  hub.Deliver(kSession, Arriving(0));
  int ready = 0;
  hub.WhenReady(kSession, [&] { ++ready; });
  EXPECT_EQ(ready, 1);
}

TEST(HintMerge, StopsAtTheBoundOfAMessage) {
  Hint waiting = RecallHint{std::vector<LeaseId>(kHintLeasesMax, LeaseId(1))};
  EXPECT_FALSE(Merge(waiting, Recall(2)));
  Hint revoked = RevokedHint{{LeaseId(1)}, "a"};
  EXPECT_FALSE(Merge(revoked, RevokedHint{{LeaseId(2)}, "b"}));
  EXPECT_TRUE(Merge(revoked, RevokedHint{{LeaseId(2)}, "a"}));
}

}  // namespace
}  // namespace residency
