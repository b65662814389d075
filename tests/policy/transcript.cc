#include "tests/policy/transcript.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/strings.h"
#include "tests/policy/transcript_text.h"

namespace residency {
namespace {

SessionId SessionOf(const std::string& word) { return SessionId(std::stoull(word)); }

Bytes Size(const std::string& text) { return ParseBytes(text).value(); }

AcceptMask Accept(const std::string& word) {
  return {.hbm_full = word != "host", .hbm_lowbit = false, .host_full = word != "hbm"};
}

// "e12": "e" and 12.
std::pair<std::string, int> SplitNumber(const std::string& name) {
  const size_t digits = name.find_first_of("0123456789");
  if (digits == std::string::npos) return {name, -1};
  return {name.substr(0, digits), std::stoi(name.substr(digits))};
}

Role RoleOf(const std::string& word) {
  for (int r = 0; r <= static_cast<int>(Role::kOther); ++r) {
    if (word == Name(static_cast<Role>(r))) return static_cast<Role>(r);
  }
  return Role::kOther;
}

Recipe RecipeOf(const std::string& word, int number, Bytes bytes) {
  if (word == "none") return {};
  if (word == "synthetic") {
    return {.kind = RecipeKind::kSynthetic, .file = {}, .offset = 0, .seed = uint64_t(number)};
  }
  return {.kind = RecipeKind::kFileRange,
          .file = FileId(static_cast<uint32_t>(std::stoul(word))),
          .offset = static_cast<uint64_t>(number) * bytes.count(),
          .seed = 0};
}

}  // namespace

Micros Transcript::Duration(const std::string& text) {
  const double number = std::stod(text);
  if (absl::EndsWith(text, "us")) return Micros(static_cast<int64_t>(number));
  if (absl::EndsWith(text, "ms")) return Micros(static_cast<int64_t>(number * 1e3));
  return Micros(static_cast<int64_t>(number * 1e6));
}

const std::string& Transcript::Line::word(size_t i) const {
  static const std::string kNone;
  EXPECT_LT(i, words.size());
  return i < words.size() ? words[i] : kNone;
}

std::string Transcript::Line::option(const std::string& key, const std::string& otherwise) const {
  const auto it = options.find(key);
  return it == options.end() ? otherwise : it->second;
}

bool Transcript::Line::Has(const std::string& flag) const {
  return std::find(words.begin(), words.end(), flag) != words.end();
}

const std::map<std::string, Transcript::Handler>& Transcript::Handlers() {
  static const auto& handlers =
      *new std::map<std::string, Handler>{{"pools", &Transcript::Pools},
                                          {"policy", &Transcript::Policy},
                                          {"session", &Transcript::Session},
                                          {"attach", &Transcript::Attach},
                                          {"detach", &Transcript::Detach},
                                          {"blocks", &Transcript::Blocks},
                                          {"acquire", &Transcript::Acquire},
                                          {"release", &Transcript::Release},
                                          {"abandon", &Transcript::Abandon},
                                          {"end", &Transcript::End},
                                          {"resume", &Transcript::Resume},
                                          {"put", &Transcript::Put},
                                          {"pin", &Transcript::Pin},
                                          {"unpin", &Transcript::Unpin},
                                          {"move", &Transcript::Move},
                                          {"drain", &Transcript::Drain},
                                          {"step", &Transcript::Step},
                                          {"access", &Transcript::Access},
                                          {"route", &Transcript::Route},
                                          {"fault", &Transcript::Fault},
                                          {"hold", &Transcript::Hold},
                                          {"tick", &Transcript::Tick},
                                          {"advance", &Transcript::Advance},
                                          {"run", &Transcript::RunFor},
                                          {"state", &Transcript::ShowState},
                                          {"copies", &Transcript::ShowCopies},
                                          {"explain", &Transcript::ShowExplain},
                                          {"usage", &Transcript::ShowUsage},
                                          {"counters", &Transcript::ShowCounters},
                                          {"sessions", &Transcript::ShowSessions},
                                          {"vetoes", &Transcript::ShowVetoes}};
  return handlers;
}

std::string Transcript::Run(const std::string& story) {
  std::vector<std::string> lines = absl::StrSplit(story, '\n');
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  for (const std::string& line : lines) {
    if (absl::StartsWith(line, "  ")) continue;  // output of an earlier run
    absl::StrAppend(&out_, line, "\n");
    if (line.empty() || line[0] == '#') continue;
    Execute(line);
  }
  return out_;
}

void Transcript::Execute(const std::string& text) {
  std::vector<std::string> words = absl::StrSplit(text, ' ', absl::SkipEmpty());
  const auto handler = Handlers().find(words[0]);
  if (handler == Handlers().end() ||
      (node_ == nullptr && words[0] != "pools" && words[0] != "policy")) {
    ADD_FAILURE() << "not understood here: " << text;
    return;
  }
  Line line;
  for (size_t i = 1; i < words.size(); ++i) {
    const std::pair<std::string, std::string> kv =
        absl::StrSplit(words[i], absl::MaxSplits('=', 1));
    if (absl::StrContains(words[i], "=")) {
      line.options.insert(kv);
    } else {
      line.words.push_back(words[i]);
    }
  }
  (this->*handler->second)(line);
}

void Transcript::Say(const std::string& text) {
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    absl::StrAppend(&out_, "  ", line, "\n");
  }
}

void Transcript::OnCommand(const Command& command) {
  if (!WorthTelling(command)) return;
  const double ms = static_cast<double>(node_->now().time_since_epoch().count()) / 1000;
  Say(absl::StrFormat("@%.3f %s", ms, TextOf(command, node_->state())));
}

void Transcript::PostAndStep(Event event) {
  node_->Post(std::move(event));
  node_->Step();
}

BlockId Transcript::BlockOf(const std::string& name) const {
  const auto it = blocks_.find(name);
  EXPECT_NE(it, blocks_.end()) << "no block " << name;
  return it == blocks_.end() ? BlockId() : it->second;
}

std::vector<std::string> Transcript::Names(const std::vector<std::string>& words,
                                           size_t from) const {
  std::vector<std::string> names;
  for (size_t i = from; i < words.size(); ++i) {
    const std::vector<std::string> ends = absl::StrSplit(words[i], "..");
    const auto [stem, first] = SplitNumber(ends[0]);
    const int last = SplitNumber(ends.back()).second;
    for (int n = first; n <= last; ++n) names.push_back(n < 0 ? stem : absl::StrCat(stem, n));
  }
  return names;
}

std::vector<BlockId> Transcript::BlocksOf(const std::vector<std::string>& words,
                                          size_t from) const {
  std::vector<BlockId> ids;
  for (const std::string& name : Names(words, from)) ids.push_back(BlockOf(name));
  return ids;
}

ModelId Transcript::ModelOf(const std::string& name) const {
  const ResidencyTable& table = node_->state().table;
  for (uint32_t m = 0; m < table.model_count(); ++m) {
    if (table.model(ModelId(m)).name == name) return ModelId(m);
  }
  ADD_FAILURE() << "no model " << name;
  return ModelId();
}

// ---------------------------------------------------------------- the node

void Transcript::Pools(const Line& line) {
  const Bytes segment = Size(line.option("segment", "1MiB"));
  const std::pair<const char*, Tier> kTiers[] = {
      {"hbm", Tier::kHbm}, {"dram", Tier::kDram}, {"nvme", Tier::kNvme}};
  for (const auto& [name, tier] : kTiers) {
    const std::string size = line.option(name, "");
    if (size.empty()) continue;
    PoolOptions pool{.id = PoolId(static_cast<uint16_t>(options_.pools.size())),
                     .tier = tier,
                     .name = name,
                     .capacity = Size(size),
                     .segment_bytes = segment,
                     .domain_segments = tier != Tier::kNvme};
    options_.pools.push_back(std::move(pool));
  }
  node_ = std::make_unique<FakeNode>(options_);
  node_->set_observer([this](const Command& command) { OnCommand(command); });
}

void Transcript::Policy(const Line& line) {
  for (const auto& [key, value] : line.options) {
    EXPECT_TRUE(SetPolicyField(options_.policy, key, value).ok()) << key << "=" << value;
  }
  if (node_) PostAndStep(PolicyChanged{options_.policy});
}

void Transcript::Session(const Line& line) {
  const auto domain = static_cast<uint32_t>(std::stoul(line.option("domain", "0")));
  PostAndStep(SessionOpened{SessionOf(line.word(0)), DomainId(domain)});
}

void Transcript::Attach(const Line& line) {
  PostAndStep(ModelAttach{.request = node_->NextRequest(),
                          .session = SessionOf(line.word(0)),
                          .name = line.word(1),
                          .fingerprint = line.word(1),
                          .max_leased = Size(line.option("max", "1MiB")),
                          .max_batch = Size(line.option("batch", "1MiB")),
                          .accepts = Accept(line.option("accept", "hbm"))});
}

void Transcript::Detach(const Line& line) {
  PostAndStep(ModelDetach{node_->NextRequest(), SessionOf(line.word(0)), ModelOf(line.word(1))});
}

void Transcript::Blocks(const Line& line) {
  const ModelId model = ModelOf(line.word(0));
  BlocksRegister event{
      .request = node_->NextRequest(), .session = {}, .model = model, .blocks = {}};
  for (const auto& [id, session] : node_->state().sessions) {
    if (session.models.contains(model)) event.session = std::min(event.session, id);
  }
  const Bytes bytes = Size(line.word(2));
  const std::vector<std::string> names = Names({line.word(1)}, 0);
  for (const std::string& name : names) {
    const int number = std::max(0, SplitNumber(name).second);
    BlockSpec spec;
    spec.name = name;
    spec.bytes = bytes;
    spec.layer = std::stoi(line.option("layer", "0"));
    spec.expert = line.Has("dense") ? -1 : number;
    spec.role = RoleOf(line.option("role", "expert"));
    if (line.options.contains("psi")) spec.sensitivity = std::stof(line.option("psi", ""));
    if (line.options.contains("kappa")) spec.criticality = std::stof(line.option("kappa", ""));
    spec.recipe = RecipeOf(line.option("file", "1"), number, bytes);
    event.blocks.push_back(spec);
  }
  PostAndStep(event);
  const auto& known = node_->state().table.model(model).by_name;
  for (const std::string& name : names) {
    if (const auto it = known.find(name); it != known.end()) blocks_[name] = it->second;
  }
}

// ---------------------------------------------------------------- engines

void Transcript::Acquire(const Line& line) {
  const std::string mode = line.option("mode", "recallable");
  const uint64_t id = std::stoull(line.option("id", absl::StrCat(next_client_request_++)));
  PostAndStep(AcquireBatch{.request = node_->NextRequest(),
                           .session = SessionOf(line.word(0)),
                           .client_request = id,
                           .blocks = BlocksOf(line.words, 1),
                           .accepts = Accept(line.option("accept", "hbm")),
                           .deadline = node_->now() + Duration(line.option("deadline", "10s")),
                           .mode = mode == "pinned"      ? LeaseMode::kPinned
                                   : mode == "streaming" ? LeaseMode::kStreaming
                                                         : LeaseMode::kRecallable});
}

void Transcript::Release(const Line& line) {
  const SessionId session = SessionOf(line.word(0));
  LeasesReleased event{.request = RequestId(), .session = session, .leases = {}};
  for (const BlockId block : BlocksOf(line.words, 1)) {
    const auto lease = node_->LeaseOf(session, block);
    EXPECT_TRUE(lease.has_value()) << "no lease of block " << block;
    if (lease) event.leases.push_back(*lease);
  }
  PostAndStep(event);
}

void Transcript::Abandon(const Line& line) {
  PostAndStep(AcquireAbandoned{SessionOf(line.word(0)), std::stoull(line.word(1))});
}

void Transcript::End(const Line& line) { PostAndStep(SessionEnded{SessionOf(line.word(0))}); }

void Transcript::Resume(const Line& line) {
  const SessionId session = SessionOf(line.word(0));
  SessionResumed event{session, {}};
  for (const BlockId block : BlocksOf(line.words, 1)) {
    if (const auto lease = node_->LeaseOf(session, block)) event.held.push_back(*lease);
  }
  PostAndStep(event);
}

void Transcript::Put(const Line& line) {
  const BlockId block = BlockOf(line.word(1));
  Recipe supply{.kind = RecipeKind::kFileRange, .file = FileId(99), .offset = 0, .seed = 0};
  PostAndStep(BlockPut{.request = node_->NextRequest(),
                       .session = SessionOf(line.word(0)),
                       .block = block,
                       .supply = supply,
                       .checksum = FakeNode::ContentOf(block) + (line.Has("wrong") ? 1 : 0),
                       .durable = line.Has("durable")});
}

void Transcript::Step(const Line& line) {
  PostAndStep(StepMarked{.session = SessionOf(line.word(0)),
                         .model = ModelOf(line.word(1)),
                         .begin = line.word(2) == "begin",
                         .ended_requests = {}});
}

void Transcript::Access(const Line& line) {
  std::vector<std::string> words = line.words;
  const bool prefill = std::erase(words, "prefill") > 0;
  PostAndStep(AccessReported{.session = SessionOf(line.word(0)),
                             .model = ModelOf(line.word(1)),
                             .phase = prefill ? Phase::kPrefill : Phase::kDecode,
                             .blocks = BlocksOf(words, 2)});
}

void Transcript::Route(const Line& line) {
  RoutingReported event{.session = SessionOf(line.word(0)),
                        .model = ModelOf(line.word(1)),
                        .layer = std::stoi(line.option("layer", "0")),
                        .phase = Phase::kDecode,
                        .requests = {1},
                        .top_k = 0,
                        .experts = {},
                        .gates = {}};
  for (const BlockId block : BlocksOf(line.words, 2)) {
    event.experts.push_back(static_cast<uint16_t>(node_->state().table.block(block).expert));
  }
  event.top_k = static_cast<int>(event.experts.size());
  PostAndStep(event);
}

}  // namespace residency
