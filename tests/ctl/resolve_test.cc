#include <string>

#include <gtest/gtest.h>

#include "tests/ctl/fakes.h"
#include "tools/assentctl/commands.h"

namespace assent::ctl {
namespace {

class ResolveTest : public CommandTest {
 protected:
  static v1::Transaction Stuck() {
    v1::Transaction transaction =
        Transaction("order-17", v1::COMMITTING, v1::DECISION_COMMIT, v1::COMMITTED);
    auto* branch = transaction.add_branches();
    branch->mutable_spec()->set_branch_id("2");
    branch->mutable_spec()->set_protocol(v1::TCC);
    branch->mutable_spec()->set_service("inventory");
    branch->mutable_spec()->set_action("reserve");
    branch->set_state(v1::FINISHING);
    return transaction;
  }
  Exit Resolve(const std::string& branch, v1::Decision resolution, Intent intent) {
    return RunResolve({"order-17", branch, resolution, std::move(intent)}, session);
  }
};

TEST_F(ResolveTest, AtATerminalItExplainsAsksForAReasonAndAsks) {
  session.surroundings.in_is_terminal = true;
  console.lines = {"seen on the shelf", "yes"};
  service.get.push_back(Stuck());
  service.operate.push_back(Effect("would resolve branch 2 as ABORT"));
  service.operate.push_back(Effect("resolved branch 2 as ABORT"));
  EXPECT_EQ(Exit::kDone, Resolve("2", v1::DECISION_ABORT, {}));
  EXPECT_EQ(
      "Reason (for the record): "
      "Transaction order-17, branch 2 inventory/reserve (tcc, FINISHING):\n"
      "  you declare that inventory has cancelled (released) what it reserved.\n"
      "  Nothing more is sent to it for this branch. If it is not so: cancel it there by hand, or "
      "it "
      "stays reserved.\n"
      "  The decision is COMMIT: this contradicts it, and the outcome becomes MIXED.\n"
      "order-17: would resolve branch 2 as ABORT\n"
      "Go on? [y/N] ",
      console.err);
  EXPECT_EQ("order-17: resolved branch 2 as ABORT\n", console.out);
  const auto& request = std::get<v1::ResolveBranchRequest>(service.operated[1]);
  EXPECT_EQ("2", request.branch_id());
  EXPECT_EQ(v1::DECISION_ABORT, request.resolution());
  EXPECT_EQ("seen on the shelf", request.action().reason());
  EXPECT_FALSE(request.action().dry_run());
}

TEST_F(ResolveTest, OfWhatIsHeldItSaysThatTheWholeIsDecidedSo) {
  v1::Transaction held = Stuck();
  held.set_state(v1::ACTIVE);
  held.set_decision(v1::DECISION_UNSPECIFIED);
  held.mutable_branches(0)->set_state(v1::EXECUTING);
  held.set_held(true);
  service.get.push_back(held);
  service.operate.push_back(Effect("would be taken as committed"));
  session.surroundings.in_is_terminal = true;
  console.lines = {"it is there", "no"};
  (void)Resolve("2", v1::DECISION_COMMIT, {});
  EXPECT_NE(
      console.err.find("  you declare that inventory has confirmed (consumed) what it reserved.\n"
                       "  The log may lack the decision: this says what it was. Every branch is "
                       "asked to follow, also this one.\n"),
      std::string::npos)
      << console.err;
  EXPECT_EQ(service.operated.size(), 1U) << "it was only asked what it would do";
}

TEST_F(ResolveTest, WithoutATerminalAndWithoutYesItRefuses) {
  service.get.push_back(Stuck());
  EXPECT_EQ(Exit::kUsage, Resolve("2", v1::DECISION_COMMIT, {"why", "", false, false}));
  EXPECT_TRUE(service.operated.empty());
}

TEST_F(ResolveTest, YesStillWantsAReason) {
  service.get.push_back(Stuck());
  EXPECT_EQ(Exit::kUsage, Resolve("2", v1::DECISION_COMMIT, {"", "", false, true}));
  EXPECT_NE(std::string::npos, console.err.find("resolve wants --reason"));
  EXPECT_TRUE(service.operated.empty());
}

TEST_F(ResolveTest, YesWithAReasonDoesIt) {
  service.get.push_back(Stuck());
  service.operate.push_back(Effect("resolved"));
  EXPECT_EQ(Exit::kDone, Resolve("2", v1::DECISION_COMMIT, {"why", "", false, true}));
  EXPECT_EQ(std::string::npos, console.err.find("MIXED"));
}

TEST_F(ResolveTest, AnEmptyReasonAtTheTerminalEndsIt) {
  session.surroundings.in_is_terminal = true;
  console.lines = {""};
  service.get.push_back(Stuck());
  EXPECT_EQ(Exit::kUsage, Resolve("2", v1::DECISION_COMMIT, {}));
  EXPECT_TRUE(service.operated.empty());
}

TEST_F(ResolveTest, DryRunNeedsNeitherReasonNorTerminal) {
  service.get.push_back(Stuck());
  service.operate.push_back(Effect("would resolve"));
  EXPECT_EQ(Exit::kDone, Resolve("2", v1::DECISION_ABORT, {"", "", true, false}));
  EXPECT_NE(std::string::npos, console.err.find("MIXED"));
  EXPECT_TRUE(std::get<v1::ResolveBranchRequest>(service.operated[0]).action().dry_run());
}

// It is asked for all the same: what is refused goes on record where it is refused.
TEST_F(ResolveTest, AnUnknownBranchIsNotFoundAndTheKnownAreNamed) {
  const std::string refused = "assentctl: transaction order-17 has no branch 9; it has 2\n";
  service.get.push_back(Stuck());
  service.operate.push_back(NotFound("transaction order-17 has no branch 9"));
  EXPECT_EQ(Exit::kNotFound, Resolve("9", v1::DECISION_COMMIT, {"why", "", false, true}));
  EXPECT_EQ(refused, console.err);
  ASSERT_EQ(1U, service.operated.size());
  EXPECT_EQ("9", std::get<v1::ResolveBranchRequest>(service.operated[0]).branch_id());
  EXPECT_FALSE(std::get<v1::ResolveBranchRequest>(service.operated[0]).action().dry_run());
  // Who only tries, or would still be asked, has not asked for it.
  console.err.clear();
  service.get.push_back(Stuck());
  EXPECT_EQ(Exit::kNotFound, Resolve("9", v1::DECISION_COMMIT, {"", "", true, false}));
  service.get.push_back(Stuck());
  EXPECT_EQ(Exit::kNotFound, Resolve("9", v1::DECISION_COMMIT, {"why", "", false, false}));
  EXPECT_EQ(refused + refused, console.err);
  EXPECT_EQ(1U, service.operated.size());
}

TEST_F(ResolveTest, AnUnknownTransactionIsAskedForAllTheSame) {
  service.get.push_back(NotFound("no transaction order-17"));
  service.operate.push_back(NotFound("no transaction order-17"));
  EXPECT_EQ(Exit::kNotFound, Resolve("2", v1::DECISION_COMMIT, {"why", "", false, true}));
  EXPECT_EQ("assentctl: no transaction order-17 (`assentctl list --all` shows what is kept)\n",
            console.err);
  EXPECT_EQ(1U, service.operated.size());
  service.get.push_back(Unavailable("it went away"));
  EXPECT_EQ(Exit::kCannotConnect, Resolve("2", v1::DECISION_COMMIT, {"why", "", false, true}));
  EXPECT_EQ(1U, service.operated.size());
}

TEST_F(ResolveTest, WrongStateIsFive) {
  service.get.push_back(Stuck());
  service.operate.push_back(FailedPrecondition("branch 2 is done"));
  EXPECT_EQ(Exit::kWrongState, Resolve("2", v1::DECISION_COMMIT, {"why", "", false, true}));
}

}  // namespace
}  // namespace assent::ctl
