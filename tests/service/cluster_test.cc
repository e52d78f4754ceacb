// ClusterService without a door: what is seen of several coordinators, and what is asked of them.

#include "coordinator/service/cluster.h"

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/base/clock.h"
#include "coordinator/security/rules.h"
#include "tests/service/cluster_rig.h"

namespace assent::service {
namespace {

class Control final : public cluster::ClusterControl {
 public:
  void SetDraining(const std::string& node, bool draining, const cluster::Asked&,
                   Done done) override {
    Note((draining ? "drain " : "undrain ") + node, done);
  }
  void Move(const std::vector<Slot>& slots, const std::string& node, const cluster::Asked& by,
            Done done) override {
    Note("move" + Text(slots) + " to " + node + " by " + by.who + ": " + by.reason, done);
  }
  void Unpin(const std::vector<Slot>& slots, Done done) override {
    Note("unpin" + Text(slots), done);
  }
  void Fence(const std::string& node, const cluster::Asked& by, Done done) override {
    Note("fence " + node + " by " + by.who + ": " + by.reason, done);
  }
  void Look(Done done) override {
    if (on_look) on_look();
    Note("look", done);
  }
  std::vector<std::string> asked;
  std::function<void()> on_look;

 private:
  static std::string Text(const std::vector<Slot>& slots) {
    std::string text;
    for (const Slot slot : slots) text += " " + std::to_string(slot);
    return text;
  }
  void Note(std::string what, const Done& done) {
    asked.push_back(std::move(what));
    done(OkStatus());
  }
};

class ClusterTest : public ClusterRig {
 protected:
  ClusterTest() { control_ = &control; }
  v1::ClusterView Get(std::size_t member, bool load = false) {
    v1::GetClusterRequest request;
    request.set_load(load);
    return Ask<v1::ClusterView>(member, request).second;
  }
  template <typename Request>
  static Request By(const std::string& who, bool dry_run = false) {
    Request request;
    request.mutable_action()->set_who(who);
    request.mutable_action()->set_reason("because");
    request.mutable_action()->set_dry_run(dry_run);
    return request;
  }
  static unsigned OwnerIn(const v1::ClusterView& view, Slot slot) {
    return static_cast<std::uint8_t>(view.slots()[2 * slot]) +
           256U * static_cast<std::uint8_t>(view.slots()[2 * slot + 1]);
  }

  Control control;
};

TEST_F(ClusterTest, TheViewNamesMembersAndTheOwnerOfEachSlot) {
  Start(3);
  view_.slots[5].owner = 99;  // has ended, and nobody has taken it over
  view_.members[1].draining = true;
  Show();
  const v1::ClusterView view = Get(1);
  EXPECT_EQ(view.version(), 2U);
  EXPECT_EQ(view.answered_by(), 2U);
  EXPECT_EQ(view.coordinator_id(), members_[1]->engine->recovered().log_id);
  ASSERT_EQ(view.members_size(), 3);
  EXPECT_EQ(view.members(0).node(), "a");
  EXPECT_EQ(view.members(2).address(), "host-3:7400");
  EXPECT_TRUE(view.members(1).draining());
  EXPECT_EQ(view.members(0).slots(), 6U);
  EXPECT_EQ(view.members(2).slots(), 4U) << "slot 5 is nobody's";
  EXPECT_EQ(view.members(2).unfinished(), -1);
  ASSERT_EQ(view.slots().size(), 2U * kSlotsCount);
  EXPECT_EQ(OwnerIn(view, 4), 2U);
  EXPECT_EQ(OwnerIn(view, 5), 0U);
}

TEST_F(ClusterTest, LoadIsAskedOfEachAndWhoIsSilentIsSo) {
  Start(3);
  Begin(GidIn(0));
  Begin(GidIn(1));
  Begin(GidIn(4));
  silent_ = {3};
  const v1::ClusterView view = Get(0, /*load=*/true);
  EXPECT_EQ(view.members(0).unfinished(), 1);
  EXPECT_EQ(view.members(1).unfinished(), 2);
  EXPECT_EQ(view.members(2).unfinished(), -1);
  EXPECT_EQ(members_[1]->asked, 0) << "it was asked for its own, and asked nobody";
}

TEST_F(ClusterTest, WhoDoesNotAnswerIsShownWithWhatCameOfAsking) {
  Start(3);
  silent_ = {3};
  const v1::ClusterView view = Get(0, /*load=*/true);
  EXPECT_EQ(view.members(0).unreachable(), "");
  EXPECT_EQ(view.members(1).unreachable(), "");
  EXPECT_EQ(view.members(2).unreachable(), "connection refused");
  EXPECT_EQ(Get(0).members(2).unreachable(), "") << "nobody was asked";
  EXPECT_TRUE(control.asked.empty()) << "of one that serves, the store knows nothing newer";
}

// Monitoring was told of slots out of reach, between a stop in order and the next look.
TEST_F(ClusterTest, OfOneThatDrainsAndDoesNotAnswerTheStoreIsAskedFirst) {
  Start(2);
  view_.members[1].draining = true;
  Show();
  silent_ = {2};
  control.on_look = [this] {
    for (cluster::SlotRow& slot : view_.slots) slot.owner = 1;
    Show();
  };
  const v1::ClusterView view = Get(0, /*load=*/true);
  EXPECT_EQ(control.asked, std::vector<std::string>{"look"});
  EXPECT_EQ(view.members(1).slots(), 0U);
  EXPECT_EQ(view.members(1).unreachable(), "connection refused");
}

TEST_F(ClusterTest, WhoHasEndedIsShownForAnHourWithItsSlots) {
  Start(3);
  const std::int64_t now = base::UnixNowMs();
  view_.departed = {
      {.epoch = 90, .node = "old", .ended_by = "a", .last_beat_unix_ms = now - 3'700'000},
      {.epoch = 91,
       .node = "x",
       .address = "h:1",
       .ended_by = "a",
       .last_beat_unix_ms = now - 5'000},
      {.epoch = 92, .node = "y", .in_order = true, .last_beat_unix_ms = now + 7'000}};
  view_.slots[5].owner = 91;
  Show();
  const v1::ClusterView view = Get(1);
  ASSERT_EQ(view.departed_size(), 2);
  EXPECT_EQ(view.departed(0).node(), "x");
  EXPECT_EQ(view.departed(0).address(), "h:1");
  EXPECT_EQ(view.departed(0).ended_by(), "a");
  EXPECT_EQ(view.departed(0).slots(), 1U);
  EXPECT_GE(view.departed(0).silent_ms(), 5'000);
  EXPECT_TRUE(view.departed(1).in_order());
  EXPECT_EQ(view.departed(1).slots(), 0U);
  EXPECT_EQ(view.departed(1).silent_ms(), 0) << "its clock is ahead";
}

TEST_F(ClusterTest, WhoMovesOnIsNotSilent) {
  Start(2);
  const auto silent = [&](int i) { return Get(0).members(i).silent_ms(); };
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while ((silent(0) == 0 || silent(1) == 0) && std::chrono::steady_clock::now() < until) continue;
  ASSERT_GT(silent(0), 0);
  while (std::chrono::steady_clock::now() < until) {
    const auto before = silent(1);
    ++view_.members[0].beat;
    Show();
    if (silent(0) < before) return;
  }
  FAIL() << "a beat was not seen";
}

class Viewer final : public ClusterViewer {
 public:
  Status Show(const v1::ClusterView& view) override {
    shown.Put(view.version());
    return OkStatus();
  }
  void End(const Status& status) override { ended.Put(status); }
  Inbox<std::uint64_t> shown;
  Inbox<Status> ended;
};

TEST_F(ClusterTest, AWatchShowsTheLatestVersionWheneverTheOneBeforeIsTaken) {
  Start(2);
  const auto viewer = std::make_shared<Viewer>();
  const auto watch = std::make_shared<ClusterWatch>(*members_[0]->service, viewer);
  watch->Start({}, {});
  EXPECT_EQ(viewer->shown.Take(), 1U);
  watch->Taken();
  const auto beat = std::make_shared<const cluster::View>(view_);
  members_[0]->service->SetView(beat, 1);  // the same version
  EXPECT_EQ(viewer->shown.size(), 0U);
  Show();
  EXPECT_EQ(viewer->shown.Take(), 2U);
  Show();
  Show();
  EXPECT_EQ(viewer->shown.size(), 0U) << "version 2 has not been taken";
  watch->Taken();
  EXPECT_EQ(viewer->shown.Take(), 4U);
  members_[0]->service->router().Close();
  EXPECT_EQ(viewer->ended.Take().code(), Code::kUnavailable);
  watch->Taken();
  Show();
  EXPECT_EQ(viewer->shown.size(), 0U);
  const auto late = std::make_shared<Viewer>();
  std::make_shared<ClusterWatch>(*members_[0]->service, late)->Start({}, {});
  EXPECT_EQ(late->ended.Take().code(), Code::kUnavailable);
}

class WholeViewer final : public ClusterViewer {
 public:
  Status Show(const v1::ClusterView& view) override {
    shown.Put(view);
    return OkStatus();
  }
  void End(const Status&) override {}
  Inbox<v1::ClusterView> shown;
};

// With rules nobody but those who look at the coordinator was told where the others are: the SDK
// knew the one that it was given.
TEST_F(ClusterTest, WhoIsLedToTheOthersSeesNobodysNames) {
  Start(2);
  view_.members[1].draining = true;
  view_.members[1].drain = {.who = "ann", .reason = "new version", .unix_ms = 1};
  view_.pins = {{.node = "a", .by = {.who = "ann", .reason = "hot"}, .slots = {1}}};
  Show();
  const auto rules = security::Rules::Parse(
      "allow cn:a as initiator for *\nallow cn:b as participant for stock\nallow cn:c as viewer\n");
  ASSERT_TRUE(rules.ok());
  for (const std::string who : {"cn:a", "cn:b", "cn:c"}) {
    const auto grants = std::make_shared<const security::Grants>(rules->For(who));
    EXPECT_TRUE(grants->May(*security::NeededFor("/assent.v1.ClusterService/Watch"))) << who;
    const auto viewer = std::make_shared<WholeViewer>();
    const auto watch = std::make_shared<ClusterWatch>(*members_[0]->service, viewer);
    watch->Start({.name = who, .grants = grants}, {});
    const v1::ClusterView view = viewer->shown.Take();
    ASSERT_EQ(view.members_size(), 2);
    EXPECT_EQ(view.members(1).address(), "host-2:7400");
    EXPECT_TRUE(view.members(1).draining());
    EXPECT_EQ(view.slots().size(), 2U * kSlotsCount);
    const bool sees = who == "cn:c";
    EXPECT_EQ(view.members(1).drained_by(), sees ? "ann" : "");
    EXPECT_EQ(view.members(1).drain_reason(), sees ? "new version" : "");
    EXPECT_EQ(view.pinned_size(), sees ? 1 : 0);
  }
}

TEST_F(ClusterTest, OperatorsSayWhoTheyAreAndWhatTheyWant) {
  Start(2);
  auto drain = By<v1::DrainMemberRequest>("");
  drain.set_node("a");
  EXPECT_EQ(Ask<v1::ClusterReply>(0, drain).first.code(), Code::kInvalidArgument);
  drain.mutable_action()->set_who("ann");
  const auto [status, reply] = Ask<v1::ClusterReply>(0, drain);
  EXPECT_EQ(status, OkStatus());
  EXPECT_EQ(reply.view().version(), 1U);
  drain.set_undo(true);
  EXPECT_TRUE(Ask<v1::ClusterReply>(0, drain).first.ok());
  auto move = By<v1::MoveSlotsRequest>("ann");
  move.set_node("b");
  EXPECT_EQ(Ask<v1::ClusterReply>(0, move).first.code(), Code::kInvalidArgument) << "which?";
  move.add_slots(2);
  move.set_gid(GidIn(7));
  EXPECT_TRUE(Ask<v1::ClusterReply>(0, move).first.ok());
  move.set_unpin(true);
  EXPECT_EQ(Ask<v1::ClusterReply>(0, move).first.code(), Code::kInvalidArgument) << "to whom?";
  move.clear_node();
  EXPECT_TRUE(Ask<v1::ClusterReply>(0, move).first.ok());
  EXPECT_EQ(members_[1]->controls.back(), "unpin slots 2, 7 (of " + GidIn(7) + ") by ann: because");
  move.set_node("b");
  move.set_unpin(false);
  move.add_slots(kSlotsCount);
  EXPECT_EQ(Ask<v1::ClusterReply>(0, move).first.message(), "slots has 16: the last one is 15");
  auto fence = By<v1::FenceMemberRequest>("ann", /*dry_run=*/true);
  fence.set_node("b");
  EXPECT_TRUE(Ask<v1::ClusterReply>(0, fence).first.ok());
  fence.mutable_action()->set_dry_run(false);
  EXPECT_TRUE(Ask<v1::ClusterReply>(0, fence).first.ok());
  EXPECT_EQ(control.asked,
            (std::vector<std::string>{"drain a", "undrain a", "move 2 7 to b by ann: because",
                                      "unpin 2 7", "fence b by ann: because"}));
}

// Nobody's log had a word of it, but for a fence in that of who did it.
TEST_F(ClusterTest, WhatOperatorsAskForIsHeardByAll) {
  Start(3);
  auto drain = By<v1::DrainMemberRequest>("ann");
  drain.set_node("b");
  EXPECT_TRUE(Ask<v1::ClusterReply>(0, drain).first.ok());
  view_.members[1].draining = true;
  view_.members[1].drain = {.who = "ann", .reason = "because", .unix_ms = 7};
  Show();
  for (const auto& member : members_)
    EXPECT_EQ(member->controls, std::vector<std::string>{"drain b by ann: because"});
  EXPECT_EQ(control.asked, std::vector<std::string>{"drain b"}) << "done once";
  const v1::ClusterView view = Get(2);
  EXPECT_EQ(view.members(1).drained_by(), "ann");
  EXPECT_EQ(view.members(1).drain_reason(), "because");
  EXPECT_EQ(view.members(1).drained_unix_ms(), 7);
  EXPECT_EQ(view.members(0).drained_by(), "");
  drain.set_undo(true);
  EXPECT_TRUE(Ask<v1::ClusterReply>(1, drain).first.ok());
  view_.members[1].draining = false;
  Show();
  EXPECT_EQ(Get(0).members(1).drained_by(), "");
  auto move = By<v1::MoveSlotsRequest>("ann");
  move.set_node("c");
  move.add_slots(2);
  EXPECT_TRUE(Ask<v1::ClusterReply>(2, move).first.ok());
  EXPECT_EQ(members_[0]->controls.back(), "move slot 2 to c by ann: because");
  move.add_slots(kSlotsCount);
  EXPECT_FALSE(Ask<v1::ClusterReply>(2, move).first.ok());
  EXPECT_EQ(members_[0]->controls.size(), 3U) << "nothing came of it";
}

TEST_F(ClusterTest, WhatPeopleHaveMovedIsShownWithWhoAndWhy) {
  Start(2);
  view_.pins = {
      {.node = "b", .by = {.who = "ann", .reason = "hot", .unix_ms = 7}, .slots = {2, 5}}};
  view_.departed = {{.epoch = 91,
                     .node = "x",
                     .ended_by = "a",
                     .fence = {.who = "bob", .reason = "on fire"},
                     .last_beat_unix_ms = base::UnixNowMs()}};
  Show();
  const v1::ClusterView view = Get(0);
  ASSERT_EQ(view.pinned_size(), 1);
  EXPECT_EQ(view.pinned(0).node(), "b");
  EXPECT_EQ(view.pinned(0).who(), "ann");
  EXPECT_EQ(view.pinned(0).reason(), "hot");
  EXPECT_EQ(view.pinned(0).unix_ms(), 7);
  ASSERT_EQ(view.pinned(0).slots_size(), 2);
  EXPECT_EQ(view.pinned(0).slots(1), 5U);
  EXPECT_EQ(view.departed(0).fenced_by(), "bob");
  EXPECT_EQ(view.departed(0).fence_reason(), "on fire");
}

TEST_F(ClusterTest, ATransactionSaysWhoHasItAndSinceWhen) {
  Start(2);
  Begin(GidIn(1));
  v1::GetRequest get;
  get.set_gid(GidIn(1));
  const std::int64_t before = base::UnixNowMs();
  const v1::Transaction shown = Ask<v1::Transaction>(1, get).second;
  EXPECT_EQ(shown.holder().node(), "b");
  EXPECT_EQ(shown.holder().address(), "host-2:7400");
  EXPECT_GT(shown.holder().since_unix_ms(), 0);
  EXPECT_LE(shown.holder().since_unix_ms(), before);
  const Router& router = members_[1]->service->router();
  while (base::UnixNowMs() <= before) continue;
  Show();
  EXPECT_EQ(router.HeldSince(1), shown.holder().since_unix_ms()) << "nothing has moved";
  view_.slots[1].owner = 1;
  Show();
  EXPECT_GT(router.HeldSince(1), before);
  EXPECT_EQ(router.HeldSince(kSlotsCount), 0);
}

// Two-phase transactions of two coordinators, each of which has prepared what the other waits for:
// the younger one's coordinator hears of it, and both would stand still until a deadline if not.
TEST_F(ClusterTest, WhoIsInAnOlderOnesWayGivesWayWhereverItIs) {
  Start(2);
  const auto begin = [&](std::size_t member, const std::string& gid) {
    v1::SubmitRequest request = Submit(gid);
    request.mutable_transaction()->mutable_branches(0)->set_protocol(v1::TWO_PHASE);
    *request.mutable_transaction()->add_branches() = request.transaction().branches(0);
    request.mutable_transaction()->mutable_branches(1)->set_service("t");
    ASSERT_TRUE(Ask<v1::SubmitReply>(member, request).first.ok());
  };
  const auto answer = [&](std::size_t member, const std::vector<transport::Command>& commands,
                          const std::string& service, core::AttemptResult result,
                          const std::string& blocked_by) {
    for (const transport::Command& command : commands) {
      if (command.service != service) continue;
      transport::Reply reply;
      reply.gid = command.gid;
      reply.branch = command.branch;
      reply.operation = command.operation;
      reply.attempt = command.attempt;
      reply.result = result;
      reply.blocked_by = blocked_by;
      members_[member]->engine->OnReplies({reply});
    }
  };
  const std::string old_gid = GidIn(0);
  const std::string young_gid = GidIn(1);
  begin(0, old_gid);
  const auto old_commands = members_[0]->outbox.Take(2);
  while (base::WallNow() <= old_commands[0].began_at) std::this_thread::yield();
  begin(1, young_gid);
  const auto young_commands = members_[1]->outbox.Take(2);
  answer(0, old_commands, "s", core::AttemptResult::kDone, "");
  answer(1, young_commands, "t", core::AttemptResult::kDone, "");
  v1::GetRequest get;
  get.set_gid(young_gid);
  while (Ask<v1::Transaction>(1, get).second.branches(1).state() != v1::EXECUTED)
    std::this_thread::yield();
  // Once it has waited for long enough itself.
  for (auto commands = old_commands; Ask<v1::Transaction>(1, get).second.state() == v1::ACTIVE;
       commands = members_[0]->outbox.Take(1))
    answer(0, commands, "t", core::AttemptResult::kRetryLater, young_gid);
  v1::WaitRequest wait;
  wait.set_gid(young_gid);
  const v1::SubmitReply told = Ask<v1::SubmitReply>(1, wait).second;
  EXPECT_EQ(told.abort_reason(), "aborted so that the older transaction " + old_gid +
                                     ", which waits for its rows at t, can go on");
}

// A coordinator that is alone with its log has no view, asks nobody, and moves nothing.
TEST_F(ClusterTest, AloneThereIsVersionZeroAndNothingToMove) {
  engine::LockedLog log;
  engine::Engine engine({}, log, [](const Status&) {});
  ASSERT_TRUE(engine.Recover().ok());
  Service service({}, engine);
  const auto view = std::make_shared<Waiting<v1::ClusterView>>();
  v1::GetClusterRequest get;
  get.set_load(true);
  service.Take({}, get, view);
  const v1::ClusterView seen = view->answers.Take().second;
  EXPECT_EQ(seen.version(), 0U);
  EXPECT_EQ(seen.members_size(), 0);
  EXPECT_EQ(seen.coordinator_id(), engine.recovered().log_id);
  const auto moved = std::make_shared<Waiting<v1::ClusterReply>>();
  service.Take({}, By<v1::DrainMemberRequest>("ann"), moved);
  EXPECT_EQ(moved->answers.Take().first.code(), Code::kFailedPrecondition);
}

}  // namespace
}  // namespace assent::service
