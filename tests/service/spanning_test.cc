// Lists and figures of several coordinators: what each has, together, and who is silent by name.

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "coordinator/security/rules.h"
#include "tests/service/cluster_rig.h"

namespace assent::service {
namespace {

class SpanningTest : public ClusterRig {
 protected:
  v1::ListReply List(std::size_t member, const v1::ListRequest& request) {
    const auto [status, reply] = Ask<v1::ListReply>(member, request);
    EXPECT_TRUE(status.ok()) << status.ToString();
    return reply;
  }
  // Page by page, each asked of another coordinator; `between` is done after each page.
  std::vector<std::string> ListAll(v1::ListRequest request,
                                   const std::function<void(int page)>& between = {}) {
    std::vector<std::string> gids;
    for (int page = 0; page < 100; ++page) {
      const v1::ListReply reply = List(static_cast<std::size_t>(page) % members_.size(), request);
      EXPECT_EQ(reply.silent_size(), 0);
      EXPECT_LE(reply.transactions_size(), static_cast<int>(request.page_size()));
      for (const v1::Transaction& txn : reply.transactions()) gids.push_back(txn.gid());
      if (reply.next_page_token().empty()) return gids;
      request.set_page_token(reply.next_page_token());
      if (between) between(page);
    }
    ADD_FAILURE() << "the list does not end";
    return gids;
  }
  // Three of its transactions, as long as it has some: the outbox gives all that have come.
  void Finish(std::size_t member) {
    std::vector<transport::Command>& sent = sent_[member];
    for (transport::Command& command : members_[member]->outbox.Take(sent.empty() ? 1 : 0))
      sent.push_back(std::move(command));
    std::vector<transport::Reply> replies;
    for (; !sent.empty() && replies.size() < 3; sent.pop_back())
      replies.push_back(engine::DoneReply(sent.back()));
    members_[member]->engine->OnReplies(std::move(replies));
  }
  std::vector<std::string> BeginMany(int count) {
    std::vector<std::string> gids;
    for (int i = 0; i < count; ++i) {
      gids.push_back(GidIn(static_cast<Slot>((7 * i) % kSlotsCount), i));
      Begin(gids.back());
    }
    return gids;
  }
  std::map<std::size_t, std::vector<transport::Command>> sent_;
};

TEST_F(SpanningTest, UnfinishedOnesOfAllOldestFirstEachOnce) {
  Start(3);
  const std::vector<std::string> gids = BeginMany(50);
  v1::ListRequest request;
  request.set_page_size(7);
  EXPECT_EQ(ListAll(request), gids) << "whoever is asked for a page";
  request.set_page_size(1000);
  EXPECT_EQ(ListAll(request), gids);
}

TEST_F(SpanningTest, ThoseThatNeedAPersonComeFirstWhoeverHasThem) {
  Start(3);
  const std::vector<std::string> gids = BeginMany(9);
  std::set<std::string> stuck;
  for (const std::size_t i : {std::size_t{4}, std::size_t{8}}) {
    v1::SuspendRequest suspend;
    suspend.mutable_action()->set_gid(gids[i]);
    suspend.mutable_action()->set_who("ann");
    const std::size_t owner = SlotOf(gids[i], kSlotsCount) % 3;
    ASSERT_TRUE(Ask<v1::OperatorReply>(owner, suspend).first.ok());
  }
  v1::ListRequest request;
  request.set_page_size(2);
  const std::vector<std::string> listed = ListAll(request);
  EXPECT_EQ(std::set<std::string>(listed.begin(), listed.end()).size(), 9U);
  EXPECT_EQ(listed.size(), 9U);
  const std::vector<std::string> in_parts = [&] {
    v1::ListRequest needy = request;
    needy.set_needs_operator(true);
    std::vector<std::string> first = ListAll(needy);
    for (const std::string& gid : gids) {
      if (std::find(first.begin(), first.end(), gid) == first.end()) first.push_back(gid);
    }
    return first;
  }();
  EXPECT_EQ(listed, in_parts);
}

// What others began is nobody else's, whoever has it and whatever that one tells a coordinator.
TEST_F(SpanningTest, AnInitiatorSeesItsOwnWhoeverHasThem) {
  const auto rules = security::Rules::Parse("allow token:* as initiator for *\n");
  ASSERT_TRUE(rules.ok());
  const auto grants = std::make_shared<const security::Grants>(rules->For("token:shop"));
  Start(3);
  const Caller shop{.name = "token:shop", .grants = grants};
  const Caller rival{.name = "token:rival", .grants = grants};
  std::vector<std::string> own;
  for (int i = 0; i < 60; ++i) {
    const std::string gid = GidIn(static_cast<Slot>((7 * i) % kSlotsCount), i);
    const std::size_t owner = SlotOf(gid, kSlotsCount) % members_.size();
    const Caller caller = i % 5 == 0 ? shop : i % 5 == 1 ? Caller{} : rival;
    ASSERT_TRUE(Ask<v1::SubmitReply>(owner, Submit(gid), caller).first.ok());
    if (i % 5 == 0) own.push_back(gid);
  }
  for (const bool all : {false, true}) {
    std::vector<std::string> listed;
    v1::ListRequest request;
    request.set_page_size(5);
    request.set_all(all);
    for (std::size_t page = 0; page < 60; ++page) {
      const auto [status, reply] = Ask<v1::ListReply>(page % 3, request, shop);
      ASSERT_TRUE(status.ok()) << status.ToString();
      for (const v1::Transaction& txn : reply.transactions()) listed.push_back(txn.gid());
      if (reply.next_page_token().empty()) break;
      request.set_page_token(reply.next_page_token());
    }
    if (all) std::reverse(listed.begin(), listed.end());
    EXPECT_EQ(listed, own) << all;
  }
  v1::ListRequest request;
  request.set_page_size(1000);
  EXPECT_EQ(Ask<v1::ListReply>(0, request, shop).second.transactions_size(),
            static_cast<int>(own.size()));
  EXPECT_EQ(Ask<v1::ListReply>(0, request).second.transactions_size(), 60);
}

TEST_F(SpanningTest, FinishedOnesComeFromTheStoreOnce) {
  Start(3);
  const std::vector<std::string> gids = BeginMany(30);
  for (std::size_t i = 0; i < 3; ++i) Finish(i);
  v1::ListRequest request;
  request.set_all(true);
  request.set_page_size(4);
  std::vector<std::string> latest_first(gids.rbegin(), gids.rend());
  EXPECT_EQ(ListAll(request,
                    [&](int page) {
                      if (page < 3) Finish(static_cast<std::size_t>(page));
                    }),
            latest_first)
      << "while some end";
  request.set_all(false);
  request.add_states(v1::FINISHED);
  const auto listed = ListAll(request);
  EXPECT_GE(listed.size(), 3U);
}

// A slot moves between two pages: its transactions are seen once, here or there.
TEST_F(SpanningTest, WhatMovesBetweenTwoPagesIsSeenOnce) {
  Start(2);
  const std::vector<std::string> gids = BeginMany(40);
  members_[0]->log.on_released_ = [&](Slot slot) {
    members_[1]->log.events_->OnAssigned({{.slot = slot, .slot_epoch = 2}});
  };
  v1::ListRequest request;
  request.set_page_size(10);
  const auto listed = ListAll(request, [&](int page) {
    if (page != 1) return;
    const std::size_t before = members_[1]->engine->served_slots();
    members_[0]->log.events_->OnWanted({4});
    while (members_[1]->engine->served_slots() == before) std::this_thread::yield();
    view_.slots[4] = {2, 2, 0};
    Show();
  });
  EXPECT_EQ(listed, gids);
}

TEST_F(SpanningTest, WhoIsSilentIsNamedAndSlotsThatNobodyServesAreCounted) {
  Start(3);
  BeginMany(12);
  silent_ = {2};
  v1::ListReply reply = List(0, {});
  ASSERT_EQ(reply.silent_size(), 1);
  EXPECT_EQ(reply.silent(0).node(), "b");
  EXPECT_EQ(reply.silent(0).address(), "host-2:7400");
  EXPECT_EQ(reply.silent(0).why(), "connection refused");
  EXPECT_EQ(reply.slots_left_out(), 0U) << "they are its own";
  for (const v1::Transaction& txn : reply.transactions())
    EXPECT_NE(SlotOf(txn.gid(), kSlotsCount) % 3, 1);
  silent_.clear();
  members_[2]->log.events_->OnWanted({2});
  while (members_[2]->engine->served_slots() == 5) std::this_thread::yield();
  reply = List(1, {});
  EXPECT_EQ(reply.silent_size(), 0);
  EXPECT_EQ(reply.slots_left_out(), 1U);
}

TEST_F(SpanningTest, TokensOfOthersAreRefused) {
  Start(2);
  v1::ListRequest request;
  for (const char* token : {"M", "M2.5", "M0.5.x", "M0.5.1-", "L1.0.5.6", "F5"}) {
    request.set_page_token(token);
    EXPECT_EQ(Ask<v1::ListReply>(0, request).first.code(), Code::kInvalidArgument) << token;
  }
}

TEST_F(SpanningTest, AnInstanceThatIsConnectedToAllIsOneLine) {
  Start(3);
  for (auto& member : members_) {
    transport::InstanceInfo shared;
    shared.instance = "i-1";
    shared.address = "10.0.0.1:1";
    shared.connected_at = core::WallTime(core::Millis(1000 * member->epoch_));
    shared.in_flight = 2;
    transport::ServiceInfo service{"s", {shared}, {"saga:a"}, 1};
    if (member->epoch_ == 2) {
      service.instances.push_back(shared);
      service.instances.back().instance = "i-2";
      service.actions.push_back("saga:b");
    }
    member->participants = {service};
    if (member->epoch_ == 3) member->participants.push_back({"t", {}, {}, 0});
  }
  v1::ListParticipantsReply reply =
      Ask<v1::ListParticipantsReply>(0, v1::ListParticipantsRequest()).second;
  ASSERT_EQ(reply.participants_size(), 2);
  const v1::ParticipantInfo& s = reply.participants(0);
  ASSERT_EQ(s.instances_size(), 2);
  std::map<std::string, const v1::ParticipantInfo::Instance*> by_name;
  for (const auto& instance : s.instances()) by_name[instance.instance()] = &instance;
  EXPECT_EQ(by_name.at("i-1")->coordinators(), 3U);
  EXPECT_EQ(by_name.at("i-1")->in_flight(), 6U);
  EXPECT_EQ(by_name.at("i-1")->connected_unix_ms(), 1000);
  EXPECT_EQ(by_name.at("i-1")->not_at_size(), 0);
  EXPECT_EQ(by_name.at("i-2")->coordinators(), 1U);
  ASSERT_EQ(by_name.at("i-2")->not_at_size(), 2);
  EXPECT_EQ(by_name.at("i-2")->not_at(0), "c");
  EXPECT_EQ(by_name.at("i-2")->not_at(1), "a");
  EXPECT_EQ(s.queued(), 3U);
  EXPECT_EQ(s.actions_size(), 2);
  EXPECT_EQ(reply.participants(1).service(), "t");
  silent_ = {3};
  reply = Ask<v1::ListParticipantsReply>(0, v1::ListParticipantsRequest()).second;
  ASSERT_EQ(reply.silent_size(), 1);
  EXPECT_EQ(reply.silent(0).node(), "c");
  EXPECT_EQ(reply.participants_size(), 1);
}

// Another version, or another program, at a member's address.
TEST_F(SpanningTest, AMemberThatDoesNotGoOnIsNotAskedForEver) {
  Start(3);
  const std::vector<std::string> gids = BeginMany(8);
  v1::ListReply nothing;
  nothing.mutable_slice()->set_more(true);
  says_[3] = nothing.SerializeAsString();
  v1::ListRequest request;
  request.set_page_size(100);
  const v1::ListReply page = List(0, request);
  EXPECT_EQ(page.transactions_size(), 6) << "two are in slots of the third";
  ASSERT_EQ(page.silent_size(), 1);
  EXPECT_EQ(page.silent(0).node(), "c");
  request.set_all(true);
  const v1::ListReply all = List(0, request);
  EXPECT_EQ(all.transactions_size(), 6);
  EXPECT_EQ(all.silent_size(), 1);
}

TEST_F(SpanningTest, APageOfParticipantsThatEndsBeforeAllOthersIsAPage) {
  Start(2);
  members_[0]->participants = {{"shop", {}, {}, 0}};
  v1::ListParticipantsReply odd;
  odd.set_next_page_token("books");
  says_[2] = odd.SerializeAsString();
  const auto [status, reply] = Ask<v1::ListParticipantsReply>(0, v1::ListParticipantsRequest());
  ASSERT_TRUE(status.ok()) << status.ToString();
  ASSERT_EQ(reply.participants_size(), 1);
  EXPECT_EQ(reply.participants(0).service(), "shop");
}

TEST_F(SpanningTest, FiguresAreThoseOfEachAndTheirSum) {
  Start(3);
  BeginMany(16);
  v1::ServerInfo info = Ask<v1::ServerInfo>(1, v1::GetServerInfoRequest()).second;
  EXPECT_EQ(info.begun(), 16U);
  EXPECT_EQ(info.active(), 16U);
  ASSERT_EQ(info.members_size(), 3);
  EXPECT_EQ(info.members(0).node(), "a");
  EXPECT_EQ(info.members(0).info().begun(), 6U);
  EXPECT_EQ(info.members(1).info().begun(), 5U);
  silent_ = {1};
  info = Ask<v1::ServerInfo>(1, v1::GetServerInfoRequest()).second;
  EXPECT_EQ(info.begun(), 10U);
  EXPECT_EQ(info.members(0).silent(), "connection refused");
  EXPECT_FALSE(info.members(0).has_info());
}

}  // namespace
}  // namespace assent::service
