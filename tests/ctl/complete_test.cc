#include "tools/assentctl/complete.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/ctl/fakes.h"
#include "tools/assentctl/command_line.h"
#include "tools/assentctl/commands.h"

namespace assent::ctl {
namespace {

// What is offered, as values; remembers what the coordinator was asked.
class CompleteTest : public ::testing::Test {
 protected:
  std::vector<std::string> Values(const std::vector<std::string>& words) {
    std::vector<std::string> values;
    const auto lookup = [this](const std::string& kind, const std::string& prefix,
                               const std::string& gid) {
      asked = kind + "|" + prefix + "|" + gid;
      return std::vector<Candidate>{{"order-17", "ACTIVE"}, {"other", ""}};
    };
    for (const Candidate& candidate : Complete(words, lookup)) values.push_back(candidate.value);
    return values;
  }
  bool Offers(const std::vector<std::string>& words, const std::string& value) {
    const auto values = Values(words);
    return std::find(values.begin(), values.end(), value) != values.end();
  }
  std::string asked;
};

using Words = std::vector<std::string>;

TEST_F(CompleteTest, Commands) {
  EXPECT_EQ((Words{"resume", "resolve", "restore"}), Values({"res"}));
  Words all = CommandNames();
  all.erase(std::remove_if(all.begin(), all.end(),
                           [](const std::string& name) { return name.find(' ') != name.npos; }),
            all.end());
  EXPECT_EQ(all, Values({""}));
  EXPECT_EQ(all, Values({"--endpoint", "x", ""}));
}

TEST_F(CompleteTest, Flags) {
  EXPECT_EQ((Words{"--page-size", "--page-token"}), Values({"list", "--pa"}));
  EXPECT_TRUE(Offers({"list", "--"}, "--endpoint"));
  EXPECT_TRUE(Offers({"--"}, "--profile"));
  EXPECT_FALSE(Offers({"--"}, "--page-size"));
}

TEST_F(CompleteTest, ValuesOfFlags) {
  EXPECT_EQ((Words{"active", "committing", "aborting", "finished"}),
            Values({"list", "--state", ""}));
  EXPECT_EQ((Words{"json", "jsonl"}), Values({"list", "-o", "js"}));
  EXPECT_EQ((Words{"json", "jsonl"}), Values({"list", "--output", "js"}));
  EXPECT_EQ((Words{"decided", "completed", "accepted"}), Values({"submit", "--for", ""}));
  EXPECT_EQ((Words{"decided", "completed"}), Values({"wait", "--for", ""}));
  EXPECT_EQ((Words{}), Values({"list", "--min-age", ""}));
}

TEST_F(CompleteTest, Arguments) {
  EXPECT_EQ((Words{"order-17"}), Values({"show", "order"}));
  EXPECT_EQ("GID|order|", asked);
  EXPECT_EQ((Words{}), Values({"show", "order-17", ""}));
  EXPECT_EQ((Words{"order-17", "other"}), Values({"retry", "a", "b", "c", ""}));
  (void)Values({"list", "--service", "in"});
  EXPECT_EQ("SERVICE|in|", asked);
  (void)Values({"resolve", "--reason", "why", "order-17", ""});
  EXPECT_EQ("BRANCH||order-17", asked);
  EXPECT_EQ((Words{"commit", "abort"}), Values({"resolve", "order-17", "2", ""}));
  // Filters choose: no gid has a place.
  EXPECT_EQ((Words{"commit", "abort"}), Values({"resolve", "--all", "--service", "s", ""}));
  EXPECT_EQ((Words{}), Values({"retry", "--all", ""}));
  EXPECT_EQ((Words{"bash", "zsh", "fish"}), Values({"completion", ""}));
  EXPECT_EQ((Words{kFilesPlease}), Values({"submit", "or"}));
}

TEST_F(CompleteTest, BelowCluster) {
  EXPECT_EQ((Words{"status", "locate", "drain", "move", "unpin", "fence", "restored"}),
            Values({"cluster", ""}));
  EXPECT_EQ((Words{"--undo"}), Values({"cluster", "drain", "--u"}));
  EXPECT_EQ((Words{"other"}), Values({"cluster", "drain", "oth"}));
  EXPECT_EQ("NODE|oth|", asked);
  EXPECT_EQ((Words{"order-17", "other"}), Values({"cluster", "move", "1", "2", ""}));
  EXPECT_EQ("NODE||1", asked);
  (void)Values({"cluster", "locate", "ord"});
  EXPECT_EQ("GID|ord|", asked);
}

TEST_F(CommandTest, CompletionAsksTheCoordinatorAndSurvivesItsAbsence) {
  v1::ListReply page;
  *page.add_transactions() = Active("order-17");
  *page.add_transactions() = Aborted("order-18");
  service.list.push_back(page);
  EXPECT_EQ(Exit::kDone, RunComplete({{"show", "order"}}, session));
  EXPECT_EQ("order-17\tACTIVE\norder-18\tABORTED\n", console.out);
  EXPECT_EQ("order", service.listed[0].gid_prefix());
  console.out.clear();
  service.list.push_back(Unavailable("nobody there"));
  EXPECT_EQ(Exit::kDone, RunComplete({{"show", "order"}}, session));
  EXPECT_EQ("", console.out);
  EXPECT_EQ("", console.err);
}

TEST_F(CommandTest, CompletionOfBranchesAndServices) {
  v1::Transaction transaction = Active("g");
  auto* branch = transaction.add_branches();
  branch->mutable_spec()->set_branch_id("2");
  branch->mutable_spec()->set_service("inventory");
  branch->mutable_spec()->set_action("reserve");
  branch->set_state(v1::UNDOING);
  service.get.push_back(transaction);
  EXPECT_EQ(Exit::kDone, RunComplete({{"resolve", "g", ""}}, session));
  v1::ListParticipantsReply participants;
  participants.add_participants()->set_service("inventory");
  service.participants.push_back(participants);
  EXPECT_EQ(Exit::kDone, RunComplete({{"list", "--service", "inv"}}, session));
  v1::ClusterView view;
  view.add_members()->set_node("north");
  view.mutable_members(0)->set_address("host:7400");
  service.cluster.push_back(view);
  EXPECT_EQ(Exit::kDone, RunComplete({{"cluster", "fence", "no"}}, session));
  EXPECT_EQ("2\tinventory/reserve UNDOING\ninventory\t\nnorth\thost:7400\n", console.out);
}

}  // namespace
}  // namespace assent::ctl
