#include "daemon/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "daemon/config_reader.h"

namespace residency {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class FakeHost final : public HostFacts {
 public:
  absl::StatusOr<Bytes> MemAvailable() const override { return memory; }
  absl::StatusOr<DiskFacts> Disk(const std::string& file) const override {
    const auto it = disks.find(file);
    if (it == disks.end()) return absl::NotFoundError("stat " + file + ": no such directory");
    return it->second;
  }
  bool HasGpu() const override { return gpu; }

  Bytes memory = GiB(1000);
  std::map<std::string, DiskFacts> disks;
  bool gpu = false;
};

absl::StatusOr<Config> Parse(std::string_view text, const HostFacts& host = FakeHost()) {
  return ParseConfig(text, "test.toml", host);
}

std::vector<std::string> Problems(std::string_view text, const HostFacts& host = FakeHost()) {
  const auto config = Parse(text, host);
  if (config.ok()) return {};
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  return absl::StrSplit(std::string(config.status().message()), '\n');
}

std::string ExampleText() {
  std::ifstream in(RESIDENCY_SOURCE_DIR "/config/residencyd.toml");
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

FakeHost RoomyHost() {
  FakeHost host;
  host.disks["/var/lib/residencyd/nvme0.pool"] = {1, GiB(100), Bytes()};
  return host;
}

TEST(ConfigTest, EmptyFileMeansTheDefaults) {
  const auto config = Parse("");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->hbm.capacity, GiB(1));
  EXPECT_EQ(config->hbm.segment, MiB(128));
  EXPECT_EQ(config->daemon.EngineSocketPath(), "/run/residencyd/engine.sock");
  EXPECT_EQ(config->daemon.operator_socket.mode, 0600u);
  EXPECT_TRUE(config->nvme.empty());
  EXPECT_EQ(DefaultConfig().dram.segment, config->dram.segment);
}

TEST(ConfigTest, ExampleIsValidAndSaysTheDefaults) {
  const auto config = Parse(ExampleText(), RoomyHost());
  ASSERT_TRUE(config.ok()) << config.status();
  const Config defaults = DefaultConfig();
  EXPECT_EQ(config->hbm.capacity, defaults.hbm.capacity);
  EXPECT_EQ(config->hbm.segment, defaults.hbm.segment);
  EXPECT_EQ(config->dram.segment, defaults.dram.segment);
  EXPECT_EQ(config->limits.blocks, defaults.limits.blocks);
  EXPECT_EQ(config->limits.rpc_message, defaults.limits.rpc_message);
  EXPECT_EQ(config->limits.acquire_deadline_max, defaults.limits.acquire_deadline_max);
  EXPECT_EQ(config->daemon.engine_socket.mode, defaults.daemon.engine_socket.mode);
  EXPECT_EQ(config->policy_keys_set.size(), PolicyFields().size());
  for (const PolicyField& field : PolicyFields()) {
    EXPECT_EQ(*GetPolicyField(config->policy, field.key),
              *GetPolicyField(defaults.policy, field.key))
        << field.key;
  }
}

TEST(ConfigTest, ExampleHasEveryKey) {
  std::vector<std::string> in_example;
  std::string section;
  for (const auto line : absl::StrSplit(ExampleText(), '\n')) {
    if (!line.empty() && line.front() == '[') {
      section = std::string(line.substr(line.find_first_not_of('[')));
      section.resize(section.find(']'));
    } else if (const size_t equals = line.find(" = "); equals != line.npos && line.front() != '#') {
      in_example.push_back(absl::StrCat(section, ".", line.substr(0, equals)));
    }
  }
  EXPECT_THAT(in_example, ::testing::UnorderedElementsAreArray(ConfigKeys()));
}

TEST(ConfigTest, EveryProblemIsReportedWithItsLine) {
  const auto problems = Problems(R"([daemon]
log_level = "loud"
runtime_dri = "/run/x"
[limits]
sessions = 0
blocks = "many"
acquire_deadline_max = "5 hours"
[metrics]
listen = "nowhere"
[polcy]
)");
  EXPECT_THAT(
      problems,
      ElementsAre(
          AllOf(HasSubstr("test.toml:2: daemon.log_level: found \"loud\", allowed is one of"),
                HasSubstr("\"debug\"")),
          "test.toml:3: daemon.runtime_dri: unknown key; did you mean \"runtime_dir\"?",
          "test.toml:5: limits.sessions: found the number 0, allowed is a whole number from 1 to "
          "65536",
          HasSubstr("test.toml:6: limits.blocks: found \"many\", allowed is a whole number"),
          HasSubstr("test.toml:7: limits.acquire_deadline_max: \"5 hours\" is not a duration"),
          HasSubstr("test.toml:9: metrics.listen: found \"nowhere\""),
          "test.toml:10: polcy: unknown key; did you mean \"policy\"?"));
}

TEST(ConfigTest, BadSyntaxNamesFileAndLine) {
  EXPECT_THAT(Problems("[daemon]\nlog_level = \n"),
              ElementsAre(HasSubstr("test.toml:2: not valid TOML")));
}

TEST(ConfigTest, HeaderWithoutAKeyIsAnErrorAndNotTheEndOfTheDaemon) {
  EXPECT_THAT(Problems("[limits]\nsessions = 4\n[.pools]\n"),
              ElementsAre(HasSubstr("test.toml:3: not valid TOML: a key must begin with")));
}

TEST(ConfigTest, WrongTypesAreRefused) {
  for (const char* text :
       {"daemon = 3", "[daemon]\nruntime_dir = 1", "[pools]\nhbm = []", "[[pools.hbm]]",
        "[pools.nvme]", "[pools]\nnvme = [1]", "[pools.dram]\nlock = \"yes\"",
        "[daemon]\nrecipe_roots = \"/a\"", "[daemon]\nrecipe_roots = [1]",
        "[daemon]\nlog_level = 1979-05-27", "[policy]\nw1 = \"0.4\"", "[policy]\nprefetch = 1",
        "[policy]\nthrash_limit = 2.5", "[metrics]\nlisten = false"}) {
    EXPECT_EQ(Problems(text).size(), 1u) << text;
  }
}

TEST(ConfigTest, SizesNeedAKnownUnit) {
  EXPECT_THAT(Problems("[pools.hbm]\ncapacity = \"24gib\""),
              ElementsAre(AllOf(HasSubstr("test.toml:2: pools.hbm.capacity: \"24gib\""),
                                HasSubstr("GiB"))));
  EXPECT_THAT(Problems("[pools.hbm]\ncapacity = \"1MiB\""),
              ElementsAre(HasSubstr("from 2.00 MiB to")));
  EXPECT_THAT(Problems("[pools.hbm]\ncapacity = -4096"), ElementsAre(HasSubstr("allowed is")));
}

TEST(ConfigTest, CapacitiesAreWholeSegments) {
  const auto config = Parse(R"([pools.hbm]
capacity = "100MiB"
[pools.dram]
capacity = "33MiB"
segment = "4MiB"
)");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->hbm.segment, MiB(12));
  EXPECT_EQ(config->hbm.capacity, MiB(96));
  EXPECT_EQ(config->dram.capacity, MiB(32));
  EXPECT_THAT(Problems("[pools.dram]\nsegment = \"3MiB\""),
              ElementsAre(HasSubstr("allowed is a multiple of 2MiB")));
  EXPECT_THAT(Problems("[pools.dram]\ncapacity=\"4MiB\"\nsegment = \"6MiB\""),
              ElementsAre(HasSubstr("allowed is at most the capacity")));
}

TEST(ConfigTest, DefaultSegmentsWasteLittle) {
  for (uint64_t mib = 2; mib < 300'000; mib += 37) {
    const Bytes capacity = MiB(mib);
    const Bytes segment = DefaultSegment(capacity);
    ASSERT_GE(segment, MiB(2));
    ASSERT_LE(segment, GiB(1));
    ASSERT_EQ(segment.count() % MiB(2).count(), 0u);
    const Bytes lost = capacity - segment * (capacity / segment);
    ASSERT_LT(lost, std::max(MiB(16), Bytes(capacity.count() / 400))) << mib << " MiB";
  }
  EXPECT_EQ(DefaultSegment(GiB(141)), GiB(1));
}

TEST(ConfigTest, MemoryBeyondWhatIsAvailableIsRefused) {
  FakeHost host;
  host.memory = GiB(10);
  const char* const text =
      "[pools.hbm]\nbackend = \"auto\"\ncapacity = \"6GiB\"\n[pools.dram]\ncapacity = \"5GiB\"";
  EXPECT_THAT(Problems(text, host),
              ElementsAre(AllOf(HasSubstr("test.toml:5: pools.dram.capacity: found 5.00 GiB"),
                                HasSubstr("6.00 GiB of host memory for pools.hbm"),
                                HasSubstr("10.0 GiB of memory is available"))));
  host.gpu = true;  // then the HBM pool takes none of it
  EXPECT_TRUE(Parse(text, host).ok());
}

TEST(ConfigTest, CudaWithoutADeviceIsRefused) {
  EXPECT_THAT(Problems("[pools.hbm]\nbackend = \"cuda\""),
              ElementsAre(HasSubstr("test.toml:2: pools.hbm.backend")));
}

TEST(ConfigTest, DisksMustHaveRoom) {
  const char* const text = R"([[pools.nvme]]
path = "/d/a"
capacity = "6GiB"
[[pools.nvme]]
path = "/d/b"
capacity = "6GiB"
)";
  FakeHost host;
  host.disks["/d/a"] = {7, GiB(10), Bytes()};
  host.disks["/d/b"] = {7, GiB(10), Bytes()};
  EXPECT_THAT(Problems(text, host),
              ElementsAre(AllOf(HasSubstr("test.toml:6: pools.nvme.1.capacity: found 6.00 GiB"),
                                HasSubstr("12.0 GiB more"))));
  host.disks["/d/a"].held = GiB(6);  // the file is there already
  EXPECT_TRUE(Parse(text, host).ok());
  host.disks["/d/a"].held = Bytes();
  host.disks["/d/b"].file_system = 8;
  EXPECT_TRUE(Parse(text, host).ok());
}

TEST(ConfigTest, DisksMustBeTold) {
  EXPECT_THAT(
      Problems("[[pools.nvme]]\nname = \"A b\""),
      ::testing::UnorderedElementsAre(HasSubstr("pools.nvme.0.path: missing"),
                                      HasSubstr("pools.nvme.0.capacity: missing"),
                                      HasSubstr("test.toml:2: pools.nvme.0.name: found \"A b\"")));
  FakeHost host;
  host.disks["/d/a"] = {7, GiB(10), Bytes()};
  EXPECT_THAT(Problems("[[pools.nvme]]\npath=\"/d/a\"\ncapacity=\"1GiB\"\n"
                       "[[pools.nvme]]\nname=\"nvme0\"\npath=\"/d/a\"\ncapacity=\"1GiB\"",
                       host),
              ElementsAre(HasSubstr("test.toml:5: pools.nvme.1.name: \"nvme0\" is used twice"),
                          HasSubstr("test.toml:6: pools.nvme.1.path: \"/d/a\" is used twice")));
  EXPECT_THAT(Problems("[[pools.nvme]]\npath=\"/gone/a\"\ncapacity=\"1GiB\""),
              ElementsAre(HasSubstr("test.toml:2: pools.nvme.0.path: stat /gone/a")));
}

TEST(ConfigTest, SocketAccessIsRead) {
  const auto config = Parse("[daemon]\nengine_socket_mode = 0o600\nside_socket_mode = \"0666\"");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->daemon.engine_socket.mode, 0600u);
  EXPECT_EQ(config->daemon.side_socket.mode, 0666u);
  for (const char* wrong : {"\"rw\"", "\"0668\"", "\"07777\"", "4096", "-1", "\"\""}) {
    EXPECT_EQ(Problems(absl::StrCat("[daemon]\nside_socket_mode = ", wrong)).size(), 1u) << wrong;
  }
  EXPECT_THAT(Problems("[daemon]\nengine_socket_group = \"no-such-group-here\""),
              ElementsAre(HasSubstr("test.toml:2: daemon.engine_socket_group: found")));
}

TEST(ConfigTest, PathsAreAbsoluteAndShortEnoughForSockets) {
  EXPECT_EQ(Problems("[daemon]\nruntime_dir = \"run\"").size(), 1u);
  EXPECT_EQ(Problems("[daemon]\nrecipe_roots = [\"/a/../b\"]").size(), 1u);
  EXPECT_THAT(Problems(absl::StrCat("[daemon]\nruntime_dir = \"/", std::string(120, 'x'), "\"")),
              ElementsAre(HasSubstr("the kernel allows 107")));
  EXPECT_EQ(Parse("[daemon]\nstate_dir = \"/a/\"")->daemon.state_dir, "/a");
}

TEST(ConfigTest, PolicyIsValidatedAsAWhole) {
  EXPECT_THAT(Problems("\n[policy]\nw1 = 0.9"),
              ElementsAre(HasSubstr("test.toml:2: policy: w1 + w2 + w3 + w4: found")));
  EXPECT_THAT(Problems("[policy]\nname = \"lru\""), ElementsAre(HasSubstr("\"residency\"")));
  const auto config = Parse("[policy]\nname = \"residency\"\nthrash_limit = 9");
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->policy_name, PolicyName::kResidency);
  EXPECT_EQ(config->policy.thrash_limit, 9);
  EXPECT_THAT(config->policy_keys_set, ElementsAre("thrash_limit"));
}

TEST(ConfigTest, FilesThatCannotBeReadAreRefused) {
  EXPECT_EQ(LoadConfig("/no/such/file.toml", FakeHost()).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(LoadConfig("/tmp", FakeHost()).status().message()),
              HasSubstr("not a regular file"));
  EXPECT_TRUE(
      LoadConfig(RESIDENCY_SOURCE_DIR "/config/residencyd.toml", RoomyHost()).status().ok());
}

TEST(ConfigTest, ThisHostAnswers) {
  const ThisHost host;
  const auto memory = host.MemAvailable();
  ASSERT_TRUE(memory.ok()) << memory.status();
  EXPECT_GT(*memory, MiB(1));
  EXPECT_GE(*HostWithPools(GiB(1 << 20)).MemAvailable(), GiB(1 << 20));
  const std::string file = testing::TempDir() + "/config_test_file";
  ASSERT_TRUE(host.Disk(file).ok());
  EXPECT_EQ(host.Disk(file)->held, Bytes());
  std::ofstream(file) << std::string(100'000, 'x') << std::flush;
  EXPECT_GT(host.Disk(file)->free, Bytes());
  EXPECT_FALSE(host.Disk("/no/such/directory/file").ok());
  EXPECT_FALSE(host.Disk("/dev/null").ok());
  std::remove(file.c_str());
}

TEST(ParseDurationTest, ReadsWhatItWrites) {
  for (const int64_t us : {int64_t{0}, int64_t{1}, int64_t{250'000}, int64_t{90'000'000}}) {
    Micros read{-1};
    ASSERT_TRUE(ParseDuration(FormatDuration(Micros(us)), &read).ok()) << us;
    EXPECT_EQ(read.count(), us);
  }
  Micros unused{};
  for (const char* wrong : {"", "5", "s", "-1s", "1h", "1e3s", "nans", "99999999999min"}) {
    EXPECT_FALSE(ParseDuration(wrong, &unused).ok()) << wrong;
  }
}

}  // namespace
}  // namespace residency
