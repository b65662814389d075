#include "daemon/mailbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace residency {
namespace {

using ::testing::ElementsAre;

constexpr Micros kLong{20'000'000};

TEST(MailboxTest, EventsComeInTheOrderOfTheirPosting) {
  Mailbox<int> mailbox(8, 8);
  ASSERT_TRUE(mailbox.Promise());
  EXPECT_TRUE(mailbox.TryPost(1));
  mailbox.PostPromised(2);
  EXPECT_TRUE(mailbox.TryPost(3));
  std::vector<int> out = {0};
  EXPECT_EQ(mailbox.Drain(out, kLong), 3u);
  EXPECT_THAT(out, ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(mailbox.size(), 0u);
}

TEST(MailboxTest, FullOneRefusesAndCounts) {
  Mailbox<int> mailbox(2, 0);
  EXPECT_TRUE(mailbox.TryPost(1));
  EXPECT_TRUE(mailbox.TryPost(2));
  EXPECT_FALSE(mailbox.TryPost(3));
  EXPECT_EQ(mailbox.refused(), 1u);
  std::vector<int> out;
  mailbox.Drain(out, kLong);
  EXPECT_THAT(out, ElementsAre(1, 2));
  EXPECT_TRUE(mailbox.TryPost(4));
}

TEST(MailboxTest, PromisedEventsEnterAFullMailbox) {
  Mailbox<int> mailbox(1, 2);
  ASSERT_TRUE(mailbox.Promise());
  ASSERT_TRUE(mailbox.Promise());
  EXPECT_FALSE(mailbox.Promise());
  EXPECT_TRUE(mailbox.TryPost(1));
  EXPECT_FALSE(mailbox.TryPost(2));
  mailbox.PostPromised(3);
  mailbox.PostPromised(4);
  EXPECT_FALSE(mailbox.Promise());  // until they are drained
  std::vector<int> out;
  mailbox.Drain(out, kLong);
  EXPECT_THAT(out, ElementsAre(1, 3, 4));
  EXPECT_TRUE(mailbox.Promise());
  mailbox.Forgo();
  EXPECT_TRUE(mailbox.Promise());
}

TEST(MailboxDeathTest, UnpromisedEventIsOurBug) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  Mailbox<int> mailbox(1, 1);
  EXPECT_DEATH(mailbox.PostPromised(1), "nobody promised");
  EXPECT_DEATH(mailbox.Forgo(), "nobody made");
}

TEST(MailboxTest, WaitEndsAtItsDeadline) {
  Mailbox<int> mailbox(1, 0);
  std::vector<int> out;
  EXPECT_EQ(mailbox.Drain(out, Micros(1000)), 0u);
  EXPECT_EQ(mailbox.Drain(out, Micros(0)), 0u);
}

TEST(MailboxTest, WakeEndsTheWait) {
  Mailbox<int> mailbox(1, 0);
  std::vector<int> out;
  mailbox.Wake();  // before the wait: it is not lost
  EXPECT_EQ(mailbox.Drain(out, kLong), 0u);
  std::thread waker([&] { mailbox.Wake(); });
  EXPECT_EQ(mailbox.Drain(out, kLong), 0u);
  waker.join();
}

TEST(MailboxTest, ManyPostersLoseNothingAndKeepTheirOrder) {
  constexpr int kPosters = 4;
  constexpr int kEach = 20'000;
  Mailbox<std::pair<int, int>> mailbox(64, 64);
  std::atomic<uint64_t> refused{0};
  std::vector<std::thread> posters;
  for (int poster = 0; poster < kPosters; ++poster) {
    posters.emplace_back([&, poster] {
      for (int i = 0; i < kEach; ++i) {
        // Every other one must not be lost.
        if (i % 2 == 0 && mailbox.Promise()) {
          mailbox.PostPromised({poster, i});
        } else {
          while (!mailbox.TryPost({poster, i})) {
            ++refused;
            std::this_thread::yield();
          }
        }
      }
    });
  }
  std::vector<int> next(kPosters, 0);
  int received = 0;
  std::vector<std::pair<int, int>> out;
  while (received < kPosters * kEach) {
    out.clear();
    ASSERT_LE(mailbox.size(), 128u);
    const size_t count = mailbox.Drain(out, kLong);
    ASSERT_GT(count, 0u) << "nothing arrived in time";
    for (const auto& [poster, i] : out) ASSERT_EQ(i, next[poster]++);
    received += static_cast<int>(count);
  }
  for (std::thread& poster : posters) poster.join();
  EXPECT_EQ(mailbox.refused(), refused.load());
}

}  // namespace
}  // namespace residency
