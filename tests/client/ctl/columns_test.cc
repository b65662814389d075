#include "client/ctl/columns.h"

#include "gmock/gmock.h"

namespace residency::ctl {
namespace {

using testing::ElementsAre;

TEST(ColumnsTest, ColoursTakeNoRoomAndEndWhereTheLineIsCut) {
  const std::string line = "a\x1b[31mbcd\x1b[0me";
  EXPECT_EQ(VisibleWidth(line), 5u);
  EXPECT_EQ(CutLine(line, 5), line);
  EXPECT_EQ(CutLine(line, 2), "a\x1b[31mb\x1b[0m");
  EXPECT_EQ(CutLine(line, 4), "a\x1b[31mbcd\x1b[0m");
  EXPECT_EQ(CutLine("\xC3\xA9\xC3\xA9", 1), "\xC3\xA9");
}

TEST(ColumnsTest, LinesStandSideBySideWhereverTheyEnd) {
  EXPECT_THAT(SplitLines("a\n\nb\n"), ElementsAre("a", "", "b"));
  EXPECT_THAT(SideBySide({"\x1b[1mab\x1b[0m"}, {"x", "y"}, 4),
              ElementsAre("\x1b[1mab\x1b[0m  x", "    y"));
}

}  // namespace
}  // namespace residency::ctl
