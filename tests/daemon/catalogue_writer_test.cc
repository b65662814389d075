#include "daemon/catalogue_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "tests/daemon/temp_dir.h"

namespace residency {
namespace {

using ::testing::ElementsAre;

constexpr Micros kLong{20'000'000};

CatalogueOperation Remove(uint32_t block) { return RemoveBlockRow{BlockId(block)}; }

// A store whose faults and pace the test decides. Shared with the test, which outlives the writer.
struct FakeDisk {
  std::mutex mutex;
  std::condition_variable changed;
  bool held = false;            // Apply waits while it is set
  int failures_left = 0;        // Apply fails so often; -1: always
  std::optional<uint32_t> bad;  // removing this block breaks a rule
  std::vector<size_t> groups;   // sizes of the groups committed
  int attempts = 0;
  bool interrupted = false;

  void Hold(bool now) {
    const std::lock_guard lock(mutex);
    held = now;
    changed.notify_all();
  }
  bool AwaitAttempts(int count) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, kLong, [&] { return attempts >= count; });
  }
};

class FakeStore final : public CatalogueStore {
 public:
  explicit FakeStore(FakeDisk& disk) : disk_(disk) {}
  absl::StatusOr<std::vector<absl::Status>> Apply(
      absl::Span<const CatalogueOperation> operations) override {
    std::unique_lock lock(disk_.mutex);
    ++disk_.attempts;
    disk_.changed.notify_all();
    disk_.changed.wait_for(lock, kLong, [&] { return !disk_.held || disk_.interrupted; });
    if (disk_.interrupted) return absl::UnavailableError("interrupted");
    if (disk_.failures_left != 0) {
      if (disk_.failures_left > 0) --disk_.failures_left;
      return absl::ResourceExhaustedError("disk full");
    }
    std::vector<absl::Status> results;
    for (const CatalogueOperation& operation : operations) {
      const bool bad =
          disk_.bad.has_value() && std::get<RemoveBlockRow>(operation).id == BlockId(*disk_.bad);
      results.push_back(bad ? absl::FailedPreconditionError("bad") : absl::OkStatus());
    }
    disk_.groups.push_back(operations.size());
    return results;
  }
  void Interrupt() override {
    const std::lock_guard lock(disk_.mutex);
    disk_.interrupted = true;
    disk_.changed.notify_all();
  }

 private:
  FakeDisk& disk_;
};

class CatalogueWriterTest : public testing::Test {
 protected:
  void Start(CatalogueWriterOptions options = {}) {
    options.backoff_min = Micros(100);
    options.backoff_max = Micros(1000);
    writer_.emplace(std::make_unique<FakeStore>(disk_), options, Callbacks());
  }
  CatalogueCallbacks Callbacks() {
    return {[this](std::vector<uint64_t> tokens) {
              const std::lock_guard lock(mutex_);
              for (const uint64_t token : tokens) outcomes_.push_back({token, true});
            },
            [this](std::vector<uint64_t> tokens, const absl::Status& why) {
              const std::lock_guard lock(mutex_);
              EXPECT_FALSE(why.ok());
              for (const uint64_t token : tokens) outcomes_.push_back({token, false});
            }};
  }
  std::vector<std::pair<uint64_t, bool>> Outcomes() {
    const std::lock_guard lock(mutex_);
    return outcomes_;
  }

  FakeDisk disk_;
  std::mutex mutex_;
  std::vector<std::pair<uint64_t, bool>> outcomes_;  // token, committed
  std::optional<CatalogueWriter> writer_;
};

TEST_F(CatalogueWriterTest, WhatWaitsIsCommittedTogetherAndInOrder) {
  Start();
  disk_.Hold(true);
  ASSERT_TRUE(writer_->Submit(Remove(0), 100).ok());
  ASSERT_TRUE(disk_.AwaitAttempts(1));
  for (uint32_t i = 1; i < 6; ++i) ASSERT_TRUE(writer_->Submit(Remove(i), 100 + i).ok());
  EXPECT_EQ(writer_->waiting(), 6u);
  disk_.Hold(false);
  ASSERT_TRUE(writer_->Flush(kLong).ok());
  EXPECT_THAT(disk_.groups, ElementsAre(1, 5));
  const auto outcomes = Outcomes();
  ASSERT_EQ(outcomes.size(), 6u);
  for (uint64_t i = 0; i < 6; ++i) EXPECT_EQ(outcomes[i], std::pair(100 + i, true));
  EXPECT_EQ(writer_->waiting(), 0u);
}

TEST_F(CatalogueWriterTest, FullQueueRefuses) {
  CatalogueWriterOptions options;
  options.queue_max = 2;
  Start(options);
  disk_.Hold(true);
  ASSERT_TRUE(writer_->Submit(Remove(0), 0).ok());
  ASSERT_TRUE(disk_.AwaitAttempts(1));
  ASSERT_TRUE(writer_->Submit(Remove(1), 1).ok());
  ASSERT_TRUE(writer_->Submit(Remove(2), 2).ok());
  EXPECT_EQ(writer_->Submit(Remove(3), 3).code(), absl::StatusCode::kResourceExhausted);
  disk_.Hold(false);
  ASSERT_TRUE(writer_->Flush(kLong).ok());
  EXPECT_EQ(Outcomes().size(), 3u);
}

TEST_F(CatalogueWriterTest, PassingFailuresAreRetriedUnseen) {
  disk_.failures_left = 3;
  Start();
  ASSERT_TRUE(writer_->Submit(Remove(0), 7).ok());
  ASSERT_TRUE(writer_->Flush(kLong).ok());
  EXPECT_THAT(Outcomes(), ElementsAre(std::pair(7, true)));
  EXPECT_EQ(disk_.attempts, 4);
}

TEST_F(CatalogueWriterTest, LastingFailureIsReportedAndLaterOnesAreTriedAnew) {
  disk_.failures_left = 8;
  Start();
  ASSERT_TRUE(writer_->Submit(Remove(0), 7).ok());
  ASSERT_TRUE(writer_->Flush(kLong).ok());
  EXPECT_THAT(Outcomes(), ElementsAre(std::pair(7, false)));
  ASSERT_TRUE(writer_->Submit(Remove(0), 8).ok());
  ASSERT_TRUE(writer_->Flush(kLong).ok());
  EXPECT_THAT(Outcomes(), ElementsAre(std::pair(7, false), std::pair(8, true)));
}

TEST_F(CatalogueWriterTest, OneThatBreaksARuleFailsAloneAndInItsPlace) {
  disk_.bad = 2;
  Start();
  disk_.Hold(true);
  for (uint32_t i = 0; i < 4; ++i) ASSERT_TRUE(writer_->Submit(Remove(i), i).ok());
  disk_.Hold(false);
  ASSERT_TRUE(writer_->Flush(kLong).ok());
  EXPECT_THAT(Outcomes(), ElementsAre(std::pair(0, true), std::pair(1, true), std::pair(2, false),
                                      std::pair(3, true)));
}

TEST_F(CatalogueWriterTest, FlushHasADeadline) {
  Start();
  disk_.Hold(true);
  ASSERT_TRUE(writer_->Submit(Remove(0), 0).ok());
  EXPECT_EQ(writer_->Flush(Micros(1000)).code(), absl::StatusCode::kDeadlineExceeded);
  disk_.Hold(false);
}

TEST_F(CatalogueWriterTest, DestructorDrains) {
  Start();
  for (uint32_t i = 0; i < 100; ++i) ASSERT_TRUE(writer_->Submit(Remove(i), i).ok());
  writer_.reset();
  EXPECT_EQ(Outcomes().size(), 100u);
  EXPECT_TRUE(Outcomes().back().second);
}

TEST_F(CatalogueWriterTest, DestructorGivesUpAtItsDeadline) {
  CatalogueWriterOptions options;
  options.drain_deadline = Micros(1000);
  options.attempts_max = 1'000'000;
  disk_.failures_left = -1;
  Start(options);
  ASSERT_TRUE(writer_->Submit(Remove(0), 7).ok());
  writer_.reset();
  EXPECT_THAT(Outcomes(), ElementsAre(std::pair(7, false)));
}

TEST_F(CatalogueWriterTest, StuckDiskIsInterruptedAtTheDeadline) {
  CatalogueWriterOptions options;
  options.drain_deadline = Micros(1000);
  Start(options);
  disk_.Hold(true);
  ASSERT_TRUE(writer_->Submit(Remove(0), 7).ok());
  ASSERT_TRUE(disk_.AwaitAttempts(1));
  ASSERT_TRUE(writer_->Submit(Remove(1), 8).ok());
  writer_.reset();
  EXPECT_THAT(Outcomes(), ElementsAre(std::pair(7, false), std::pair(8, false)));
}

TEST_F(CatalogueWriterTest, RealCatalogueHoldsWhatWasCommitted) {
  const TempDir dir;
  auto catalogue = Catalogue::Open(dir.File("c.db"));
  ASSERT_TRUE(catalogue.ok()) << catalogue.status();
  writer_.emplace(*std::move(catalogue), CatalogueWriterOptions(), Callbacks());
  ASSERT_TRUE(writer_->Submit(PutModelRow{{ModelId(1), DomainId(2), "m", "f"}}, 1).ok());
  ASSERT_TRUE(writer_->Flush(kLong).ok());
  EXPECT_THAT(Outcomes(), ElementsAre(std::pair(1, true)));
  writer_.reset();
  EXPECT_EQ((*Catalogue::Open(dir.File("c.db")))->Load()->models.size(), 1u);
}

}  // namespace
}  // namespace residency
