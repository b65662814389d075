// The rules, held against the repository itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/structure/rules.h"

namespace residency::structure {
namespace {

using ::testing::IsEmpty;
using ::testing::Not;

std::vector<SourceFile> Code() { return ReadSources(RESIDENCY_SOURCE_DIR, CodeFolders()); }

TEST(StructureTest, TheRepositoryIsFound) {
  EXPECT_THAT(ReadSources(RESIDENCY_SOURCE_DIR, {"core"}), Not(IsEmpty()));
}

TEST(StructureTest, FoldersIncludeOnlyWhatTheyMay) {
  EXPECT_THAT(IncludeDirection(Code()), IsEmpty());
}

TEST(StructureTest, CoreAndPolicyTouchNothing) { EXPECT_THAT(PureFolders(Code()), IsEmpty()); }

TEST(StructureTest, OutsideLibrariesHaveFewUsers) { EXPECT_THAT(LibraryUsers(Code()), IsEmpty()); }

TEST(StructureTest, SourceFilesAreShort) { EXPECT_THAT(FileLength(Code()), IsEmpty()); }

TEST(StructureTest, TestsDoNotSleep) {
  EXPECT_THAT(Sleeps(ReadSources(RESIDENCY_SOURCE_DIR, {"tests"})), IsEmpty());
}

TEST(StructureTest, EveryFolderSaysWhatIsInIt) {
  EXPECT_THAT(Readmes(RESIDENCY_SOURCE_DIR), IsEmpty());
}

}  // namespace
}  // namespace residency::structure
