// What operators ask for is on record before it is done.

#include "coordinator/service/record.h"

#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/security/rules.h"
#include "tests/service/cluster_rig.h"
#include "tests/service/service_rig.h"

namespace assent::service {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

template <typename Request>
Request By(const std::string& gid, const std::string& who) {
  Request request;
  request.mutable_action()->set_gid(gid);
  request.mutable_action()->set_who(who);
  request.mutable_action()->set_reason("because");
  return request;
}

class RecordTest : public ServiceRig {
 protected:
  // A transaction whose branch has been asked, and has not answered.
  transport::Command Begun(const std::string& gid) {
    v1::SubmitRequest request = Submit(gid);
    request.set_wait_for(v1::WAIT_ACCEPTED);
    EXPECT_TRUE(Ask<v1::SubmitReply>(request).first.ok());
    return participants_.asked.Take();
  }
  v1::ListAuditReply List(const v1::ListAuditRequest& request = {}) {
    const auto [status, reply] = Ask<v1::ListAuditReply>(request);
    EXPECT_TRUE(status.ok()) << status.ToString();
    return reply;
  }
  // "verb gid who result" of each.
  static std::vector<std::string> Lines(const v1::ListAuditReply& reply) {
    std::vector<std::string> lines;
    for (const v1::AuditEntry& entry : reply.entries())
      lines.push_back(entry.verb() + " " + entry.gid() + " " + entry.who() + " " + entry.result());
    return lines;
  }
};

TEST_F(RecordTest, WhoDidWhatWhyHowItStoodAndWhatCameOfIt) {
  (void)Begun("g");
  ASSERT_TRUE(Ask<v1::OperatorReply>(By<v1::SuspendRequest>("g", "ann"), {.address = "10.0.0.1"})
                  .first.ok());
  const v1::ListAuditReply reply = List();
  ASSERT_THAT(Lines(reply), ElementsAre("suspend g ann OK"));
  const v1::AuditEntry& entry = reply.entries(0);
  EXPECT_EQ(entry.reason(), "because");
  EXPECT_EQ(entry.address(), "10.0.0.1");
  EXPECT_THAT(entry.before(),
              HasSubstr("ACTIVE: not decided: branch 1 s/a: ACTION, 1 attempt; sent "));
  EXPECT_THAT(entry.effect(), HasSubstr("the transaction is suspended"));
}

// What he says of himself is kept beside it, also if that is somebody else's name.
TEST_F(RecordTest, WhoIsProvenAndWhatIsClaimedAreTwo) {
  (void)Begun("g");
  ASSERT_TRUE(Ask<v1::OperatorReply>(By<v1::SuspendRequest>("g", "ann"), {.name = "token:support"})
                  .first.ok());
  EXPECT_EQ(List().entries(0).who(), "token:support");
  EXPECT_EQ(List().entries(0).claims(), "ann");
  EXPECT_EQ(Get("g").interventions(0).who(), "token:support (as ann)");
}

// He was on record as whoever he said he was.
TEST_F(RecordTest, WhoIsNotKnownIsAnyoneWhateverHeSays) {
  (void)Begun("g");
  const auto rules = security::Rules::Parse("allow anyone as operator\n");
  const Caller stranger{.grants = std::make_shared<const security::Grants>(rules->For(""))};
  ASSERT_TRUE(
      Ask<v1::OperatorReply>(By<v1::SuspendRequest>("g", "token:support"), stranger).first.ok());
  EXPECT_EQ(List().entries(0).who(), "anyone");
  EXPECT_EQ(List().entries(0).claims(), "token:support");
}

TEST_F(RecordTest, WhatComesAtTheDoorsIsThereForWhoAsksForIt) {
  audit_.Note(audit::Kind::kRefused, {.verb = "refused", .address = "10.0.0.9"},
              Code::kUnauthenticated, "no such token");
  audit_.Note(audit::Kind::kReload, {.verb = "reload", .detail = "settings"}, Code::kOk, "");
  audit_.Note(audit::Kind::kStart, {.verb = "start"}, Code::kOk, "");
  EXPECT_THAT(Lines(List()), ElementsAre("reload   OK"));
  v1::ListAuditRequest request;
  request.set_refused(true);
  EXPECT_THAT(Lines(List(request)), ElementsAre("refused   UNAUTHENTICATED"));
  request = {};
  request.add_kinds("start");
  EXPECT_THAT(Lines(List(request)), ElementsAre("start   OK"));
  request.add_kinds("link");
  EXPECT_EQ(Ask<v1::ListAuditReply>(request).first.message(),
            "kinds are deed, login, logout, refused, reload, start, stop");
}

TEST_F(RecordTest, TheChainIsReadAChainAtATime) {
  (void)Begun("g");
  for (int i = 0; i < 3; ++i) (void)Ask<v1::OperatorReply>(By<v1::RetryNowRequest>("g", "ann"));
  Inbox<v1::ReadAuditReply> replies;
  const auto read = [&](const v1::ReadAuditRequest& request) {
    ReadChain(audit_, request, [&](const Status& status, const v1::ReadAuditReply& reply) {
      EXPECT_TRUE(status.ok());
      replies.Put(reply);
    });
    return replies.Take();
  };
  v1::ReadAuditRequest request;
  const v1::ReadAuditReply chains = read(request);
  ASSERT_EQ(chains.chains_size(), 1);
  EXPECT_EQ(chains.chains(0).last(), 6U);
  request.set_chain("deeds");
  request.set_after(4);
  request.set_page_size(1);
  EXPECT_EQ(read(request).rows(0).number(), 5U);
  request.set_after(6);
  EXPECT_EQ(read(request).rows_size(), 0);
}

TEST_F(RecordTest, WhatIsRefusedIsOnRecordAndWhatIsOnlyTriedOrMakesNoSenseIsNot) {
  const transport::Command action = Begun("g");
  EXPECT_EQ(Ask<v1::OperatorReply>(By<v1::ResumeRequest>("g", "ann")).first.code(),
            Code::kFailedPrecondition);
  EXPECT_EQ(Ask<v1::OperatorReply>(By<v1::AbortRequest>("nobody", "ann")).first.code(),
            Code::kNotFound);
  v1::AbortRequest dry = By<v1::AbortRequest>("g", "ann");
  dry.mutable_action()->set_dry_run(true);
  EXPECT_TRUE(Ask<v1::OperatorReply>(dry).first.ok());
  v1::ForgetRequest dry_forget = By<v1::ForgetRequest>("g", "ann");
  dry_forget.mutable_action()->set_dry_run(true);
  EXPECT_FALSE(Ask<v1::OperatorReply>(dry_forget).first.ok());
  EXPECT_EQ(Ask<v1::OperatorReply>(By<v1::AbortRequest>("g", "")).first.code(),
            Code::kInvalidArgument);
  EXPECT_EQ(Ask<v1::OperatorReply>(By<v1::AbortRequest>("a b", "ann")).first.code(),
            Code::kInvalidArgument);
  EXPECT_EQ(Ask<v1::OperatorReply>(By<v1::ForgetRequest>("a b", "ann")).first.code(),
            Code::kInvalidArgument);
  const v1::ListAuditReply reply = List();
  EXPECT_THAT(Lines(reply),
              ElementsAre("abort nobody ann NOT_FOUND", "resume g ann FAILED_PRECONDITION"));
  EXPECT_EQ(reply.entries(1).effect(), "transaction g is not suspended");
  EXPECT_THAT(reply.entries(1).before(), HasSubstr("ACTIVE"));
}

TEST_F(RecordTest, HowWhatIsForgottenHadEndedStaysOnRecord) {
  v1::SubmitRequest request = Submit("g");
  request.set_wait_for(v1::WAIT_COMPLETED);
  const auto asker = std::make_shared<Waiting<v1::SubmitReply>>();
  service_->Take({}, request, asker);
  Reply(participants_.asked.Take(), core::AttemptResult::kDone);
  ASSERT_TRUE(asker->answers.Take().first.ok());
  ASSERT_TRUE(Ask<v1::OperatorReply>(By<v1::ForgetRequest>("g", "ann")).first.ok());
  EXPECT_EQ(Get("g").gid(), "");
  const v1::ListAuditReply reply = List();
  ASSERT_THAT(Lines(reply), ElementsAre("forget g ann OK"));
  EXPECT_EQ(reply.entries(0).before(), "FINISHED: COMMITTED");
  EXPECT_EQ(Ask<v1::OperatorReply>(By<v1::ForgetRequest>("g", "ann")).first.code(),
            Code::kNotFound);
  EXPECT_THAT(Lines(List()), ElementsAre("forget g ann NOT_FOUND", "forget g ann OK"));
}

TEST_F(RecordTest, AResolutionSaysWhichWay) {
  const transport::Command action = Begun("g");
  v1::ResolveBranchRequest resolve = By<v1::ResolveBranchRequest>("g", "ann");
  resolve.set_branch_id("1");
  resolve.set_resolution(v1::DECISION_ABORT);
  (void)Ask<v1::OperatorReply>(resolve);
  const v1::ListAuditReply reply = List();
  ASSERT_EQ(reply.entries_size(), 1);
  EXPECT_EQ(reply.entries(0).branch_id(), "1");
  EXPECT_EQ(reply.entries(0).detail(), "DECISION_ABORT");
}

TEST_F(RecordTest, WhoIsMeantCanBeSaidAndPagesGoOn) {
  (void)Begun("g1");
  (void)Begun("g2");
  for (const char* who : {"ann", "bob", "anton"}) {
    (void)Ask<v1::OperatorReply>(By<v1::RetryNowRequest>("g1", who));
    (void)Ask<v1::OperatorReply>(By<v1::ResumeRequest>("g2", who));
  }
  v1::ListAuditRequest request;
  request.set_who("an");
  request.set_verb("retry");
  EXPECT_THAT(Lines(List(request)), ElementsAre("retry g1 anton OK", "retry g1 ann OK"));
  request = {};
  request.set_refused(true);
  request.set_page_size(2);
  v1::ListAuditReply page = List(request);
  EXPECT_THAT(Lines(page), ElementsAre("resume g2 anton FAILED_PRECONDITION",
                                       "resume g2 bob FAILED_PRECONDITION"));
  request.set_page_token(page.next_page_token());
  page = List(request);
  EXPECT_THAT(Lines(page), ElementsAre("resume g2 ann FAILED_PRECONDITION"));
  EXPECT_EQ(page.next_page_token(), "");
  request = {};
  request.set_gid("g1");
  request.set_page_size(3);
  page = List(request);
  EXPECT_EQ(page.entries_size(), 3);
  EXPECT_EQ(page.next_page_token(), "") << "there are no more";
  for (const char* token : {"x", "1-2", "1-2-3x", "1-2-"}) {
    request.set_page_token(token);
    EXPECT_EQ(Ask<v1::ListAuditReply>(request).first.message(),
              "page_token is not one that a page has ended with");
  }
  request = {};
  request.set_page_size(1001);
  EXPECT_EQ(Ask<v1::ListAuditReply>(request).first.message(),
            "page_size is 1001, the limit is 1000");
}

// The file is given up and opened again after a failure, so that whoever moves it away is helped.
TEST_F(RecordTest, WhatCannotBePutOnRecordIsNotDone) {
  (void)Begun("g");
  const std::string path = dir_.path() + "/other/audit.db";
  audit::Audit audit({.epoch = 1, .open = audit::InSqlite(path)});
  ServiceOptions options;
  options.audit = &audit;
  Service service(std::move(options), *engine_);
  const auto suspend = [&] {
    const auto asker = std::make_shared<Waiting<v1::OperatorReply>>();
    service.Take(Caller{}, By<v1::SuspendRequest>("g", "ann"), asker);
    return asker->answers.Take().first;
  };
  const Status refused = suspend();
  EXPECT_EQ(refused.code(), Code::kFailedPrecondition);
  EXPECT_THAT(refused.message(), HasSubstr("the record of what people do cannot be kept"));
  EXPECT_THAT(refused.message(), HasSubstr(path));
  EXPECT_FALSE(Get("g").suspended());
  std::filesystem::create_directories(dir_.path() + "/other");
  EXPECT_TRUE(suspend().ok());
  EXPECT_TRUE(Get("g").suspended());
  audit.Close();
}

TEST_F(RecordTest, WithoutARecordNothingIsKeptAndNothingIsRefused) {
  (void)Begun("g");
  Service service(ServiceOptions{}, *engine_);
  const auto asker = std::make_shared<Waiting<v1::OperatorReply>>();
  service.Take(Caller{}, By<v1::SuspendRequest>("g", "ann"), asker);
  EXPECT_TRUE(asker->answers.Take().first.ok());
  const auto list = std::make_shared<Waiting<v1::ListAuditReply>>();
  service.Take(Caller{}, v1::ListAuditRequest(), list);
  EXPECT_EQ(list->answers.Take().first.code(), Code::kUnimplemented);
  EXPECT_THAT(Lines(List()), IsEmpty());
}

// Does nothing, at once.
class Willing final : public cluster::ClusterControl {
 public:
  void SetDraining(const std::string& node, bool, const cluster::Asked&, Done done) override {
    done(node == "nobody" ? NotFound("no member is called nobody") : OkStatus());
  }
  void Move(const std::vector<Slot>&, const std::string&, const cluster::Asked&,
            Done done) override {
    done(OkStatus());
  }
  void Unpin(const std::vector<Slot>&, Done done) override { done(OkStatus()); }
  void Fence(const std::string&, const cluster::Asked&, Done done) override { done(OkStatus()); }
  void Look(Done done) override { done(OkStatus()); }
};

class ClusterRecordTest : public ClusterRig {
 protected:
  ClusterRecordTest() {
    control_ = &willing_;
    audit_ = &record_;
  }
  ~ClusterRecordTest() override { record_.Close(); }
  std::vector<std::string> Lines() {
    std::vector<std::string> lines;
    const auto reply = Ask<v1::ListAuditReply>(0, v1::ListAuditRequest()).second;
    for (const v1::AuditEntry& entry : reply.entries())
      lines.push_back(entry.verb() + "|" + entry.gid() + "|" + entry.detail() + "|" +
                      entry.result());
    return lines;
  }
  template <typename Request>
  static Request Asked() {
    Request request;
    request.mutable_action()->set_who("ann");
    return request;
  }

  test::TempDir dir_;
  Willing willing_;
  audit::Audit record_{{.epoch = 1, .open = audit::InSqlite(dir_.path() + "/audit.db")}};
};

TEST_F(ClusterRecordTest, WhatIsAskedOfTheClusterIsOnRecordOnce) {
  Start(3);
  auto drain = Asked<v1::DrainMemberRequest>();
  drain.set_node("b");
  EXPECT_TRUE(Ask<v1::ClusterReply>(0, drain).first.ok());
  drain.set_node("nobody");
  drain.set_undo(true);
  EXPECT_FALSE(Ask<v1::ClusterReply>(1, drain).first.ok());
  auto move = Asked<v1::MoveSlotsRequest>();
  move.add_slots(1);
  move.add_slots(2);
  move.set_node("c");
  EXPECT_TRUE(Ask<v1::ClusterReply>(2, move).first.ok());
  move = Asked<v1::MoveSlotsRequest>();
  move.set_gid("g");
  move.set_node("c");
  EXPECT_TRUE(Ask<v1::ClusterReply>(2, move).first.ok());
  move.clear_node();
  move.set_unpin(true);
  EXPECT_TRUE(Ask<v1::ClusterReply>(2, move).first.ok());
  auto fence = Asked<v1::FenceMemberRequest>();
  fence.set_node("b");
  fence.mutable_action()->set_dry_run(true);
  EXPECT_TRUE(Ask<v1::ClusterReply>(0, fence).first.ok());
  fence.mutable_action()->set_dry_run(false);
  EXPECT_TRUE(Ask<v1::ClusterReply>(0, fence).first.ok());
  const std::string slot = std::to_string(SlotOf("g", kSlotsCount));
  EXPECT_THAT(Lines(), ElementsAre("fence||b|OK", "unpin|g|slot " + slot + "|OK",
                                   "move|g|slot " + slot + " to c|OK", "move||slots 1-2 to c|OK",
                                   "undrain||nobody|NOT_FOUND", "drain||b|OK"));
}

TEST_F(ClusterRecordTest, WhichSlotsWereMovedIsOnRecordAndWhatMakesNoSenseIsNot) {
  Start(3);
  auto move = Asked<v1::MoveSlotsRequest>();
  move.set_node("c");
  EXPECT_EQ(Ask<v1::ClusterReply>(0, move).first.code(), Code::kInvalidArgument);
  for (const std::uint32_t slot : {7, 3, 4, 5, 7}) move.add_slots(slot);
  EXPECT_TRUE(Ask<v1::ClusterReply>(0, move).first.ok());
  move.add_slots(kSlotsCount);
  EXPECT_EQ(Ask<v1::ClusterReply>(0, move).first.code(), Code::kInvalidArgument);
  EXPECT_THAT(Lines(), ElementsAre("move||slots 3-5, 7 to c|OK"));
}

TEST_F(ClusterRecordTest, EachVerbCanBeAskedForAndNoOther) {
  Start(1);
  for (const char* verb :
       {"abort",  "backup",         "breaker-auto", "breaker-close", "breaker-open",
        "drain",  "fence",          "forget",       "login",         "logout",
        "move",   "out-of-service", "put-back",     "resolve",       "restore",
        "resume", "retry",          "suspend",      "undrain",       "unpin",
        ""}) {
    v1::ListAuditRequest request;
    request.set_verb(verb);
    EXPECT_TRUE(Ask<v1::ListAuditReply>(0, request).first.ok()) << verb;
  }
  v1::ListAuditRequest request;
  request.set_verb("zap");
  EXPECT_EQ(Ask<v1::ListAuditReply>(0, request).first,
            InvalidArgument("verb is none of abort, backup, breaker-auto, breaker-close, "
                            "breaker-open, drain, fence, forget, login, logout, "
                            "move, out-of-service, put-back, reload, resolve, restore, resume, "
                            "retry, suspend, undrain, unpin"));
}

// Whoever has the transaction writes it.
TEST_F(ClusterRecordTest, WhoIsAskedForWhatIsAnothersKeepsNoEntryOfIt) {
  Start(2);
  const std::string gid = GidIn(1);
  EXPECT_TRUE(Ask<v1::SubmitReply>(1, Submit(gid)).first.ok());
  auto suspend = Asked<v1::SuspendRequest>();
  suspend.mutable_action()->set_gid(gid);
  EXPECT_EQ(Ask<v1::OperatorReply>(0, suspend).first.code(), Code::kElsewhere);
  auto forget = Asked<v1::ForgetRequest>();
  forget.mutable_action()->set_gid(gid);
  EXPECT_EQ(Ask<v1::OperatorReply>(0, forget).first.code(), Code::kElsewhere);
  EXPECT_THAT(Lines(), IsEmpty());
  EXPECT_TRUE(Ask<v1::OperatorReply>(1, suspend).first.ok());
  EXPECT_THAT(Lines(), ElementsAre("suspend|" + gid + "||OK"));
}

}  // namespace
}  // namespace assent::service
