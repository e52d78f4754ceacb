#include <string>

#include <gtest/gtest.h>

#include "tests/ctl/fakes.h"
#include "tools/assentctl/commands.h"

namespace assent::ctl {
namespace {

class AuditTest : public CommandTest {
 protected:
  static v1::ListAuditReply Page(int entries, const std::string& next) {
    v1::ListAuditReply page;
    for (int i = 0; i < entries; ++i) page.add_entries()->set_gid("g");
    page.set_next_page_token(next);
    return page;
  }
  Exit Run(const AuditCommand& command) { return RunAudit(command, session); }
};

// The coordinator looks at so many entries for one answer, and may find none of those that are
// meant among them.
TEST_F(AuditTest, APageIsFilledHoweverManyAnswersThatTakes) {
  session.options.output = Output::kId;
  service.audit = {Page(0, "x"), Page(30, "y"), Page(20, "z")};
  EXPECT_EQ(Exit::kDone, Run({}));
  ASSERT_EQ(service.audited.size(), 3U);
  EXPECT_EQ(service.audited[1].page_token(), "x");
  EXPECT_EQ(service.audited[1].page_size(), 50U);
  EXPECT_EQ(service.audited[2].page_token(), "y");
  EXPECT_EQ(service.audited[2].page_size(), 20U);
  EXPECT_EQ(console.out.size(), 100U);
  EXPECT_EQ(console.err, "there are more: add --page-token z or --all-pages\n");
}

TEST_F(AuditTest, EveryPageOrAsFarBackAsWasSaid) {
  service.audit = {Page(2, "x"), Page(1, "")};
  AuditCommand command;
  command.request.set_page_size(2);
  command.all_pages = true;
  command.since = std::chrono::hours(1);
  EXPECT_EQ(Exit::kDone, Run(command));
  EXPECT_EQ(service.audited[1].page_size(), 2U);
  EXPECT_EQ(service.audited[0].since_unix_ms(), 1'800'000'000'000 - 3'600'000);
  EXPECT_EQ(console.err, "");
}

TEST_F(AuditTest, NothingAndFailure) {
  service.audit = {Page(0, ""), Unavailable("gone")};
  EXPECT_EQ(Exit::kDone, Run({}));
  EXPECT_EQ(console.err, "nothing is on record\n");
  EXPECT_EQ(Exit::kCannotConnect, Run({}));
}

TEST_F(AuditTest, TheSameTokenTwiceIsNoWayOn) {
  service.audit = {Page(1, "x"), Page(1, "x")};
  AuditCommand command;
  command.all_pages = true;
  EXPECT_EQ(Exit::kOther, Run(command));
}

}  // namespace
}  // namespace assent::ctl
