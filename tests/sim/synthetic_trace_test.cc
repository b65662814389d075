#include "sim/synthetic_trace.h"

#include <cmath>
#include <functional>
#include <set>

#include "gmock/gmock.h"
#include "sim/rtrace.h"
#include "sim/trace_stats.h"

namespace residency {
namespace {

using testing::HasSubstr;

TEST(SyntheticTraceTest, HasTheLocalityOfTheRecordedTrace) {
  SyntheticTraceOptions options;
  options.requests = 48;
  options.tokens = 24'000;
  auto trace = MakeSyntheticTrace(options);
  ASSERT_TRUE(trace.ok()) << trace.status();
  const TraceStats stats = MeasureTrace(*trace);
  EXPECT_EQ(stats.tokens, 24'000u);
  EXPECT_EQ(stats.requests, 48u);
  EXPECT_EQ(stats.pairs_used, 768u);
  EXPECT_NEAR(stats.overlap, 0.4354, 0.005);
  for (size_t l = 0; l < 24; ++l) {
    EXPECT_NEAR(stats.overlap_by_layer[l], options.overlap_by_layer[l], 0.015) << "layer " << l;
  }
  for (size_t k = 0; k < 4; ++k) {
    EXPECT_NEAR(stats.mean_gate_by_rank[k], options.mean_gate_by_rank[k], 0.001) << "rank " << k;
  }
  EXPECT_NEAR(stats.top_share[3], 0.300, 0.005);
  EXPECT_NEAR(stats.top_share[7], 0.518, 0.005);
  EXPECT_NEAR(stats.top_share[15], 0.806, 0.005);
  EXPECT_EQ(CountEvents(*trace, 1).distinct_per_event(), 4.0);
}

TEST(SyntheticTraceTest, ABatchWantsAboutAsManyExpertsAsInTheRecordedTrace) {
  SyntheticTraceOptions options;
  options.requests = 240;
  options.tokens = 24'000;
  const Trace trace = *MakeSyntheticTrace(options);
  // The recording has 16.97. Eight independent tokens of this popularity want 18.16; the last
  // steps, with seats left empty, lower the mean.
  EXPECT_NEAR(CountEvents(trace, 8).distinct_per_event(), 17.86, 0.3);
}

TEST(SyntheticTraceTest, TheSameSeedGivesTheSameTrace) {
  SyntheticTraceOptions options;
  options.tokens = 200;
  const std::string first = *EncodeTrace(*MakeSyntheticTrace(options));
  EXPECT_EQ(first, *EncodeTrace(*MakeSyntheticTrace(options)));
  options.seed = 2;
  EXPECT_NE(first, *EncodeTrace(*MakeSyntheticTrace(options)));
}

TEST(SyntheticTraceTest, RequestsDifferInLength) {
  SyntheticTraceOptions options;
  auto trace = MakeSyntheticTrace(options);
  std::set<uint32_t> lengths;
  for (const TraceRequest& request : trace->requests) lengths.insert(request.tokens);
  EXPECT_GT(lengths.size(), 8u);
  EXPECT_EQ(trace->tokens(), options.tokens);
}

// EncodeTrace checks every rule of the format.
TEST(SyntheticTraceTest, EveryShapeObeysTheRulesOfTheFormat) {
  struct Shape {
    uint32_t layers, experts, top_k, requests;
    uint64_t tokens;
  };
  const Shape kShapes[] = {{1, 1, 1, 1, 1},   {3, 8, 2, 5, 5},     {2, 7, 3, 2, 50},
                           {1, 300, 8, 1, 9}, {30, 64, 64, 1, 20}, {2, 128, 100, 3, 40},
                           {2, 5, 4, 1, 100}, {5, 32, 1, 4, 100}};
  for (const Shape& shape : kShapes) {
    SyntheticTraceOptions options;
    options.layers = shape.layers;
    options.experts = shape.experts;
    options.top_k = shape.top_k;
    options.requests = shape.requests;
    options.tokens = shape.tokens;
    auto trace = MakeSyntheticTrace(options);
    ASSERT_TRUE(trace.ok()) << trace.status();
    EXPECT_EQ(trace->tokens(), shape.tokens);
    auto encoded = EncodeTrace(*trace);
    EXPECT_TRUE(encoded.ok()) << encoded.status() << " experts " << shape.experts;
  }
}

TEST(SyntheticTraceTest, OptionsThatCannotBeMetAreNamed) {
  const auto error = [](const std::function<void(SyntheticTraceOptions&)>& edit) {
    SyntheticTraceOptions options;
    edit(options);
    auto trace = MakeSyntheticTrace(options);
    return trace.ok() ? "OK" : std::string(trace.status().message());
  };
  using Options = SyntheticTraceOptions;
  EXPECT_THAT(error([](Options& o) { o.layers = 0; }), HasSubstr("layers must be 1"));
  EXPECT_THAT(error([](Options& o) { o.top_k = 33; }), HasSubstr("top_k 33"));
  EXPECT_THAT(error([](Options& o) { o.top_k = 0; }), HasSubstr("top_k"));
  EXPECT_THAT(error([](Options& o) { o.requests = 0; }), HasSubstr("every request needs a token"));
  EXPECT_THAT(error([](Options& o) { o.tokens = 15; }), HasSubstr("every request needs a token"));
  EXPECT_THAT(error([](Options& o) { o.tokens = uint64_t{1} << 40; }), HasSubstr("choices in all"));
  EXPECT_THAT(error([](Options& o) { o.overlap_by_layer = {}; }), HasSubstr("overlap_by_layer"));
  EXPECT_THAT(error([](Options& o) { o.overlap_by_layer = {1.5}; }), HasSubstr("overlap must be"));
  EXPECT_THAT(error([](Options& o) { o.overlap_by_layer = {NAN}; }), HasSubstr("overlap must be"));
  EXPECT_THAT(error([](Options& o) {
                o.popularity = {{0.5, 0.8}, {0.4, 0.9}};
              }),
              HasSubstr("popularity must rise"));
  EXPECT_THAT(error([](Options& o) {
                o.mean_gate_by_rank = {0.1, 0.2, 0.3, 0.4};
              }),
              HasSubstr("mean_gate_by_rank"));
  EXPECT_THAT(error([](Options& o) {
                o.mean_gate_by_rank = {0.9, 0.9, 0.1, 0.1};
              }),
              HasSubstr("mean_gate_by_rank"));
}

}  // namespace
}  // namespace residency
