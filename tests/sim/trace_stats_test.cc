#include "sim/trace_stats.h"

#include "gmock/gmock.h"
#include "sim/rtrace.h"
#include "tests/sim/trace_test_util.h"

namespace residency {
namespace {

using testing::DoubleEq;
using testing::ElementsAre;

TEST(TraceStatsTest, TinyTraceByHand) {
  const TraceStats stats = MeasureTrace(TinyTrace());
  EXPECT_EQ(stats.requests, 1u);
  EXPECT_EQ(stats.tokens, 6u);
  // Layer 0: 0 1 2 0 1 2 never repeats. Layer 1: 0 0 1 0 2 0 repeats once in five.
  EXPECT_THAT(stats.overlap_by_layer, ElementsAre(DoubleEq(0), DoubleEq(0.2)));
  EXPECT_DOUBLE_EQ(stats.overlap, 0.1);
  EXPECT_THAT(stats.mean_gate_by_rank, ElementsAre(DoubleEq(1)));
  // Layer 0: 2 2 2 0 uses. Layer 1: 4 1 1 0.
  EXPECT_THAT(stats.top_share,
              ElementsAre(DoubleEq(0.5), DoubleEq((4.0 + 5) / 12), DoubleEq(1), DoubleEq(1)));
  EXPECT_EQ(stats.pairs_used, 6u);
  EXPECT_EQ(stats.least_used_count, 0u);
}

TEST(TraceStatsTest, OneTokenHasNoOverlap) {
  Trace trace = TinyTrace();
  trace.requests[0].tokens = 1;
  trace.requests[0].experts.resize(2);
  trace.requests[0].gates.resize(2);
  EXPECT_EQ(MeasureTrace(trace).overlap, 0);
}

TEST(TraceStatsTest, AnExpertWantedByTwoSeatsIsOneAccess) {
  Trace trace = TinyTrace();
  trace.requests.push_back(trace.requests[0]);
  trace.requests[1].id = 1;
  EXPECT_EQ(CountEvents(trace, 1).events, 24u);
  EXPECT_EQ(CountEvents(trace, 1).accesses, 24u);
  const EventCounts both = CountEvents(trace, 2);
  EXPECT_EQ(both.steps, 6u);
  EXPECT_EQ(both.events, 12u);
  EXPECT_EQ(both.accesses, 12u);
  EXPECT_DOUBLE_EQ(both.distinct_per_event(), 1.0);
}

TEST(TraceStatsTest, APromptIsOneStep) {
  Trace trace = TinyTrace();
  trace.requests[0].prompt_tokens = 3;  // layer 0 wants 0 1 2, layer 1 wants 0 1
  const EventCounts counts = CountEvents(trace, 1);
  EXPECT_EQ(counts.steps, 4u);
  EXPECT_EQ(counts.accesses, 3u + 2u + 6u);
}

TEST(TraceStatsTest, AFreeSeatIsFilledAtTheNextStep) {
  Trace trace = TinyTrace();
  for (uint32_t id = 1; id < 3; ++id) {
    trace.requests.push_back(trace.requests[0]);
    trace.requests[id].id = id;
  }
  trace.requests[0].tokens = 2;
  trace.requests[0].experts.resize(4);
  trace.requests[0].gates.resize(4);
  // Seats: requests 0 and 1; request 2 follows request 0 after two steps and ends last.
  EXPECT_EQ(CountEvents(trace, 2).steps, 8u);
}

// The published figures of the recorded trace.
TEST(TraceStatsTest, RecordedTraceHasItsPublishedStatistics) {
  const auto path = RecordedTracePath();
  if (!path) GTEST_SKIP() << "RESIDENCY_TRACES names no folder with gptoss20b-mmlu.rtr.zst";
  auto trace = ReadTrace(*path);
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ(trace->header.layers, 24u);
  EXPECT_EQ(trace->header.expert_bytes[23], 13'219'200u);
  const TraceStats stats = MeasureTrace(*trace);
  EXPECT_EQ(stats.requests, 240u);
  EXPECT_EQ(stats.tokens, 70'151u);
  EXPECT_EQ(stats.pairs_used, 768u);
  EXPECT_EQ(stats.least_used_count, 5u);
  EXPECT_NEAR(stats.overlap, 0.4354, 0.00005);
  const double kOverlap[] = {0.188, 0.277, 0.386, 0.433, 0.491, 0.417, 0.383, 0.341,
                             0.409, 0.491, 0.577, 0.576, 0.593, 0.593, 0.431, 0.384,
                             0.455, 0.468, 0.364, 0.412, 0.342, 0.450, 0.436, 0.551};
  for (int l = 0; l < 24; ++l) EXPECT_NEAR(stats.overlap_by_layer[l], kOverlap[l], 0.0005) << l;
  const double kGates[] = {0.3501, 0.2643, 0.2109, 0.1746};
  for (int k = 0; k < 4; ++k) EXPECT_NEAR(stats.mean_gate_by_rank[k], kGates[k], 0.00005) << k;
  EXPECT_NEAR(stats.top_share[3], 0.300, 0.0005);
  EXPECT_NEAR(stats.top_share[7], 0.518, 0.0005);
  EXPECT_NEAR(stats.top_share[15], 0.806, 0.0005);
  const EventCounts one = CountEvents(*trace, 1), eight = CountEvents(*trace, 8);
  EXPECT_EQ(one.events, 1'683'624u);
  EXPECT_EQ(one.accesses, 6'734'496u);
  EXPECT_EQ(eight.events, 216'096u);
  EXPECT_EQ(eight.accesses, 3'668'112u);
  EXPECT_NEAR(eight.distinct_per_event(), 16.974, 0.001);
}

}  // namespace
}  // namespace residency
