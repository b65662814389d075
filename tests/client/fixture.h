// A fake daemon, a client of it, and a model of synthetic blocks b0, b1, ....
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "residency/client.h"
#include "tests/client/fake_daemon.h"

namespace residency::client_test {

constexpr uint64_t kBlockBytes = 5000;

class ClientFixture : public ::testing::Test {
 protected:
  ClientFixture() {
    // Short, for a socket's path holds 107 bytes.
    std::string pattern = ::testing::TempDir() + "/rc-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
  }
  ~ClientFixture() override {
    client_.reset();
    daemon_.reset();
    std::filesystem::remove_all(directory_);
  }

  void StartDaemon(FakeOptions options = {}) {
    daemon_ = std::make_unique<FakeDaemon>(directory_, std::move(options));
  }
  // As if it had crashed and come back with another memory.
  void RestartDaemon() {
    daemon_.reset();
    StartDaemon({.instance = "instance-0000002", .first_block_id = 500});
  }

  ClientOptions Options() const {
    ClientOptions options;
    options.runtime_dir = directory_;
    options.retry_first = absl::Milliseconds(5);
    options.retry_last = absl::Milliseconds(50);
    return options;
  }

  void Connect() { Connect(Options()); }
  void Connect(ClientOptions options) {
    if (daemon_ == nullptr) StartDaemon();
    auto client = Client::Connect(options);
    ASSERT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
  }

  static std::vector<BlockSpec> Blocks(int count, uint64_t bytes = kBlockBytes) {
    std::vector<BlockSpec> blocks(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) {
      blocks[static_cast<size_t>(i)].name = "b" + std::to_string(i);
      blocks[static_cast<size_t>(i)].bytes = bytes;
      blocks[static_cast<size_t>(i)].layer = 0;
      blocks[static_cast<size_t>(i)].expert = i;
      blocks[static_cast<size_t>(i)].recipe = Synthetic{static_cast<uint64_t>(i)};
      blocks[static_cast<size_t>(i)].layout = "row";
    }
    return blocks;
  }

  void ConnectWithModel(int blocks, ModelLimits limits = {}) {
    Connect();
    Attach(blocks, limits);
  }
  void Attach(int blocks, ModelLimits limits = {}) {
    auto model = client_->AttachBlocks({"toy", "fp-toy", limits}, Blocks(blocks));
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *model;
    for (const Block& block : model_.blocks()) ids_.push_back(block.id);
  }

  AcquireResult Acquire(std::vector<int> which, AcquireOptions options = {}) {
    std::vector<BlockId> blocks;
    for (int i : which) blocks.push_back(ids_[static_cast<size_t>(i)]);
    return client_->Acquire(blocks, options);
  }
  Lease AcquireOne(int which, AcquireOptions options = {}) {
    AcquireResult leases = Acquire({which}, options);
    EXPECT_TRUE(leases.ok()) << leases.status();
    return leases.ok() ? std::move(leases->front()) : Lease();
  }

  static void ExpectBytes(const Lease& lease, uint64_t seed) {
    ASSERT_TRUE(lease.held());
    uint64_t wrong = 0;
    for (size_t i = 0; i < lease.size(); ++i) {
      if (std::to_integer<uint8_t>(lease.data()[i]) != SyntheticByte(seed, i)) ++wrong;
    }
    EXPECT_EQ(wrong, 0u) << "of " << lease.size();
  }

  // The client's own state has no event to wait for: polls it, with a deadline.
  template <class Condition>
  static bool Eventually(Condition condition) {
    const absl::Time end = absl::Now() + absl::Seconds(20);
    while (!condition()) {
      if (absl::Now() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }

  uint64_t Sent() const {
    ClientStats stats = client_->Stats();
    return stats.stream_messages_sent + stats.unary_calls_sent;
  }
  uint64_t OnlyLease() const {
    FakeLog log = daemon_->Log();
    EXPECT_EQ(log.leases.size(), 1u);
    return log.leases.empty() ? 0 : *log.leases.begin();
  }
  bool DaemonHolds(size_t leases) const {
    return daemon_->WaitFor([&](const FakeLog& log) { return log.leases.size() == leases; });
  }

  std::string directory_;
  std::unique_ptr<FakeDaemon> daemon_;
  std::unique_ptr<Client> client_;
  Model model_;
  std::vector<BlockId> ids_;
};

}  // namespace residency::client_test
