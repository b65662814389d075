#include <algorithm>

#include "absl/strings/str_cat.h"
#include "client/ctl/columns.h"
#include "client/ctl/render_live.h"
#include "gmock/gmock.h"

namespace residency::ctl {
namespace {

using testing::Each;
using testing::HasSubstr;
using testing::Le;
using testing::Not;
using testing::SizeIs;

// A node in trouble: more of everything than a small screen holds.
Sample Troubled() {
  Sample sample;
  v1::GetStatusResponse& status = sample.status;
  status.set_version("1.2.3");
  status.set_uptime_us(10'000'000);
  status.add_problems("the disk is full");
  status.add_problems("a session does not answer");
  status.add_problems("a third");
  status.mutable_counters()->set_stall_us(5'000'000);
  status.mutable_counters()->set_acquires(1000);
  status.mutable_counters()->set_checksum_failures(1);
  for (int i = 0; i < 8; ++i) {
    v1::Pool& pool = *status.add_pools();
    pool.set_name(absl::StrCat("hbm", i));
    pool.set_capacity_bytes(100);
    pool.set_used_bytes(90);
    pool.set_pressure_ratio(0.1 * i);
    v1::LinkStatus& link = *status.add_links();
    link.set_name(absl::StrCat("dram_hbm", i));
    v1::LinkClassStatus& cls = *link.add_classes();
    cls.set_name("demand");
    cls.set_moved_bytes(uint64_t{10'000'000} * i);
  }
  for (int i = 0; i < 40; ++i) {
    v1::BlockMisses& block = *sample.misses.add_blocks();
    block.set_block_id(static_cast<uint32_t>(i));
    block.set_name(absl::StrCat("block", i, ".with.a.name.that.is.longer.than.any.column.of.80"));
    block.set_bytes(static_cast<uint64_t>(i));
    block.set_misses_per_second(40 - i);
    block.set_stall_us_per_second(1000 * (40 - i));
    v1::SessionInfo& session = *sample.sessions.add_sessions();
    session.set_session_id(static_cast<uint64_t>(i));
    session.set_process("engine");
    session.set_stall_us(static_cast<uint64_t>(i));
    session.set_healthy(true);
  }
  return sample;
}

std::vector<std::string> Screen(size_t columns, size_t rows, bool colour = false) {
  const Sample sample = Troubled();
  TopView top;
  top.view.width = columns;
  top.view.style = Style(colour);
  top.rows = rows;
  top.keys = true;
  return SplitLines(RenderTop(Interval(nullptr, sample), top));
}

TEST(RenderTopTest, FitsTheTerminalWhateverThereIsToShow) {
  for (const size_t columns : {80, 100, 119, 120, 140, 200}) {
    for (const size_t rows : {24, 25, 30, 40, 60}) {
      SCOPED_TRACE(absl::StrCat(columns, "x", rows));
      for (const bool colour : {false, true}) {
        const std::vector<std::string> lines = Screen(columns, rows, colour);
        EXPECT_THAT(lines, SizeIs(Le(rows - 1)));
        std::vector<size_t> widths;
        for (const std::string& line : lines) widths.push_back(VisibleWidth(line));
        EXPECT_THAT(widths, Each(Le(columns)));
        EXPECT_THAT(lines.back(), HasSubstr("q quit"));
      }
    }
  }
}

std::string Joined(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& line : lines) absl::StrAppend(&out, line, "\n");
  return out;
}

TEST(RenderTopTest, WhatHurtsMostIsOnTheSmallestScreen) {
  const std::string text = Joined(Screen(80, 24));
  EXPECT_THAT(text, HasSubstr("UNHEALTHY"));
  EXPECT_THAT(text, HasSubstr("problem: the disk is full"));
  EXPECT_THAT(text, HasSubstr("1 more problems: residencyctl health"));
  EXPECT_THAT(text, HasSubstr("stall 0.500 s/s  acquires 100/s"));
  EXPECT_THAT(text, HasSubstr("checksum failures 1"));
  EXPECT_THAT(text, HasSubstr("hbm7"));  // The fullest pools.
  EXPECT_THAT(text, Not(HasSubstr("hbm0 ")));
  EXPECT_THAT(text, HasSubstr("dram_hbm7"));  // The busiest links.
  EXPECT_THAT(text, Not(HasSubstr("dram_hbm1 ")));
  EXPECT_THAT(text, HasSubstr("39 engine"));  // The session that stalls most.
}

TEST(RenderTopTest, TheListsFollowTheOrder) {
  const Sample sample = Troubled();
  const auto first = [&](TopSort sort) {
    TopView top;
    top.rows = 60;
    top.sort = sort;
    const std::string text = RenderTop(Interval(nullptr, sample), top);
    const size_t at = text.find('\n', text.find("BLOCK WAITED FOR")) + 1;
    return text.substr(at, text.find('\n', at) - at);
  };
  EXPECT_THAT(first(TopSort::kStall), HasSubstr(" block0."));
  EXPECT_THAT(first(TopSort::kBytes), HasSubstr(" block39."));
  EXPECT_THAT(first(TopSort::kName), HasSubstr(" block0."));
}

TEST(RenderTopTest, ANodeAtRestSaysSo) {
  Sample sample;
  sample.status.set_healthy(true);
  const std::string text = RenderTop(Interval(nullptr, sample), TopView());
  for (const char* part : {"healthy", "hit -", "vetoes/s  none", "all idle",
                           "no block is waited for", "no session is open"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

TEST(RenderIostatTest, HasALineForEachClassAndLeavesOutWhatIsIdle) {
  const Sample sample = Troubled();
  const Interval interval(nullptr, sample);
  const std::string all = RenderIostat(interval, true, View());
  EXPECT_THAT(all, HasSubstr("since the daemon's start, 10.0 s\n"));
  EXPECT_THAT(all, HasSubstr("dram_hbm0  demand     0"));
  EXPECT_THAT(all, HasSubstr("dram_hbm7  demand   7.0"));
  const std::string active = RenderIostat(interval, false, View());
  EXPECT_THAT(active, Not(HasSubstr("dram_hbm0 ")));
  EXPECT_THAT(RenderIostat(Interval(nullptr, Sample()), false, View()),
              HasSubstr("nothing moved and nothing waits"));
}

}  // namespace
}  // namespace residency::ctl
