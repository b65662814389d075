// What a hit in the lease cache costs, end to end through the Client: acquire and release.
#include <filesystem>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "residency/client.h"
#include "tests/client/fake_daemon.h"

namespace residency::client_test {
namespace {

constexpr int kHits = 2'000'000;
constexpr int kBlocks = 256;

double NanosPerHit(Client& client, const std::vector<BlockId>& blocks, int threads) {
  std::vector<std::thread> running;
  const absl::Time begin = absl::Now();
  for (int t = 0; t < threads; ++t) {
    running.emplace_back([&, t] {
      for (int i = 0; i < kHits; ++i) {
        auto lease = client.TryAcquireLocal(blocks[static_cast<size_t>((i + t * 97) % kBlocks)]);
        if (!lease.has_value()) std::abort();
      }
    });
  }
  for (std::thread& thread : running) thread.join();
  return absl::ToDoubleNanoseconds(absl::Now() - begin) / kHits;
}

int Run() {
  std::string pattern = (std::filesystem::temp_directory_path() / "rb-XXXXXX").string();
  const std::string directory = ::mkdtemp(pattern.data());
  int result = 1;
  {
    FakeDaemon daemon(directory,
                      {.segments = 64, .register_blocks_max = 1000, .acquire_blocks_max = 1000});
    auto client = Client::Connect({.runtime_dir = directory});
    std::vector<BlockSpec> specs(kBlocks);
    for (int i = 0; i < kBlocks; ++i) {
      specs[static_cast<size_t>(i)] = {
          .name = "b" + std::to_string(i), .bytes = 4096, .recipe = Synthetic{1}};
    }
    auto model = (*client)->AttachBlocks({"m", "f", {}}, specs);
    std::vector<BlockId> blocks;
    for (const Block& block : model->blocks()) blocks.push_back(block.id);
    {
      auto warm = (*client)->Acquire(blocks);
      if (!warm.ok()) std::cerr << warm.status();
    }
    double alone = NanosPerHit(**client, blocks, 1);
    double shared = NanosPerHit(**client, blocks, 2);
    std::cout << "cache hit, acquire + release: " << alone << " ns on one thread, " << shared
              << " ns on each of two (budget 1000 ns)\n";
    result = alone <= 1000 ? 0 : 1;
  }
  std::filesystem::remove_all(directory);
  return result;
}

}  // namespace
}  // namespace residency::client_test

int main() { return residency::client_test::Run(); }
