#include "absl/strings/str_cat.h"
#include "client/ctl/render.h"
#include "gmock/gmock.h"

namespace residency::ctl {
namespace {

using testing::HasSubstr;
using testing::Not;

void AddVeto(v1::Counters& counters, const char* reason, uint64_t count) {
  v1::VetoCount& veto = *counters.add_vetoes();
  veto.set_reason(reason);
  veto.set_from(v1::RESIDENCY_STATE_S0_FULL_HBM);
  veto.set_to(v1::RESIDENCY_STATE_S3_DRAM);
  veto.set_count(count);
}

void AddState(google::protobuf::RepeatedPtrField<v1::StateCount>& states, v1::ResidencyState name,
              uint64_t blocks, uint64_t bytes) {
  v1::StateCount& state = *states.Add();
  state.set_state(name);
  state.set_blocks(blocks);
  state.set_bytes(bytes);
}

void FillCounters(v1::Counters& counters) {
  counters.set_acquires(1000);
  counters.set_acquires_hit(800);
  counters.set_stall_us(12345);
  counters.set_promotions(30);
  counters.set_demotions(20);
  counters.set_prefetches_begun(10);
  counters.set_prefetches_used(8);
  counters.set_prefetches_wasted(1);
  AddState(*counters.mutable_served_from(), v1::RESIDENCY_STATE_S0_FULL_HBM, 800, 0);
  AddState(*counters.mutable_served_from(), v1::RESIDENCY_STATE_S3_DRAM, 200, 0);
  AddVeto(counters, "thrash", 3);
  AddVeto(counters, "leased", 12);
}

v1::GetStatusResponse SampleStatus() {
  v1::GetStatusResponse status;
  status.set_version("0.1.0");
  status.set_daemon_instance("\x3f\x2a\x01\x02\x03\x04\x05\x06");
  status.set_uptime_us(7380000000);
  status.add_problems("session 7 leaves a recall unanswered");
  status.add_notes("nvme0 uses pread: io_uring is refused here");
  status.set_policy("ladder");
  status.set_models(1);
  status.set_blocks(1024);
  status.set_ticks(8123);
  status.set_last_tick_us(180);
  status.set_last_tick_age_us(12000);
  v1::Pool& pool = *status.add_pools();
  pool.set_name("dram");
  pool.set_tier(v1::TIER_DRAM);
  pool.set_backend("memfd");
  pool.set_capacity_bytes(1 << 20);
  pool.set_used_bytes(1 << 20);
  pool.set_pressure_ratio(1);
  AddState(*status.mutable_states(), v1::RESIDENCY_STATE_S0_FULL_HBM, 256, 1 << 20);
  AddState(*status.mutable_states(), v1::RESIDENCY_STATE_S3_DRAM, 768, 3 << 20);
  v1::LinkStatus& link = *status.add_links();
  link.set_name("dram->hbm");
  link.set_bytes_per_second(3 << 20);
  link.set_latency_us(40);
  link.set_demand_bytes(5 << 20);
  FillCounters(*status.mutable_counters());
  return status;
}

TEST(RenderStatusTest, FitsEverythingOnOneScreen) {
  EXPECT_EQ(RenderStatus(SampleStatus(), v1::ListSessionsResponse(), View{}),
            R"(residencyd 0.1.0  instance 3f2a01020304  up 2h 03m  policy ladder
unhealthy
  problem: session 7 leaves a recall unanswered
  note: nvme0 uses pread: io_uring is refused here
models 1  blocks 1,024  sessions 0  leases 0  waiting batches 0  live transitions 0
ticks 8,123  last took 180 us, 12.0 ms ago

pools
  NAME  TIER  USED+RESERVED         PRESSURE      USED  RESERVED  LEASED  CAPACITY   FRAG  ENCODING  BACKEND
  dram  DRAM  ####################   100.0 %  1.00 MiB       0 B     0 B  1.00 MiB  0.0 %  -         memfd

states
  STATE  MEANING                BLOCKS      SIZE  SHARE OF BYTES
  S0     full precision in HBM     256  1.00 MiB  #####...............
  S3     staged in host DRAM       768  3.00 MiB  ###############.....

links
  NAME             RATE  LATENCY  QUEUED    DEMAND  PREFETCH  REBALANCE
  dram->hbm  3.00 MiB/s    40 us     0 B  5.00 MiB       0 B        0 B

counters since start
  acquires     1,000  hit 800 (80.0 %)  failed 0  stall 12.3 ms
  served from  S0 800  S3 200
  moves        promotions 30  demotions 20  stages 0  cancelled 0  recalls 0
  prefetches   begun 10  used 8  wasted 1
  events       accepted 0  dropped 0
  integrity    checksum failures 0  lost blocks 0  protection lost 0
  vetoes       leased S0 -> S3 12  thrash S0 -> S3 3

sessions
  none
)");
}

TEST(RenderStatusTest, ShowsTheMostFrequentVetoesAndCountsTheRest) {
  v1::GetStatusResponse status = SampleStatus();
  for (int i = 0; i < 5; ++i) AddVeto(*status.mutable_counters(), "quota", 100 + i);
  const std::string text = RenderStatus(status, v1::ListSessionsResponse(), View{});
  EXPECT_THAT(text, HasSubstr("quota S0 -> S3 104"));
  EXPECT_THAT(text, HasSubstr("and 2 more kinds (-o wide)"));
  EXPECT_THAT(text, Not(HasSubstr("thrash")));
  View wide;
  wide.wide = true;
  EXPECT_THAT(RenderStatus(status, v1::ListSessionsResponse(), wide), HasSubstr("thrash"));
}

TEST(RenderStatusTest, ManySessionsAreCountedNotListed) {
  v1::ListSessionsResponse sessions;
  for (int i = 0; i < 8; ++i) sessions.add_sessions()->set_process(absl::StrCat("engine", i));
  const std::string text = RenderStatus(SampleStatus(), sessions, View{});
  EXPECT_THAT(text, HasSubstr("engine4"));
  EXPECT_THAT(text, Not(HasSubstr("engine5")));
  EXPECT_THAT(text, HasSubstr("and 3 more: residencyctl sessions"));
}

TEST(RenderHealthTest, ColoursTheVerdict) {
  View view;
  view.style = Style(true);
  v1::GetStatusResponse status;
  status.set_healthy(true);
  EXPECT_EQ(RenderHealth(status, view), "\x1b[32mhealthy\x1b[0m\n");
}

TEST(RenderHealthTest, ProblemsAreSentencesOfTheirOwn) {
  v1::GetStatusResponse status;
  status.add_problems("one");
  status.add_problems("two");
  status.set_draining(true);
  EXPECT_EQ(RenderHealth(status, View{}),
            "unhealthy, draining: refuses new work\n  problem: one\n  problem: two\n");
}

}  // namespace
}  // namespace residency::ctl
