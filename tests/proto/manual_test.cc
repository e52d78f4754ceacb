#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

#include "proto/manual/man_page.h"
#include "proto/manual/wrap.h"

namespace assent {
namespace {

std::string Page(const CLI::App& app) {
  return ManPage(app,
                 {.section = 1, .version = "1.2", .date = "2026-01-02", .see_also = "other(8)"});
}

bool Has(const std::string& page, const std::string& what) {
  return page.find(what) != std::string::npos;
}

TEST(Wrap, AtBlanks) {
  EXPECT_EQ("", Wrap("", 10));
  EXPECT_EQ("one two", Wrap("one two", 7));
  EXPECT_EQ("one\ntwo", Wrap("one two", 6));
  EXPECT_EQ("a\nverylongword\nb", Wrap("a verylongword b", 5));
  EXPECT_EQ("é é\né", Wrap("é é é", 4));
}

TEST(ManPage, IsMadeOfTheDescription) {
  CLI::App app("Does things.", "tool");
  std::string text;
  bool flag = false;
  app.add_option("-o,--output", text, "How it looks")->type_name("HOW")->default_str("table");
  CLI::App& sub = *app.add_subcommand("do", "One thing");
  sub.add_option("GID", text, "Which")->type_name("GID")->required();
  sub.add_flag("--dry-run", flag, "Nothing is done");
  sub.footer("Examples:\n  tool do 1\n");
  sub.add_subcommand("deeper", "Below")->add_option("[A...] B", text, "Some")->required();
  app.add_subcommand("__hidden", "Nobody's")->group("");
  app.footer("Examples:\n  tool do 2\n\nA flag wins.\n\nExit codes:\n  0 done\n");

  const std::string page = Page(app);
  EXPECT_EQ(0U, page.find(".TH TOOL 1 2026-01-02 \"assent 1.2\" Assent\n"
                          ".SH \"NAME\"\ntool \\- Does things\n"))
      << page;
  EXPECT_TRUE(Has(page, "\\fBtool\\fR [\\fIOPTIONS\\fR] [\\fICOMMAND\\fR]\n")) << page;
  EXPECT_TRUE(Has(page,
                  ".TP\n\\fB\\-o\\fR, \\fB\\-\\-output\\fR \\fIHOW\\fR\n"
                  "How it looks (default table)\n"))
      << page;
  EXPECT_TRUE(Has(page,
                  ".SS \"\\fBtool do\\fR [\\fIOPTIONS\\fR] \\fIGID\\fR [\\fICOMMAND\\fR]\"\n"
                  "One thing\n.TP\n\\fIGID\\fR\nWhich\n"
                  ".TP\n\\fB\\-\\-dry\\-run\\fR\nNothing is done\n"
                  ".PP\nExamples:\n.RS\n.EX\ntool do 1\n.EE\n.RE\n"
                  ".SS \"\\fBtool do deeper\\fR \\fI[A...] B\\fR\"\n"))
      << page;
  EXPECT_TRUE(Has(page,
                  ".SH \"EXAMPLES\"\n.RS\n.EX\ntool do 2\n.EE\n.RE\n.PP\nA flag wins.\n"
                  ".SH \"EXIT CODES\"\n.RS\n.EX\n0 done\n.EE\n.RE\n"
                  ".SH \"SEE ALSO\"\nother(8)\n"))
      << page;
  EXPECT_FALSE(Has(page, "hidden"));
  // Its own help is the program's alone.
  EXPECT_EQ(page.find("\\-\\-help"), page.rfind("\\-\\-help"));
}

TEST(ManPage, NothingInATextIsTakenForACommand) {
  CLI::App app("A \\ back, 'quotes', \"more\", .hidden files and - dashes", "tool");
  EXPECT_TRUE(Has(Page(app),
                  "tool \\- A \\e back, \\(aqquotes\\(aq, \\(dqmore\\(dq, \\&.hidden files and \\- "
                  "dashes\n"));
}

TEST(ManPage, TheDayOfAReproducibleBuildIsGiven) {
  ::setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
  EXPECT_EQ("2023-11-14", ManDate());
  ::unsetenv("SOURCE_DATE_EPOCH");
  EXPECT_EQ(10U, ManDate().size());
}

}  // namespace
}  // namespace assent
