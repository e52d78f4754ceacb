// What an operator is told is true, and what he did is on record. Abort said "every branch is
// undone" of a transaction that was aborting and stuck.

#include <chrono>

#include "tests/grpc/api_rig.h"

namespace assent::test {
namespace {

class Effects : public ApiRig {
 protected:
  Effects() {
    action_.set_gid("g");
    action_.set_who("ann");
    action_.set_reason("customer called");
  }
  template <typename Request>
  std::string Tell(grpc::Status (v1::TransactionService::Stub::*method)(grpc::ClientContext*,
                                                                        const Request&,
                                                                        v1::OperatorReply*),
                   bool dry_run) {
    Request request;
    *request.mutable_action() = action_;
    request.mutable_action()->set_dry_run(dry_run);
    v1::OperatorReply reply;
    const grpc::Status status = (*stub_.*method)(Context().get(), request, &reply);
    return status.ok() ? reply.effect() : Text(status);
  }
  std::string Abort(bool dry_run = false) {
    return Tell(&v1::TransactionService::Stub::Abort, dry_run);
  }
  static bool Begins(const std::string& text, const std::string& with) {
    return text.compare(0, with.size(), with) == 0;
  }

  v1::OperatorAction action_;
};

TEST_F(Effects, AbortSaysWhatIsNotUndoneYet) {
  RawSession participant(channel_);
  participant.Join("s");
  v1::SubmitRequest request = Submit("g");
  AddBranch(request, "b2", "absent");
  request.set_wait_for(v1::WAIT_ACCEPTED);
  ASSERT_EQ(TrySubmit(request), "OK");
  participant.Reply(RawSession::ReplyTo(participant.Next()));
  EXPECT_EQ(Abort(/*dry_run=*/true),
            "the transaction would be aborted: what its branches did would be undone");
  const std::string first = Abort();
  EXPECT_TRUE(Begins(first, "the transaction is aborted; not undone yet: branch b")) << first;
  const v1::BranchCommand cancel = participant.Next();
  EXPECT_EQ(cancel.operation(), v1::CANCEL);
  const std::string dry = Abort(/*dry_run=*/true);
  EXPECT_TRUE(Begins(dry, "the transaction is aborted already; not undone yet: branch b")) << dry;
  action_.set_who("bob");
  action_.set_reason("me too");
  const std::string again = Abort();
  EXPECT_TRUE(Begins(again, "the transaction is aborted; not undone yet: branch b")) << again;
  const v1::Transaction txn = Get("g");
  ASSERT_EQ(txn.interventions_size(), 2) << "the dry run left a record, or the second abort none";
  EXPECT_EQ(txn.interventions(1).verb(), "abort");
  EXPECT_EQ(txn.interventions(1).who(), "bob");
  EXPECT_EQ(txn.interventions(1).reason(), "me too");
  EXPECT_EQ(txn.abort_reason(), "aborted by ann: customer called") << "the first stands";
}

TEST_F(Effects, NothingIsDoneByNobody) {
  v1::SubmitRequest request = Submit("g", "absent");
  request.set_wait_for(v1::WAIT_ACCEPTED);
  ASSERT_EQ(TrySubmit(request), "OK");
  for (const char* who : {"", "  ", "\t"}) {
    action_.set_who(who);
    for (const bool dry_run : {true, false}) {
      const std::string told = "INVALID_ARGUMENT: who is empty: say who does this, for the record";
      EXPECT_EQ(Abort(dry_run), told);
      EXPECT_EQ(Tell(&v1::TransactionService::Stub::RetryNow, dry_run), told);
      EXPECT_EQ(Tell(&v1::TransactionService::Stub::Suspend, dry_run), told);
      EXPECT_EQ(Tell(&v1::TransactionService::Stub::Resume, dry_run), told);
      EXPECT_EQ(Tell(&v1::TransactionService::Stub::ResolveBranch, dry_run), told);
      EXPECT_EQ(Tell(&v1::TransactionService::Stub::Forget, dry_run), told);
    }
  }
  EXPECT_EQ(Get("g").interventions_size(), 0);
}

// Who waits for a service was tried as well, and told that nothing waits.
TEST_F(Effects, RetryCountsWhoWaitsForAService) {
  v1::SubmitRequest request = Submit("g", "absent");
  request.set_wait_for(v1::WAIT_ACCEPTED);
  ASSERT_EQ(TrySubmit(request), "OK");
  const auto retry = &v1::TransactionService::Stub::RetryNow;
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (Tell(retry, true) != "1 branch would be tried now")  // its answer is on its way
    ASSERT_LT(std::chrono::steady_clock::now(), until) << Tell(retry, true);
  EXPECT_EQ(Tell(retry, false), "what is waiting is tried now");
}

TEST_F(Effects, ASecondSuspendIsSaidToBeOne) {
  v1::SubmitRequest request = Submit("g", "absent");
  request.set_wait_for(v1::WAIT_ACCEPTED);
  ASSERT_EQ(TrySubmit(request), "OK");
  const auto suspend = &v1::TransactionService::Stub::Suspend;
  const std::string suspended = "suspended: nothing more is sent for it until it is resumed";
  EXPECT_EQ(Tell(suspend, true), "the transaction would be " + suspended);
  EXPECT_EQ(Tell(suspend, false), "the transaction is " + suspended);
  EXPECT_EQ(
      Tell(suspend, true),
      "the transaction is suspended already: nothing more is sent for it until it is resumed");
  action_.set_who("bob");
  EXPECT_EQ(Tell(suspend, false), "the transaction is " + suspended);
  EXPECT_EQ(Get("g").interventions_size(), 2);
  const std::string resumed = Tell(&v1::TransactionService::Stub::Resume, false);
  EXPECT_TRUE(Begins(resumed, "the transaction is resumed; not finished: not decided: branch b1"))
      << resumed;
}

}  // namespace
}  // namespace assent::test
