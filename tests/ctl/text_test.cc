#include "tools/assentctl/text.h"

#include <string>

#include <gtest/gtest.h>

#include "tools/assentctl/duration.h"
#include "tools/assentctl/table.h"

namespace assent::ctl {
namespace {

TEST(Duration, Reads) {
  EXPECT_EQ(250, ParseDuration("250ms").value());
  EXPECT_EQ(5'000, ParseDuration("5s").value());
  EXPECT_EQ(120'000, ParseDuration("2m").value());
  EXPECT_EQ(3'600'000, ParseDuration("1h").value());
  EXPECT_EQ(7LL * 86'400'000, ParseDuration("7d").value());
  EXPECT_EQ(5'400'000, ParseDuration("1h30m").value());
  EXPECT_EQ(60'001, ParseDuration("1m1ms").value());
  EXPECT_EQ(0, ParseDuration("0").value());
}

TEST(Duration, RefusesWhatIsNoDuration) {
  for (const char* text : {"", "5", "s", "-5s", "5 s", "1.5s", "5sec", "1m1h", "1s1s", "5S",
                           "99999999999999999s", "9223372036854775d", " 5s", "5s "}) {
    EXPECT_FALSE(ParseDuration(text).ok()) << text;
  }
}

TEST(Duration, Writes) {
  EXPECT_EQ("0 ms", FormatDuration(0));
  EXPECT_EQ("0 ms", FormatDuration(-5));
  EXPECT_EQ("999 ms", FormatDuration(999));
  EXPECT_EQ("14 s", FormatDuration(14'999));
  EXPECT_EQ("2 min 5 s", FormatDuration(125'000));
  EXPECT_EQ("12 min", FormatDuration(755'000));
  EXPECT_EQ("1 h", FormatDuration(3'600'000));
  EXPECT_EQ("3 h 20 min", FormatDuration(12'000'000));
  EXPECT_EQ("4 d 2 h", FormatDuration(4 * 86'400'000LL + 2 * 3'600'000LL));
  EXPECT_EQ("850 us", FormatLatency(850));
  EXPECT_EQ("1.20 ms", FormatLatency(1'203));
  EXPECT_EQ("12.4 ms", FormatLatency(12'400));
  EXPECT_EQ("124 ms", FormatLatency(124'000));
  EXPECT_EQ("3.02 s", FormatLatency(3'020'000));
  EXPECT_EQ("1 min 3 s", FormatLatency(63'000'000));
  EXPECT_EQ("0.019 s", FormatStopwatch(19));
  EXPECT_EQ("59.999 s", FormatStopwatch(59'999));
  EXPECT_EQ("1:20.000", FormatStopwatch(80'000));
  EXPECT_EQ("1:02:03.004", FormatStopwatch(3'723'004));
  EXPECT_EQ("2027-01-15T08:00:00.007Z", FormatIso(1'800'000'000'007));
  EXPECT_EQ("1969-12-31T23:59:59.999Z", FormatIso(-1));
}

TEST(Text, VisibleEscapesTheRest) {
  EXPECT_EQ("a\\nb\\t\\r\\x1b[2J\\xff é", Visible("a\nb\t\r\x1b[2J\xff é"));
  EXPECT_EQ("\\xc2\\x9b", Visible("\xc2\x9b"));
  EXPECT_EQ("\\x00", Visible(std::string_view("\0", 1)));
}

// Right-to-left override and its like, which turn what stands beside them, and characters that
// nobody sees.
TEST(Text, VisibleEscapesWhatNobodySees) {
  EXPECT_EQ("paid\\u202e00.01", Visible("paid\xe2\x80\xae"
                                        "00.01"));
  EXPECT_EQ("\\u2066\\u2069\\u200f\\u061c\\u200b\\ufeff",
            Visible("\xe2\x81\xa6\xe2\x81\xa9\xe2\x80\x8f\xd8\x9c\xe2\x80\x8b\xef\xbb\xbf"));
  EXPECT_EQ("\\U000e0041", Visible("\xf3\xa0\x81\x81"));
  EXPECT_EQ("שלום مرحبا é€😀", Visible("שלום مرحبا é€😀"));
}

TEST(Text, CutsByColumnsNotBytes) {
  EXPECT_EQ(3U, Columns("é€😀"));
  EXPECT_EQ("é€😀", Cut("é€😀", 3));
  EXPECT_EQ("é…", Cut("é€😀", 2));
  EXPECT_EQ("…", Cut("abc", 1));
  EXPECT_EQ("", Cut("abc", 0));
}

TEST(Text, Sizes) {
  EXPECT_EQ("0 B", FormatBytes(0));
  EXPECT_EQ("1023 B", FormatBytes(1023));
  EXPECT_EQ("1.5 KiB", FormatBytes(1536));
  EXPECT_EQ("1.0 MiB", FormatBytes(1024 * 1024));
  EXPECT_EQ("1 attempt", Count(1, "attempt"));
  EXPECT_EQ("0 attempts", Count(0, "attempt"));
}

TEST(Table, AlignsLeavesOutEmptyColumnsAndTrailingSpace) {
  Table table({"ID", "EMPTY", "NAME", "LAST"});
  table.Add({"1", "", "é", "x"});
  table.Add({"222", "", "long name", ""});
  EXPECT_EQ("ID   NAME       LAST\n1    é          x\n222  long name\n", table.Render(Style{}));
}

TEST(Table, ANarrowTerminalCutsTheLastColumnButNotToNothing) {
  Table table({"ID", "WHY"});
  table.Add({"1", "a long reason that does not fit"});
  Style style;
  style.columns = 24;
  EXPECT_EQ("ID  WHY\n1   a long reason that …\n", table.Render(style));
  style.columns = 10;
  EXPECT_EQ("ID  WHY\n1   a long reason that does not fit\n", table.Render(style));
}

}  // namespace
}  // namespace assent::ctl
