// resolve --all: one command ends what waits for a service that will never come.

#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/ctl/fakes.h"
#include "tools/assentctl/commands.h"

namespace assent::ctl {
namespace {

class ResolveAllTest : public CommandTest {
 protected:
  static v1::Branch& AddBranch(v1::Transaction& transaction, const std::string& id,
                               const std::string& service, v1::BranchState state,
                               v1::Protocol protocol = v1::TCC) {
    v1::Branch& branch = *transaction.add_branches();
    branch.mutable_spec()->set_branch_id(id);
    branch.mutable_spec()->set_protocol(protocol);
    branch.mutable_spec()->set_service(service);
    branch.mutable_spec()->set_action("charge");
    branch.set_state(state);
    return branch;
  }
  // Aborted; stock has undone its part, paymnet is waited for.
  static v1::Transaction Aborting(const std::string& gid) {
    v1::Transaction transaction = Transaction(gid, v1::ABORTING, v1::DECISION_ABORT, v1::ABORTED);
    AddBranch(transaction, "stock", "stock", v1::UNDONE);
    AddBranch(transaction, "pay", "paymnet", v1::UNDOING);
    return transaction;
  }
  static v1::ListReply Page(std::initializer_list<v1::Transaction> transactions) {
    v1::ListReply page;
    for (const auto& one : transactions) *page.add_transactions() = one;
    return page;
  }
  static ResolveCommand All(v1::Decision resolution, Intent intent) {
    ResolveCommand command;
    command.all = true;
    command.resolution = resolution;
    command.intent = std::move(intent);
    command.which.set_service("paymnet");
    return command;
  }
  static Intent Yes() { return {"there is no such service", "", false, true}; }
  const v1::ResolveBranchRequest& Sent(std::size_t at) {
    return std::get<v1::ResolveBranchRequest>(service.operated.at(at));
  }
};

TEST_F(ResolveAllTest, EachBranchOfTheServiceThatIsNotEnded) {
  v1::Transaction both = Aborting("b");
  AddBranch(both, "tip", "paymnet", v1::UNDOING, v1::SAGA);
  service.list.push_back(Page({Aborting("a"), both}));
  for (int i = 0; i < 3; ++i) service.operate.push_back(Effect("taken as aborted"));
  EXPECT_EQ(Exit::kDone, RunResolve(All(v1::DECISION_ABORT, Yes()), session));
  EXPECT_EQ("resolve: 3 done, 0 failed\n", console.out);
  EXPECT_EQ(
      "Of 2 tcc branches you declare that paymnet has cancelled (released) what it reserved.\n"
      "  If it is not so: cancel it there by hand, or it stays reserved.\n"
      "Of 1 saga branch you declare that paymnet has undone the effect of this step.\n"
      "  If it is not so: undo it there by hand, or the effect stays.\n"
      "  Nothing more is sent to it for them.\n",
      console.err);
  EXPECT_EQ("paymnet", service.listed.at(0).service());
  EXPECT_EQ("a", Sent(0).action().gid());
  EXPECT_EQ("pay", Sent(0).branch_id());
  EXPECT_EQ("tip", Sent(2).branch_id());
  EXPECT_EQ(v1::DECISION_ABORT, Sent(2).resolution());
  EXPECT_EQ("there is no such service", Sent(2).action().reason());
  EXPECT_TRUE(Sent(2).action().if_unfinished());
}

TEST_F(ResolveAllTest, ACauseNamesTheServiceAndItsAction) {
  ResolveCommand command = All(v1::DECISION_ABORT, Yes());
  command.which.clear_service();
  command.which.set_cause("c0123456789");
  v1::ListCausesReply causes;
  causes.add_causes()->set_service("paymnet");
  causes.mutable_causes(0)->set_action("charge");
  service.causes.push_back(causes);
  v1::Transaction other = Aborting("a");
  AddBranch(other, "tip", "paymnet", v1::UNDOING).mutable_spec()->set_action("tip");
  service.list.push_back(Page({other}));
  service.operate.push_back(Effect("taken as aborted"));
  EXPECT_EQ(Exit::kDone, RunResolve(command, session));
  EXPECT_EQ("c0123456789", service.counted.at(0).cause());
  EXPECT_EQ("c0123456789", service.listed.at(0).cause());
  EXPECT_EQ("pay", Sent(0).branch_id());

  // Suspended, or under way: nobody's branch.
  causes.mutable_causes(0)->clear_service();
  causes.mutable_causes(0)->set_sentence("under way");
  service.causes.push_back(causes);
  EXPECT_EQ(Exit::kUsage, RunResolve(command, session));
  EXPECT_NE(std::string::npos, console.err.find("cause c0123456789 (under way) is of no service"));
  service.causes.push_back(v1::ListCausesReply());
  service.list.push_back(v1::ListReply());
  EXPECT_EQ(Exit::kDone, RunResolve(command, session));
  EXPECT_NE(std::string::npos, console.err.find("no transaction matches: nothing to resolve"));
}

TEST_F(ResolveAllTest, WhatCannotBeResolvedYetOrWouldBeDecidedWholeIsLeftOut) {
  v1::Transaction undecided = Active("u");
  AddBranch(undecided, "pay", "paymnet", v1::EXECUTING);
  AddBranch(undecided, "late", "paymnet", v1::WAITING);
  v1::Transaction pivot = Active("p");
  AddBranch(pivot, "pay", "paymnet", v1::EXECUTING, v1::SAGA).mutable_spec()->set_pivot(true);
  v1::Transaction one_phase = Active("o");
  AddBranch(one_phase, "pay", "paymnet", v1::EXECUTING, v1::TWO_PHASE);
  v1::Transaction held = Active("h");
  AddBranch(held, "pay", "paymnet", v1::EXECUTING, v1::SAGA).mutable_spec()->set_pivot(true);
  held.set_held(true);
  v1::Transaction through = Active("t");
  AddBranch(through, "pay", "paymnet", v1::SKIPPED);
  service.list.push_back(Page({undecided, pivot, one_phase, held, through}));
  service.operate.push_back(Effect("taken as aborted"));
  service.operate.push_back(Effect("taken as aborted"));
  EXPECT_EQ(Exit::kDone, RunResolve(All(v1::DECISION_ABORT, Yes()), session));
  ASSERT_EQ(2U, service.operated.size());
  EXPECT_EQ("p", Sent(0).action().gid());
  EXPECT_EQ("o", Sent(1).action().gid());
  EXPECT_EQ(0U, console.err.find(
                    "1 more is not decided, and left out: abort first (assentctl abort --all)\n"
                    "1 more is held, and left out: there it would say how the whole was decided "
                    "(assentctl resolve GID)\n"));
}

TEST_F(ResolveAllTest, AgainstTheDecisionIsSaidBeforeTheQuestion) {
  session.surroundings.in_is_terminal = true;
  console.lines = {"seen there", "n"};
  service.list.push_back(Page({Aborting("a"), Aborting("b")}));
  EXPECT_EQ(Exit::kOther, RunResolve(All(v1::DECISION_COMMIT, {}), session));
  EXPECT_EQ(0U, console.err.find("Reason (for the record): 2 transactions: 2 ABORTING; "));
  EXPECT_NE(std::string::npos,
            console.err.find("  2 of them are decided ABORT: this contradicts it, and the outcome "
                             "becomes MIXED.\nGo on? [y/N] "));
  EXPECT_TRUE(service.operated.empty());
}

TEST_F(ResolveAllTest, WithoutATerminalAReasonAndConsentAreFlags) {
  service.list.push_back(Page({Aborting("a")}));
  EXPECT_EQ(Exit::kUsage, RunResolve(All(v1::DECISION_ABORT, {"why", "", false, false}), session));
  EXPECT_NE(std::string::npos, console.err.find("resolve --all would act on 1 of them"));
  service.list.push_back(Page({Aborting("a")}));
  EXPECT_EQ(Exit::kUsage, RunResolve(All(v1::DECISION_ABORT, {"", "", false, true}), session));
  EXPECT_NE(std::string::npos, console.err.find("resolve wants --reason"));
  EXPECT_TRUE(service.operated.empty());
}

TEST_F(ResolveAllTest, ADryRunCountsAndSaysWhatItMeans) {
  session.options.output = Output::kJson;
  service.list.push_back(Page({Aborting("a"), Aborting("b")}));
  EXPECT_EQ(Exit::kDone, RunResolve(All(v1::DECISION_ABORT, {"", "", true, false}), session));
  const auto json = nlohmann::json::parse(console.out);
  EXPECT_EQ(json["verb"], "resolve");
  EXPECT_EQ(json["matched"], 2);
  EXPECT_EQ(json["done"], 0);
  EXPECT_NE(std::string::npos, console.err.find("Of 2 tcc branches you declare that paymnet has"));
  EXPECT_TRUE(service.operated.empty());
}

}  // namespace
}  // namespace assent::ctl
