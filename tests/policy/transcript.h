// Stories of the controller: lines of input, and under each, indented, what the controller did. A
// story is a text file; running it gives the same file with the output as it is now.
//
//   pools hbm=4MiB dram=8MiB nvme=64MiB [segment=1MiB] [policy key=value before it]
//   policy KEY=VALUE ...           before `pools`: the start; after it: changed at the next tick
//   session N [domain=0]           attach N M max=2MiB batch=1MiB [accept=hbm|host|both]
//   blocks M e0..e7 1MiB [layer=0] [dense] [role=norm] [psi=0.9] [kappa=1] [file=1|none|synthetic]
//   acquire N e0 e1 [mode=recallable|pinned|streaming] [accept=..] [deadline=1s] [id=7]
//   release N e0 ..   abandon N ID   end N   resume N [e0 ..]   detach N M
//   put N e0 [durable] [wrong]   pin e0   unpin e0   move e0 S3 [deadline=1s]   drain
//   step N M begin|end   access N M e0 .. [prefill]   route N M layer=0 e0 e3
//   fault e0 corrupt|changed|source|target   fault row   hold e0
//   tick   advance 50ms   run 1s (with ticks)
//   state [e0 ..]   copies e0 ..   explain e0 [N]   usage   counters   sessions   vetoes
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/policy/fake_node.h"

namespace residency {

class Transcript {
 public:
  // The whole story, with the output as it is now.
  std::string Run(const std::string& story);

 private:
  struct Line {
    std::vector<std::string> words;              // after the command
    std::map<std::string, std::string> options;  // key=value
    const std::string& word(size_t i) const;
    std::string option(const std::string& key, const std::string& otherwise) const;
    bool Has(const std::string& flag) const;
  };
  using Handler = void (Transcript::*)(const Line&);
  static const std::map<std::string, Handler>& Handlers();

  void Execute(const std::string& line);
  void Say(const std::string& text);
  void PostAndStep(Event event);
  void OnCommand(const Command& command);

  void Pools(const Line& line);
  void Policy(const Line& line);
  void Session(const Line& line);
  void Attach(const Line& line);
  void Detach(const Line& line);
  void Blocks(const Line& line);
  void Acquire(const Line& line);
  void Release(const Line& line);
  void Abandon(const Line& line);
  void End(const Line& line);
  void Resume(const Line& line);
  void Put(const Line& line);
  void Pin(const Line& line);
  void Unpin(const Line& line);
  void Move(const Line& line);
  void Drain(const Line& line);
  void Step(const Line& line);
  void Access(const Line& line);
  void Route(const Line& line);
  void Fault(const Line& line);
  void Hold(const Line& line);
  void Tick(const Line& line);
  void Advance(const Line& line);
  void RunFor(const Line& line);
  void ShowState(const Line& line);
  void ShowCopies(const Line& line);
  void ShowExplain(const Line& line);
  void ShowUsage(const Line& line);
  void ShowCounters(const Line& line);
  void ShowSessions(const Line& line);
  void ShowVetoes(const Line& line);

  BlockId BlockOf(const std::string& name) const;
  // e0..e3 is e0 e1 e2 e3.
  std::vector<std::string> Names(const std::vector<std::string>& words, size_t from) const;
  std::vector<BlockId> BlocksOf(const std::vector<std::string>& words, size_t from) const;
  ModelId ModelOf(const std::string& name) const;
  // "50ms", "200us", "1.5s".
  static Micros Duration(const std::string& text);

  FakeNodeOptions options_;
  std::unique_ptr<FakeNode> node_;
  std::map<std::string, BlockId> blocks_;
  uint64_t next_client_request_ = 1000;
  std::string out_;
};

}  // namespace residency
