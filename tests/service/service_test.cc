// Operations without a door: requests of assent.v1 in, answers out, no gRPC in sight.

#include "coordinator/service/service.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "coordinator/security/rules.h"
#include "coordinator/service/watch.h"
#include "tests/service/service_rig.h"

namespace assent::service {
namespace {

class Watcher final : public Viewer {
 public:
  Status Show(const v1::Transaction& state) override {
    shown.Put(state);
    return OkStatus();
  }
  void End(const Status& status) override { ended.Put(status); }

  Inbox<v1::Transaction> shown;
  Inbox<Status> ended;
};

using ServiceTest = ServiceRig;

TEST_F(ServiceTest, WhatIsWrongIsSaidByWhoeverIsAsked) {
  v1::SubmitRequest request = Submit("a b");
  EXPECT_EQ(Ask<v1::SubmitReply>(request).first.ToString(),
            "INVALID_ARGUMENT: gid is \"a b\": only [A-Za-z0-9._:-] are allowed");
  request = Submit("g");
  request.mutable_transaction()->mutable_branches(0)->set_protocol(static_cast<v1::Protocol>(9));
  EXPECT_EQ(Ask<v1::SubmitReply>(request).first.ToString(),
            "INVALID_ARGUMENT: branches[0].protocol is 9: it takes TWO_PHASE, TCC or SAGA");
  v1::ListRequest list;
  list.set_page_token("x");
  EXPECT_EQ(Ask<v1::ListReply>(list).first.code(), Code::kInvalidArgument);
  v1::WaitRequest wait;
  wait.set_gid("nobody");
  EXPECT_EQ(Ask<v1::SubmitReply>(wait).first.code(), Code::kNotFound);
}

// Who is not known has nothing that could be told apart from what others like him began.
TEST_F(ServiceTest, AnInitiatorListsWhatItBegan) {
  const auto rules = security::Rules::Parse("allow anyone as initiator for *\n");
  ASSERT_TRUE(rules.ok());
  const auto grants = std::make_shared<const security::Grants>(rules->For("cn:a"));
  const Caller one{.name = "cn:a", .grants = grants};
  const Caller other{.name = "cn:b", .grants = grants};
  for (const auto& [gid, caller] : {std::pair{"g1", one}, {"g2", other}, {"g3", Caller{}}}) {
    v1::SubmitRequest request = Submit(gid);
    request.set_wait_for(v1::WAIT_ACCEPTED);
    EXPECT_TRUE(Ask<v1::SubmitReply>(request, caller).first.ok());
  }
  v1::ListRequest list;
  const v1::ListReply page = Ask<v1::ListReply>(list, one).second;
  ASSERT_EQ(page.transactions_size(), 1);
  EXPECT_EQ(page.transactions(0).gid(), "g1");
  EXPECT_EQ(Ask<v1::ListReply>(list).second.transactions_size(), 3);
  const Caller stranger{.grants = grants};
  EXPECT_EQ(Ask<v1::ListReply>(list, stranger).first.code(), Code::kUnauthenticated);
  // A slice says how many rows were looked at: of others as well.
  list.mutable_slice()->set_part(2);
  EXPECT_FALSE(Ask<v1::ListReply>(list, one).second.has_slice());
}

TEST_F(ServiceTest, ASubmitIsDrivenListedAndCounted) {
  const auto asker = std::make_shared<Waiting<v1::SubmitReply>>();
  v1::SubmitRequest request = Submit("g");
  request.set_wait_for(v1::WAIT_COMPLETED);
  service_->Take(Caller{}, request, asker);
  Reply(participants_.asked.Take(), core::AttemptResult::kDone);
  const auto [status, reply] = asker->answers.Take();
  EXPECT_EQ(status, OkStatus());
  EXPECT_EQ(reply.outcome(), v1::COMMITTED);
  v1::ListRequest list;
  list.set_all(true);
  const v1::ListReply page = Ask<v1::ListReply>(list).second;
  ASSERT_EQ(page.transactions_size(), 1);
  EXPECT_EQ(page.transactions(0).gid(), "g");
  EXPECT_EQ(Ask<v1::ServerInfo>(v1::GetServerInfoRequest()).second.committed(), 1U);
}

// Nobody proves anything today, and whoever acts is who it says. A door that knows better is
// believed.
TEST_F(ServiceTest, TheActorOnRecordIsWhoeverHasProvenToBeOne) {
  ASSERT_TRUE(Ask<v1::BeginReply>([] {
                v1::BeginRequest request;
                request.mutable_transaction()->set_gid("g");
                return request;
              }())
                  .first.ok());
  v1::SuspendRequest suspend;
  suspend.mutable_action()->set_gid("g");
  EXPECT_EQ(Ask<v1::OperatorReply>(suspend).first.message(),
            "who is empty: say who does this, for the record");
  suspend.mutable_action()->set_who("ann");
  EXPECT_TRUE(Ask<v1::OperatorReply>(suspend).first.ok());
  v1::ResumeRequest resume;
  resume.mutable_action()->set_gid("g");
  resume.mutable_action()->set_who("ann");
  EXPECT_TRUE(Ask<v1::OperatorReply>(resume, Caller{.name = "bob"}).first.ok());
  const v1::Transaction txn = Get("g");
  ASSERT_EQ(txn.interventions_size(), 2);
  EXPECT_EQ(txn.interventions(0).who(), "ann");
  EXPECT_EQ(txn.interventions(1).who(), "bob (as ann)");
}

// Who does not take what is shown is shown the latest when he does, and nothing between.
TEST_F(ServiceTest, AWatchHoldsOneStateAtMost) {
  v1::SubmitRequest request = Submit("g");
  request.set_wait_for(v1::WAIT_ACCEPTED);
  ASSERT_TRUE(Ask<v1::SubmitReply>(request).first.ok());
  const transport::Command action = participants_.asked.Take();
  const auto viewer = std::make_shared<Watcher>();
  const auto watch = std::make_shared<Watch>(*service_, viewer);
  v1::WatchRequest watched;
  watched.set_gid("g");
  watch->Start({}, watched);
  EXPECT_EQ(viewer->shown.Take().state(), v1::ACTIVE);
  v1::SuspendRequest suspend;
  suspend.mutable_action()->set_gid("g");
  suspend.mutable_action()->set_who("ann");
  ASSERT_TRUE(Ask<v1::OperatorReply>(suspend).first.ok());
  v1::ResumeRequest resume;
  *resume.mutable_action() = suspend.action();
  ASSERT_TRUE(Ask<v1::OperatorReply>(resume).first.ok());
  EXPECT_EQ(viewer->shown.size(), 0U) << "the first is not taken";
  watch->Taken();
  const v1::Transaction latest = viewer->shown.Take();
  EXPECT_EQ(latest.interventions_size(), 2);
  watch->Taken();
  Reply(action, core::AttemptResult::kDone);
  v1::Transaction last = viewer->shown.Take();
  for (; last.state() != v1::FINISHED; last = viewer->shown.Take()) watch->Taken();
  watch->Taken();
  EXPECT_EQ(viewer->ended.Take(), OkStatus());
  EXPECT_EQ(viewer->shown.size(), 0U);
}

TEST_F(ServiceTest, AWatchThatIsLeftEndsOnce) {
  const auto viewer = std::make_shared<Watcher>();
  const auto watch = std::make_shared<Watch>(*service_, viewer);
  v1::WatchRequest watched;
  watched.set_gid("nobody");
  watch->Start({}, watched);
  EXPECT_EQ(viewer->ended.Take().code(), Code::kNotFound);
  watch->Leave({Code::kCancelled, "gone"});
  EXPECT_EQ(viewer->ended.size(), 0U);
}

}  // namespace
}  // namespace assent::service
