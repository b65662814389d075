// Each rule finds what it is there to find, and nothing else, in small made-up files.
#include "tests/structure/rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace residency::structure {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

SourceFile Including(std::string path, std::string_view target) {
  return ParseSource(std::move(path), "#pragma once\n#include \"" + std::string(target) + "\"\n");
}

TEST(ParseSourceTest, IncludesAreFoundInEveryForm) {
  const SourceFile file = ParseSource(
      "core/a.cc", "#include <vector>\n // #include \"no.h\"\n  #  include \"core/b.h\"");
  ASSERT_EQ(file.includes.size(), 2u);
  EXPECT_EQ(file.includes[0].target, "vector");
  EXPECT_FALSE(file.includes[0].quoted);
  EXPECT_EQ(file.includes[1].target, "core/b.h");
  EXPECT_EQ(file.includes[1].line, 3);
  EXPECT_EQ(file.lines.size(), 3u);
}

TEST(IncludeDirectionTest, EveryForbiddenDirectionIsAFinding) {
  const std::pair<const char*, const char*> forbidden[] = {
      {"core/a.h", "policy/b.h"},
      {"core/a.h", "proto/residency/v1/types.pb.h"},
      {"policy/a.h", "movers/b.h"},
      {"policy/a.h", "daemon/b.h"},
      {"movers/a.h", "policy/b.h"},
      {"sim/a.h", "movers/b.h"},
      {"client/a.h", "core/bytes.h"},
      {"client/a.h", "daemon/b.h"},
      {"daemon/a.h", "client/b.h"},
      {"daemon/a.h", "sim/b.h"},
      {"core/a.h", "residency/v1/types.pb.h"},
      {"daemon/a.h", "tests/b.h"},
  };
  for (const auto& [from, to] : forbidden) {
    EXPECT_THAT(IncludeDirection({Including(from, to)}),
                ElementsAre(HasSubstr(std::string(from) + ":2: includes " + to)));
  }
}

TEST(IncludeDirectionTest, AllowedDirectionsAndOutsideLibrariesAreNot) {
  const std::pair<const char*, const char*> allowed[] = {
      {"core/a.h", "core/b.h"},      {"policy/a.h", "core/b.h"},
      {"movers/a.h", "core/b.h"},    {"sim/a.h", "policy/b.h"},
      {"daemon/a.h", "movers/b.h"},  {"daemon/a.h", "residency/v1/engine.grpc.pb.h"},
      {"client/a.h", "proto/x.h"},   {"client/demo/a.cc", "sim/trace.h"},
      {"core/a.h", "absl/status.h"}, {"tests/core/a.cc", "daemon/b.h"},
  };
  for (const auto& [from, to] : allowed) {
    EXPECT_THAT(IncludeDirection({Including(from, to)}), IsEmpty()) << from << " -> " << to;
  }
}

TEST(PureFoldersTest, SystemHeadersAreBarredFromCoreAndPolicyAlone) {
  for (const char* header : {"mutex", "thread", "sys/mman.h", "unistd.h", "spdlog/spdlog.h",
                             "grpcpp/grpcpp.h", "liburing.h"}) {
    EXPECT_EQ(PureFolders({Including("core/a.cc", header)}).size(), 1u) << header;
    EXPECT_EQ(PureFolders({Including("policy/a.cc", header)}).size(), 1u) << header;
    EXPECT_THAT(PureFolders({Including("movers/a.cc", header)}), IsEmpty()) << header;
  }
  EXPECT_THAT(PureFolders({Including("core/a.cc", "vector")}), IsEmpty());
}

TEST(LibraryUsersTest, ASecondUserOfLiburingIsAFinding) {
  const SourceFile first = Including("movers/ring.cc", "liburing.h");
  EXPECT_THAT(LibraryUsers({first}), IsEmpty());
  EXPECT_THAT(LibraryUsers({first, Including("movers/other.cc", "liburing.h")}),
              ElementsAre(HasSubstr("movers/other.cc movers/ring.cc")));
}

TEST(LibraryUsersTest, SqliteMayBeKnownToOnePairOfFiles) {
  const SourceFile header = Including("daemon/database.h", "sqlite3.h");
  const SourceFile source = Including("daemon/database.cc", "sqlite3.h");
  EXPECT_THAT(LibraryUsers({header, source}), IsEmpty());
  EXPECT_EQ(LibraryUsers({header, source, Including("daemon/catalogue.cc", "sqlite3.h")}).size(),
            1u);
}

TEST(LibraryUsersTest, GrpcStaysInServicesAndTheClient) {
  EXPECT_THAT(LibraryUsers({Including("client/client.cc", "grpcpp/channel.h"),
                            Including("daemon/engine_service.cc", "grpcpp/server.h")}),
              IsEmpty());
  EXPECT_EQ(LibraryUsers({Including("daemon/catalogue.cc", "grpcpp/server.h")}).size(), 1u);
  EXPECT_EQ(LibraryUsers({Including("movers/ring.cc", "residency/v1/engine.grpc.pb.h")}).size(),
            1u);
}

TEST(LibraryUsersTest, CudaStaysInFilesNamedForIt) {
  EXPECT_THAT(LibraryUsers({Including("movers/cuda_device.cc", "cuda_runtime.h")}), IsEmpty());
  EXPECT_EQ(LibraryUsers({Including("movers/arena.cc", "cuda_runtime.h")}).size(), 1u);
}

TEST(FileLengthTest, OneLineTooManyIsAFinding) {
  std::string text;
  for (int i = 0; i < kSourceLinesMax; ++i) text += "\n";
  EXPECT_THAT(FileLength({ParseSource("core/a.cc", text)}), IsEmpty());
  EXPECT_EQ(FileLength({ParseSource("core/a.cc", text + "\n")}).size(), 1u);
}

TEST(SleepsTest, EveryKindOfSleepIsAFinding) {
  for (const char* line : {"std::this_thread::sleep_for(1s);", "usleep(5);", "  sleep(1);",
                           "::sleep(1);", "absl::SleepFor(d);"}) {
    EXPECT_EQ(Sleeps({ParseSource("tests/core/a_test.cc", line)}).size(), 1u) << line;
  }
  EXPECT_THAT(Sleeps({ParseSource("tests/core/a_test.cc", "asleep(); // no sleeps")}), IsEmpty());
}

TEST(ReadmesTest, MissingAndOverlongReadmesAreFindings) {
  const std::filesystem::path root =
      std::filesystem::path(testing::TempDir()) / "structure_rules_test_readmes";
  std::filesystem::remove_all(root);
  for (const char* folder : {"core", "policy", "sim"}) {
    std::filesystem::create_directories(root / folder);
  }
  std::ofstream(root / "core" / "README.md") << "What is in it.\n";
  std::ofstream(root / "sim" / "README.md") << std::string(kReadmeLinesMax + 1, '\n');
  EXPECT_THAT(Readmes(root), ElementsAre(HasSubstr("policy/README.md: missing"),
                                         HasSubstr("sim/README.md: 41 lines")));
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace residency::structure
