// A small engine for tests, driven line by line over its standard input:
//
//   residency_test_engine RUNTIME_DIR
//
//   connect
//   attach PATH MAX_LEASED MAX_BATCH [perexpert|pertensor] [host|lowbit]
//   attachblocks FINGERPRINT NAME:BYTES... [max_leased=N] [max_batch=N]
//   detach
//   blocks                         how many there are
//   names                          of all blocks
//   expect NAME SEED               what NAME holds, put by another engine
//   put NAME BYTES SEED durable|volatile
//   acquire NAME... [deadline_ms=N] [mode=pinned|streaming]
//                                  keeps the leases; how many have wrong bytes, from where, and
//                                  how many are low-bit (right is then: within the bound)
//   churn ROUNDS BATCH SEED [deadline_ms=N]
//                                  so often: leases BATCH blocks, compares their bytes, lets go
//   hash                           compares the bytes of all leases that are held
//   release                        all that are held
//   route LAYER EXPERT,EXPERT,...
//   step
//   stats
//   exit
//
// Sizes are bytes. Each command is answered with one line, "ok ..." or "error CODE message".
#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "client/demo/lowbit_check.h"
#include "client/xxh.h"
#include "residency/client.h"

namespace residency::testing {
namespace {

using Answer = absl::StatusOr<std::string>;

uint64_t NumberFrom(const std::string& text) {
  uint64_t number = 0;
  return absl::SimpleAtoi(text, &number) ? number : 0;
}

std::vector<std::byte> SeededBytes(uint64_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// A command line: plain words, and options as KEY=VALUE.
struct Command {
  explicit Command(const std::string& line) {
    const std::vector<std::string> all = absl::StrSplit(line, ' ', absl::SkipEmpty());
    for (const std::string& word : all) {
      const std::vector<std::string> parts = absl::StrSplit(word, absl::MaxSplits('=', 1));
      if (parts.size() == 2) {
        options[parts[0]] = parts[1];
      } else {
        words.push_back(word);
      }
    }
  }
  std::string Word(size_t i) const { return i < words.size() ? words[i] : ""; }
  uint64_t Number(size_t i) const { return NumberFrom(Word(i)); }
  bool Has(const std::string& text) const {
    return std::find(words.begin(), words.end(), text) != words.end();
  }
  std::string Option(const std::string& key, const std::string& otherwise) const {
    const auto it = options.find(key);
    return it == options.end() ? otherwise : it->second;
  }

  std::vector<std::string> words;
  std::map<std::string, std::string> options;
};

class Engine {
 public:
  explicit Engine(std::string runtime_dir) : runtime_dir_(std::move(runtime_dir)) {}

  Answer Do(const Command& command) {
    static const auto& kCommands = *new std::map<std::string, Answer (Engine::*)(const Command&)>{
        {"connect", &Engine::Connect}, {"attach", &Engine::Attach},
        {"put", &Engine::Put},         {"attachblocks", &Engine::AttachBlocks},
        {"detach", &Engine::Detach},   {"blocks", &Engine::CountBlocks},
        {"names", &Engine::Names},     {"expect", &Engine::Expect},
        {"hash", &Engine::Hash},       {"acquire", &Engine::Acquire},
        {"churn", &Engine::Churn},     {"release", &Engine::Release},
        {"route", &Engine::Route},     {"step", &Engine::Step},
        {"stats", &Engine::Stats}};
    const auto it = kCommands.find(command.Word(0));
    if (it == kCommands.end()) return absl::UnimplementedError("no such command");
    if (client_ == nullptr && it->first != "connect") {
      return absl::FailedPreconditionError("connect first");
    }
    return (this->*it->second)(command);
  }

 private:
  Answer Connect(const Command&) {
    auto client = Client::Connect({.runtime_dir = runtime_dir_,
                                   .name = "test engine",
                                   .connect_deadline = absl::Seconds(20),
                                   .retry_last = absl::Milliseconds(100)});
    if (!client.ok()) return client.status();
    client_ = *std::move(client);
    return "";
  }

  Answer Attach(const Command& command) {
    CheckpointOptions options;
    options.limits = {.max_leased_bytes = command.Number(2), .max_batch_bytes = command.Number(3)};
    if (command.Has("lowbit")) options.limits.accepts = Accepts::kHbmFull | Accepts::kHbmLowbit;
    if (command.Has("host")) options.limits.accepts = Accepts::kHbmFull | Accepts::kHostFull;
    if (command.Has("pertensor")) options.grouping = Grouping::kPerTensor;
    auto model = client_->AttachCheckpoint(command.Word(1), options);
    if (!model.ok()) return model.status();
    model_ = *std::move(model);
    return absl::StrCat("blocks=", model_->blocks().size(), " bytes=", model_->bytes());
  }

  Answer AttachBlocks(const Command& command) {
    ModelSpec spec{.name = command.Word(1), .fingerprint = command.Word(1)};
    spec.limits = {.max_leased_bytes = NumberFrom(command.Option("max_leased", "0")),
                   .max_batch_bytes = NumberFrom(command.Option("max_batch", "0"))};
    std::vector<BlockSpec> blocks;
    for (size_t i = 2; i < command.words.size(); ++i) {
      const std::vector<std::string> parts = absl::StrSplit(command.words[i], ':');
      if (parts.size() != 2) return absl::InvalidArgumentError("wanted NAME:BYTES");
      blocks.push_back({.name = parts[0], .bytes = NumberFrom(parts[1])});
    }
    auto model = client_->AttachBlocks(std::move(spec), std::move(blocks));
    if (!model.ok()) return model.status();
    model_ = *std::move(model);
    return absl::StrCat("blocks=", model_->blocks().size(), " bytes=", model_->bytes());
  }

  Answer Detach(const Command&) {
    if (!model_) return absl::FailedPreconditionError("attach first");
    absl::Status status = client_->Detach(*model_);
    if (!status.ok()) return status;
    model_.reset();
    return "";
  }

  Answer CountBlocks(const Command&) { return absl::StrCat(model_ ? model_->blocks().size() : 0); }

  Answer Names(const Command&) {
    if (!model_) return absl::FailedPreconditionError("attach first");
    return absl::StrJoin(model_->blocks(), " ", [](std::string* out, const Block& block) {
      absl::StrAppend(out, block.name);
    });
  }

  Answer Expect(const Command& command) {
    const auto id = Find(command.Word(1));
    if (!id.ok()) return id.status();
    SetExpected(*id, SeededBytes(model_->block(*id).bytes, command.Number(2)));
    return "";
  }

  Answer Put(const Command& command) {
    const auto id = Find(command.Word(1));
    if (!id.ok()) return id.status();
    const std::vector<std::byte> bytes = SeededBytes(command.Number(2), command.Number(3));
    const absl::Status status = client_->PutBlock(
        *id, bytes, command.Has("durable") ? Durability::kDurable : Durability::kVolatile);
    if (!status.ok()) return status;
    SetExpected(*id, bytes);
    return "";
  }

  Answer Acquire(const Command& command) {
    std::vector<BlockId> blocks;
    for (size_t i = 1; i < command.words.size(); ++i) {
      const auto id = Find(command.words[i]);
      if (!id.ok()) return id.status();
      blocks.push_back(*id);
    }
    AcquireResult leases = client_->Acquire(blocks, OptionsOf(command));
    if (!leases.ok()) return leases.status();
    uint64_t wrong = 0, lowbit = 0;
    std::vector<std::string> served;
    for (Lease& lease : *leases) {
      lowbit += lease.encoding() == Encoding::kLowbit ? 1 : 0;
      wrong += Right(lease) ? 0 : 1;
      served.emplace_back(Name(lease.served_from()));
      held_.push_back(std::move(lease));
    }
    return absl::StrCat("wrong=", wrong, " lowbit=", lowbit,
                        " served=", absl::StrJoin(served, ","));
  }

  Answer Churn(const Command& command) {
    if (!model_) return absl::FailedPreconditionError("attach first");
    std::mt19937_64 random(command.Number(3));
    const size_t count = model_->blocks().size();
    uint64_t wrong = 0, failed = 0, granted = 0;
    std::string error;
    for (uint64_t round = 0; round < command.Number(1); ++round) {
      std::vector<BlockId> blocks;
      while (blocks.size() < std::min<size_t>(command.Number(2), count)) {
        const BlockId id = model_->blocks()[random() % count].id;
        if (std::find(blocks.begin(), blocks.end(), id) == blocks.end()) blocks.push_back(id);
      }
      AcquireResult leases = client_->Acquire(blocks, OptionsOf(command));
      if (!leases.ok()) {
        ++failed;
        error = leases.status().ToString();
        continue;
      }
      for (const Lease& lease : *leases) wrong += Right(lease) ? 0 : 1;
      granted += leases->size();
    }
    return absl::StrCat("wrong=", wrong, " failed=", failed, " granted=", granted,
                        " error: ", error);
  }

  Answer Hash(const Command&) {
    uint64_t wrong = 0, orphaned = 0, revoked = 0;
    for (const Lease& lease : held_) {
      orphaned += lease.orphaned() ? 1 : 0;
      revoked += lease.revoked() ? 1 : 0;
      wrong += lease.revoked() || Right(lease) ? 0 : 1;
    }
    return absl::StrCat("wrong=", wrong, " orphaned=", orphaned, " revoked=", revoked,
                        " held=", held_.size());
  }

  Answer Release(const Command&) {
    held_.clear();
    return "";
  }

  Answer Route(const Command& command) {
    if (!model_) return absl::FailedPreconditionError("attach first");
    const std::vector<std::string> numbers = absl::StrSplit(command.Word(2), ',');
    std::vector<uint32_t> experts;
    for (const std::string& text : numbers) {
      experts.push_back(static_cast<uint32_t>(NumberFrom(text)));
    }
    const uint64_t request = 1;
    client_->ReportRouting(*model_, static_cast<uint32_t>(command.Number(1)), Phase::kDecode,
                           {&request, 1}, static_cast<uint32_t>(experts.size()), experts);
    return "";
  }

  Answer Step(const Command&) {
    if (!model_) return absl::FailedPreconditionError("attach first");
    client_->StepBegin(*model_, step_, Phase::kDecode);
    client_->StepEnd(*model_, step_, Phase::kDecode);
    return absl::StrCat("step=", step_++);
  }

  Answer Stats(const Command&) {
    const ClientStats stats = client_->Stats();
    return absl::StrCat("local_hits=", stats.local_hits, " misses=", stats.misses,
                        " stream=", stats.stream_messages_sent, " unary=", stats.unary_calls_sent,
                        " reconnects=", stats.reconnects, " orphans=", stats.orphans,
                        " recalls=", stats.recalls, " revocations=", stats.revocations,
                        " leases=", stats.leases, " connected=", client_->connected() ? 1 : 0,
                        " accepted=", stats.reports_accepted, " dropped=", stats.reports_dropped);
  }

  absl::StatusOr<BlockId> Find(const std::string& name) const {
    if (!model_) return absl::FailedPreconditionError("attach first");
    const std::optional<BlockId> id = model_->Find(name);
    if (!id) return absl::NotFoundError(absl::StrCat("no block ", name));
    return *id;
  }

  static AcquireOptions OptionsOf(const Command& command) {
    AcquireOptions options;
    const std::string deadline = command.Option("deadline_ms", "20000");
    options.deadline = absl::Milliseconds(static_cast<int64_t>(NumberFrom(deadline)));
    const std::string mode = command.Option("mode", "recallable");
    if (mode == "pinned") options.mode = LeaseMode::kPinned;
    if (mode == "streaming") options.mode = LeaseMode::kStreaming;
    return options;
  }

  void SetExpected(BlockId id, const std::vector<std::byte>& bytes) {
    expected_[static_cast<uint32_t>(id)] = client::internal::Xxh3(bytes.data(), bytes.size());
  }

  // Whether the bytes are those of the file, or those that were put. Of a block that nobody
  // spoke of, nothing is right.
  bool Right(const Lease& lease) {
    if (lease.encoding() == Encoding::kLowbit) {
      return demo::LowbitCheck(*model_).WrongBytes(lease) == 0;
    }
    const auto number = static_cast<uint32_t>(lease.block());
    if (!expected_.contains(number)) ReadFromFile(lease.block());
    const auto it = expected_.find(number);
    return it != expected_.end() &&
           client::internal::Xxh3(lease.data(), lease.size()) == it->second;
  }

  void ReadFromFile(BlockId id) {
    const Block& block = model_->block(id);
    std::vector<std::byte> bytes(block.bytes);
    std::ifstream file(block.file, std::ios::binary);
    file.seekg(static_cast<std::streamoff>(block.offset));
    const auto size = static_cast<std::streamsize>(bytes.size());
    if (file.read(reinterpret_cast<char*>(bytes.data()), size)) SetExpected(id, bytes);
  }

  const std::string runtime_dir_;
  std::unique_ptr<Client> client_;
  std::optional<Model> model_;
  std::vector<Lease> held_;  // ends before the client
  std::map<uint32_t, uint64_t> expected_;
  uint64_t step_ = 0;
};

int Main(const std::string& runtime_dir) {
  Engine engine(runtime_dir);
  std::string line;
  while (std::getline(std::cin, line)) {
    if (line == "exit") {
      std::cout << "ok" << std::endl;
      break;
    }
    const Answer answer = engine.Do(Command(line));
    if (answer.ok()) {
      std::cout << "ok" << (answer->empty() ? "" : " ") << *answer << std::endl;
    } else {
      const std::string message =
          absl::StrReplaceAll(std::string(answer.status().message()), {{"\n", " "}});
      std::cout << "error " << absl::StatusCodeToString(answer.status().code()) << " " << message
                << std::endl;
    }
  }
  return 0;
}

}  // namespace
}  // namespace residency::testing

int main(int argc, char** argv) {
  if (argc != 2) return std::cerr << "usage: residency_test_engine RUNTIME_DIR\n", 2;
  return residency::testing::Main(argv[1]);
}
