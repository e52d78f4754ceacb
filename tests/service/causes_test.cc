// What keeps transactions from ending, counted: a thousand that wait for one thing are one row.

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "tests/service/cluster_rig.h"

namespace assent::service {
namespace {

class CausesTest : public ClusterRig {
 protected:
  // Begins one with a branch of the service, and answers its first command. The gids of slots of
  // other members go there.
  void Begin(const std::string& service, core::AttemptResult result, const std::string& reason,
             bool absent = false) {
    const std::string gid = GidIn(static_cast<Slot>((5 * begun_) % kSlotsCount), begun_);
    ++begun_;
    const std::size_t owner = SlotOf(gid, kSlotsCount) % members_.size();
    v1::SubmitRequest request = Submit(gid);
    request.mutable_transaction()->mutable_branches(0)->set_service(service);
    request.mutable_transaction()->mutable_branches(0)->mutable_retry()->set_initial_backoff_ms(
        3'600'000);
    ASSERT_TRUE(Ask<v1::SubmitReply>(owner, request).first.ok());
    transport::Reply reply = engine::DoneReply(members_[owner]->outbox.Take(1).at(0));
    reply.result = result;
    reply.reason = reason;
    reply.service_absent = absent;
    members_[owner]->engine->OnReplies({std::move(reply)});
    gids_.push_back(gid);
  }
  void BeginAbsent(const std::string& service) {
    Begin(service, core::AttemptResult::kNotSent, "no participant " + service + " is connected",
          true);
  }
  v1::ListCausesReply Causes(const v1::ListCausesRequest& request = {}, std::size_t member = 0) {
    auto [status, reply] = Ask<v1::ListCausesReply>(member, request);
    EXPECT_TRUE(status.ok()) << status.ToString();
    return reply;
  }
  std::vector<std::string> Listed(const std::string& cause) {
    v1::ListRequest request;
    request.set_cause(cause);
    auto [status, reply] = Ask<v1::ListReply>(0, request);
    EXPECT_TRUE(status.ok()) << status.ToString();
    std::vector<std::string> gids;
    for (const auto& txn : reply.transactions()) gids.push_back(txn.gid());
    return gids;
  }
  static std::map<std::string, std::uint64_t> Counts(const v1::ListCausesReply& reply) {
    std::map<std::string, std::uint64_t> counts;
    for (const auto& cause : reply.causes()) counts[cause.sentence()] += cause.count();
    return counts;
  }

  int begun_ = 0;
  std::vector<std::string> gids_;
};

using Sentences = std::map<std::string, std::uint64_t>;

TEST_F(CausesTest, ThoseWithOneCauseAreOneRowWhoeverHasThem) {
  Start(3);
  for (int i = 0; i < 40; ++i) BeginAbsent("payment");
  for (int i = 0; i < 7; ++i) {
    Begin("stock", core::AttemptResult::kRetryLater,
          "shelf " + std::to_string(i) + " of " + GidIn(static_cast<Slot>(i), i) +
              " is locked since 12:0" + std::to_string(i));
  }
  BeginAbsent("paymnet");
  const v1::ListCausesReply reply = Causes({}, 1);
  EXPECT_EQ(Counts(reply), (Sentences{{"payment: not connected", 40},
                                      {"stock/a: ACTION fails: shelf # of # is locked since #", 7},
                                      {"paymnet: not connected", 1}}));
  EXPECT_EQ(reply.total(), 48U);
  EXPECT_EQ(reply.others(), 0U);
  EXPECT_GT(reply.as_of_unix_ms(), 0);
  const v1::Cause& first = reply.causes(0);
  EXPECT_EQ(first.service(), "payment");
  EXPECT_EQ(first.kind(), v1::NOT_CONNECTED);
  EXPECT_EQ(first.operation(), v1::OPERATION_UNSPECIFIED);
  ASSERT_EQ(first.states_size(), 1);
  EXPECT_EQ(first.states(0).state(), v1::ACTIVE);
  EXPECT_EQ(first.states(0).count(), 40U);
  EXPECT_EQ(first.gids_size(), 5);
  EXPECT_NE(first.example().find("no participant payment is connected"), std::string::npos);
  const v1::Cause& second = reply.causes(1);
  EXPECT_EQ(second.operation(), v1::ACTION);
  EXPECT_EQ(second.action(), "a");
  for (std::size_t member = 0; member < 3; ++member) {
    v1::ListCausesReply again = Causes({}, member);
    EXPECT_EQ(again.causes(0).key(), first.key()) << "the same everywhere";
    EXPECT_EQ(again.causes(0).count(), 40U);
  }
}

// It showed as under way until its end was in the log.
TEST_F(CausesTest, WhatHasEndedWaitsForNothing) {
  Start(1);
  BeginAbsent("payment");
  ASSERT_TRUE(Ask<v1::SubmitReply>(0, Submit("ends")).first.ok());
  const auto asked = members_[0]->outbox.Take(1);
  members_[0]->log.holding_ = true;
  members_[0]->engine->OnReplies({engine::DoneReply(asked.at(0))});
  EXPECT_EQ(Counts(Causes()), (Sentences{{"payment: not connected", 1}}));
  members_[0]->log.LetGo();
}

TEST_F(CausesTest, ARowOpensByItsKey) {
  Start(2);
  for (int i = 0; i < 5; ++i) BeginAbsent("payment");
  for (int i = 0; i < 3; ++i) Begin("stock", core::AttemptResult::kUnknown, "reset");
  const v1::ListCausesReply reply = Causes();
  ASSERT_EQ(reply.causes_size(), 2);
  EXPECT_EQ(Listed(reply.causes(0).key()), std::vector(gids_.begin(), gids_.begin() + 5));
  EXPECT_EQ(Listed(reply.causes(1).key()), std::vector(gids_.begin() + 5, gids_.end()));
  v1::ListCausesRequest one;
  one.set_cause(reply.causes(1).key());
  EXPECT_EQ(Counts(Causes(one)), (Sentences{{"stock/a: ACTION fails: reset", 3}}));
  // Without its words it is all that fails there so.
  EXPECT_EQ(Listed(reply.causes(1).key().substr(0, 11)).size(), 3U);
}

TEST_F(CausesTest, WhatIsNoKeyIsRefused) {
  Start(1);
  for (const char* key : {"x", "c012345678", "c0123456789-", "s0123456789-abcdef", "d0123456789",
                          "c012345678X", "c0123456789-abcdeF"}) {
    v1::ListRequest list;
    list.set_cause(key);
    EXPECT_EQ(Ask<v1::ListReply>(0, list).first.code(), Code::kInvalidArgument) << key;
    v1::ListCausesRequest causes;
    causes.set_cause(key);
    EXPECT_EQ(Ask<v1::ListCausesReply>(0, causes).first.code(), Code::kInvalidArgument) << key;
  }
  v1::ListRequest list;
  list.set_cause("c0123456789");
  EXPECT_TRUE(Ask<v1::ListReply>(0, list).first.ok());
  list.set_all(true);
  EXPECT_EQ(Ask<v1::ListReply>(0, list).first.message(),
            "cause goes with unfinished ones alone: not with all, outcome or FINISHED");
  v1::ListCausesRequest finished;
  finished.add_states(v1::FINISHED);
  EXPECT_EQ(Ask<v1::ListCausesReply>(0, finished).first.code(), Code::kInvalidArgument);
}

TEST_F(CausesTest, FiltersAreThoseOfAList) {
  Start(2);
  for (int i = 0; i < 4; ++i) BeginAbsent("payment");
  BeginAbsent("stock");
  v1::ListCausesRequest request;
  request.set_service("stock");
  EXPECT_EQ(Counts(Causes(request)), (Sentences{{"stock: not connected", 1}}));
  request.Clear();
  request.set_gid_prefix(gids_[0]);
  EXPECT_EQ(Causes(request).total(), 1U);
  request.Clear();
  request.set_needs_operator(true);
  EXPECT_EQ(Causes(request).total(), 0U);
  request.Clear();
  request.add_states(v1::ABORTING);
  EXPECT_EQ(Causes(request).total(), 0U);
}

TEST_F(CausesTest, ThingsThatFailInTooManyWordsAreOneRow) {
  Start(2);
  for (int i = 0; i < 40; ++i)
    Begin("stock", core::AttemptResult::kRetryLater, "customer " + std::string(1 + i, 'x'));
  BeginAbsent("payment");
  const v1::ListCausesReply reply = Causes();
  EXPECT_EQ(Counts(reply), (Sentences{{"stock/a: ACTION fails: in many ways", 40},
                                      {"payment: not connected", 1}}));
  EXPECT_TRUE(reply.causes(0).many_wordings());
  EXPECT_NE(reply.causes(0).example().find("customer x"), std::string::npos);
  v1::ListRequest opened;
  opened.set_cause(reply.causes(0).key());
  opened.set_page_size(100);
  EXPECT_EQ(Ask<v1::ListReply>(0, opened).second.transactions_size(), 40);
}

TEST_F(CausesTest, AllOfAServiceAreOneRowIfAskedFor) {
  Start(2);
  for (int i = 0; i < 3; ++i) Begin("stock", core::AttemptResult::kUnknown, "reset");
  BeginAbsent("stock");
  BeginAbsent("payment");
  v1::ListCausesRequest request;
  request.set_by_service(true);
  const v1::ListCausesReply reply = Causes(request);
  EXPECT_EQ(Counts(reply),
            (Sentences{{"stock: not connected, failing", 4}, {"payment: not connected", 1}}));
  EXPECT_EQ(Listed(reply.causes(0).key()).size(), 4U);
}

TEST_F(CausesTest, CausesForWhichThereIsNoRoomAreANumber) {
  Start(2);
  for (std::size_t i = 0; i < kMaxCausesCount + 10; ++i) BeginAbsent("s" + std::to_string(i));
  const v1::ListCausesReply reply = Causes();
  EXPECT_LE(reply.causes_size(), static_cast<int>(kMaxCausesCount));
  EXPECT_EQ(reply.total(), kMaxCausesCount + 10);
  EXPECT_EQ(reply.total(), reply.others() + static_cast<std::uint64_t>(reply.causes_size()));
}

TEST_F(CausesTest, WhatNeedsAPersonComesFirstAndWhatGoesWellLast) {
  Start(1);
  for (int i = 0; i < 3; ++i) Begin("stock", core::AttemptResult::kUnknown, "reset");
  ASSERT_TRUE(Ask<v1::SubmitReply>(0, Submit("going")).first.ok());
  ASSERT_TRUE(Ask<v1::SubmitReply>(0, Submit("held")).first.ok());
  v1::SuspendRequest suspend;
  suspend.mutable_action()->set_gid("held");
  suspend.mutable_action()->set_who("ann");
  suspend.mutable_action()->set_reason("recount of held");
  ASSERT_TRUE(Ask<v1::OperatorReply>(0, suspend).first.ok());
  (void)members_[0]->outbox.Take(2);
  v1::SubmitRequest odd = Submit("odd");
  odd.mutable_transaction()->mutable_branches(0)->set_protocol(v1::TCC);
  ASSERT_TRUE(Ask<v1::SubmitReply>(0, odd).first.ok());
  members_[0]->engine->OnReplies({engine::DoneReply(members_[0]->outbox.Take(1).at(0))});
  transport::Reply no = engine::DoneReply(members_[0]->outbox.Take(1).at(0));
  no.result = core::AttemptResult::kRefused;
  no.reason = "no reservation of odd";
  members_[0]->engine->OnReplies({std::move(no)});
  v1::BeginRequest begin;
  begin.mutable_transaction()->set_gid("open");
  ASSERT_TRUE(Ask<v1::BeginReply>(0, begin).first.ok());
  const v1::ListCausesReply reply = Causes();
  std::vector<std::string> sentences;
  for (const auto& cause : reply.causes()) sentences.push_back(cause.sentence());
  EXPECT_EQ(sentences,
            (std::vector<std::string>{
                "s/a: CONFIRM is contradicted: no reservation of #", "stock/a: ACTION fails: reset",
                "suspended by ann (recount of #)", "s/a: ACTION is not answered yet",
                "the initiator has not said Commit yet"}));
  EXPECT_EQ(reply.causes(0).needs_operator(), 1U);
}

TEST_F(CausesTest, WhoIsSilentIsNamedAndNothingOfItCounts) {
  Start(3);
  for (int i = 0; i < 32; ++i) BeginAbsent("payment");
  silent_ = {2};
  v1::ListCausesReply reply = Causes();
  ASSERT_EQ(reply.silent_size(), 1);
  EXPECT_EQ(reply.silent(0).node(), "b");
  EXPECT_EQ(reply.slots_left_out(), 0U);
  EXPECT_EQ(reply.total(), 22U);
  silent_.clear();
  // Another version, or another program, at its address.
  v1::ListCausesReply nothing;
  nothing.mutable_slice()->set_more(true);
  nothing.set_total(5);
  says_[3] = nothing.SerializeAsString();
  reply = Causes();
  ASSERT_EQ(reply.silent_size(), 1);
  EXPECT_EQ(reply.silent(0).node(), "c");
  EXPECT_EQ(reply.silent(0).why(), "it does not go on");
  EXPECT_EQ(reply.total(), 22U);
}

TEST_F(CausesTest, AMemberIsAskedInPartsAndEachIsCountedOnce) {
  Start(2);
  constexpr int kMany = 100;
  for (int i = 0; i < kMany; ++i) BeginAbsent("payment");
  v1::ListCausesRequest part;
  part.mutable_slice()->add_after(7);
  part.mutable_slice()->add_after(7);
  EXPECT_EQ(Ask<v1::ListCausesReply>(0, part).first.code(), Code::kInvalidArgument)
      << "it has one shard";
  part.mutable_slice()->clear_after();
  v1::ListCausesReply reply = Causes(part);
  EXPECT_FALSE(reply.slice().more());
  EXPECT_EQ(reply.slice().slots(), 8U);
  const std::uint64_t counted = reply.total();
  part.mutable_slice()->add_after(reply.slice().looked_at(0));
  reply = Causes(part);
  EXPECT_EQ(reply.total(), 0U) << "it goes on behind";
  EXPECT_EQ(counted, 50U);
}

// Who asks the same while it is counted gets the same answer, and others are not held up.
TEST_F(CausesTest, ThoseWhoAskTheSameShareOneWalk) {
  Start(1);
  for (int i = 0; i < 5; ++i) BeginAbsent("payment");
  std::vector<std::shared_ptr<Waiting<v1::ListCausesReply>>> askers;
  for (int i = 0; i < 20; ++i) {
    askers.push_back(std::make_shared<Waiting<v1::ListCausesReply>>());
    members_[0]->service->Take(Caller{}, v1::ListCausesRequest(), askers.back());
  }
  for (const auto& asker : askers) {
    const auto [status, reply] = asker->answers.Take();
    ASSERT_TRUE(status.ok()) << status.ToString();
    EXPECT_EQ(reply.total(), 5U);
  }
}

}  // namespace
}  // namespace assent::service
