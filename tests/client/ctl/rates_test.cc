#include "client/ctl/rates.h"

#include "gmock/gmock.h"

namespace residency::ctl {
namespace {

using testing::ElementsAre;
using testing::Field;

Sample At(uint64_t uptime_us, uint64_t acquires, uint64_t moved) {
  Sample sample;
  sample.status.set_daemon_instance("one");
  sample.status.set_uptime_us(uptime_us);
  sample.status.mutable_counters()->set_acquires(acquires);
  sample.status.mutable_counters()->set_acquires_hit(acquires / 4);
  v1::LinkStatus& link = *sample.status.add_links();
  link.set_name("dram_hbm");
  v1::LinkClassStatus& demand = *link.add_classes();
  demand.set_name("demand");
  demand.set_moved_bytes(moved);
  demand.set_busy_us(moved / 2);
  demand.set_queued_bytes(7);
  return sample;
}

TEST(RatesTest, AreOfTheDaemonsClockBetweenTwoLooks) {
  const Sample before = At(1'000'000, 100, 0);
  const Sample now = At(3'000'000, 500, 1'000'000);
  const Interval interval(&before, now);
  EXPECT_FALSE(interval.since_start());
  EXPECT_DOUBLE_EQ(interval.seconds(), 2);
  EXPECT_DOUBLE_EQ(interval.Rate(&v1::Counters::acquires), 200);
  EXPECT_DOUBLE_EQ(*interval.HitShare(), 0.25);
  const std::vector<LinkRate> links = LinkRates(interval);
  ASSERT_EQ(links.size(), 1u);
  EXPECT_DOUBLE_EQ(links[0].BytesPerSecond(), 500'000);
  EXPECT_DOUBLE_EQ(links[0].classes[0].busy_ratio, 0.25);
  EXPECT_EQ(links[0].QueuedBytes(), 7u);
}

TEST(RatesTest, AreMeansSinceTheStartInTheFirstLookAndAfterARestart) {
  const Sample now = At(2'000'000, 100, 0);
  EXPECT_DOUBLE_EQ(Interval(nullptr, now).Rate(&v1::Counters::acquires), 50);
  Sample other = At(1'000'000, 400, 0);
  other.status.set_daemon_instance("another");
  const Interval restarted(&other, now);
  EXPECT_TRUE(restarted.since_start());
  EXPECT_DOUBLE_EQ(restarted.Rate(&v1::Counters::acquires), 50);
  EXPECT_FALSE(Interval(nullptr, At(1, 0, 0)).HitShare().has_value());
}

TEST(RatesTest, VetoesAreSummedByReasonAndTheMostFrequentIsFirst) {
  Sample before = At(0, 0, 0);
  Sample now = At(1'000'000, 0, 0);
  const auto add = [](Sample& sample, const char* reason, uint64_t count) {
    v1::VetoCount& veto = *sample.status.mutable_counters()->add_vetoes();
    veto.set_reason(reason);
    veto.set_count(count);
  };
  add(before, "no_room", 10);
  add(before, "leased", 5);
  add(now, "no_room", 11);
  add(now, "thrash", 2);
  add(now, "thrash", 2);
  add(now, "leased", 5);
  EXPECT_THAT(VetoRates(Interval(&before, now)),
              ElementsAre(Field(&VetoRate::reason, "thrash"), Field(&VetoRate::reason, "no_room")));
}

TEST(RatesTest, ASessionThatIsNewCountsFromItsOpening) {
  Sample before = At(0, 0, 0);
  Sample now = At(1'000'000, 0, 0);
  v1::SessionInfo& session = *now.sessions.add_sessions();
  session.set_session_id(3);
  session.set_acquires(8);
  session.set_acquires_waited(6);
  session.set_stall_us(5000);
  const std::vector<SessionRate> rates = SessionRates(Interval(&before, now));
  ASSERT_EQ(rates.size(), 1u);
  EXPECT_DOUBLE_EQ(rates[0].acquires, 8);
  EXPECT_DOUBLE_EQ(rates[0].waited, 6);
  EXPECT_DOUBLE_EQ(rates[0].stall_us, 5000);
}

}  // namespace
}  // namespace residency::ctl
