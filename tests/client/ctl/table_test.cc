#include "client/ctl/table.h"

#include "gtest/gtest.h"

namespace residency::ctl {
namespace {

Table Sample() {
  Table table({{"NAME", Align::kLeft, true}, {"SIZE", Align::kRight}, {"NOTE"}});
  table.AddRow({"short", "1", "a"});
  table.AddRow({"a.rather.long.name", "12345", ""});
  return table;
}

TEST(TableTest, AlignsColumnsAndLeavesNoTrailingSpaces) {
  EXPECT_EQ(Sample().Render(View{}),
            "NAME                 SIZE  NOTE\n"
            "short                   1  a\n"
            "a.rather.long.name  12345\n");
}

TEST(TableTest, WithoutHeadersOnlyRowsCountForWidths) {
  View view;
  view.headers = false;
  Table table({{"A LONG HEAD"}, {"B"}});
  table.AddRow({"x", "y"});
  EXPECT_EQ(table.Render(view), "x  y\n");
}

TEST(TableTest, ElasticColumnsShrinkToTheTerminal) {
  View view;
  view.width = 27;
  EXPECT_EQ(Sample().Render(view),
            "NAME             SIZE  NOTE\n"
            "short               1  a\n"
            "a.rather.long~  12345\n");
}

TEST(TableTest, NoLineIsWiderThanTheTerminal) {
  View view;
  view.width = 18;
  EXPECT_EQ(Sample().Render(view),
            "NAME       SIZE  ~\n"
            "short         1  a\n"
            "a.rathe~  12345\n");
}

TEST(TableTest, IndentsEachLine) {
  View view;
  view.indent = 2;
  Table table({{"A"}});
  table.AddRow({"x"});
  EXPECT_EQ(table.Render(view), "  A\n  x\n");
}

TEST(TableTest, ColourDoesNotDisturbTheColumns) {
  View view;
  view.style = Style(true);
  Table table({{"A"}, {"B"}});
  table.AddRow({Cell("ok", Paint::kGood), "1"});
  EXPECT_EQ(table.Render(view),
            "\x1b[1mA\x1b[0m   \x1b[1mB\x1b[0m\n"
            "\x1b[32mok\x1b[0m  1\n");
}

TEST(TableTest, NamesCannotDriveTheTerminal) {
  Table table({{"NAME"}});
  table.AddRow({"evil\x1b[2J\nname"});
  EXPECT_EQ(table.Render(View{}), "NAME\nevil\\x1b[2J\\x0aname\n");
}

}  // namespace
}  // namespace residency::ctl
