// Any coordinator takes any call: what is another's is handed on, once.

#include <algorithm>
#include <array>
#include <atomic>
#include <future>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "coordinator/grpc/journey.h"
#include "tests/grpc/members.h"

namespace assent::test {
namespace {

class ForwardTest : public Members {
 protected:
  v1::Transaction GetAt(std::size_t member, const std::string& gid) {
    v1::GetRequest request;
    request.set_gid(gid);
    v1::Transaction txn;
    EXPECT_EQ(Text(members_[member]->stub->Get(Context().get(), request, &txn)), "OK");
    return txn;
  }
};

TEST_F(ForwardTest, ACallIsAnsweredByWhoeverHasTheTransaction) {
  Start(3);
  for (Slot slot = 0; slot < 3; ++slot) {
    v1::SubmitReply reply;
    EXPECT_EQ(TrySubmit(0, GidIn(slot), reply), "OK");
    EXPECT_EQ(reply.gid(), GidIn(slot));
    EXPECT_EQ(reply.outcome(), v1::COMMITTED);
  }
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(members_[i]->engine->Stats().begun, 1U) << i;
    for (Slot slot = 0; slot < 3; ++slot) EXPECT_EQ(GetAt(i, GidIn(slot)).gid(), GidIn(slot));
  }
}

TEST_F(ForwardTest, EveryOperationTravels) {
  Start(2);
  const std::string gid = GidIn(1);
  auto& stub = *members_[0]->stub;
  v1::BeginRequest begin;
  begin.mutable_transaction()->set_gid(gid);
  v1::BeginReply begun;
  ASSERT_EQ(Text(stub.Begin(Context().get(), begin, &begun)), "OK");
  v1::ExecuteBranchRequest execute;
  execute.set_gid(gid);
  *execute.mutable_branch() = Submit(gid).transaction().branches(0);
  v1::ExecuteBranchReply executed;
  ASSERT_EQ(Text(stub.ExecuteBranch(Context().get(), execute, &executed)), "OK");
  EXPECT_EQ(executed.state(), v1::EXECUTED);
  v1::SuspendRequest suspend;
  suspend.mutable_action()->set_gid(gid);
  suspend.mutable_action()->set_who("ann");
  v1::OperatorReply suspended;
  ASSERT_EQ(Text(stub.Suspend(Context().get(), suspend, &suspended)), "OK");
  v1::ResumeRequest resume;
  *resume.mutable_action() = suspend.action();
  ASSERT_EQ(Text(stub.Resume(Context().get(), resume, &suspended)), "OK");
  v1::CommitRequest commit;
  commit.set_gid(gid);
  commit.set_wait_for(v1::WAIT_COMPLETED);
  v1::SubmitReply committed;
  ASSERT_EQ(Text(stub.Commit(Context().get(), commit, &committed)), "OK");
  EXPECT_EQ(committed.outcome(), v1::COMMITTED);
  v1::WaitRequest wait;
  wait.set_gid(gid);
  EXPECT_EQ(Text(stub.Wait(Context().get(), wait, &committed)), "OK");
  v1::RollbackRequest rollback;
  rollback.set_gid(gid);
  EXPECT_EQ(stub.Rollback(Context().get(), rollback, &committed).error_code(),
            grpc::FAILED_PRECONDITION);
  EXPECT_EQ(GetAt(1, gid).interventions_size(), 2) << "each operator's deed once";
  EXPECT_EQ(members_[0]->engine->Stats().begun, 0U);
}

// It stands in the metadata of the call that came, and not of the one that is handed on.
TEST_F(ForwardTest, TheTraceOfACallTravels) {
  Start(2);
  const std::string parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  for (const std::string& gid : {GidIn(0), GidIn(1), std::string()}) {
    const auto context = Context();
    context->AddMetadata("traceparent", parent);
    v1::SubmitReply reply;
    ASSERT_EQ(Text(members_[0]->stub->Submit(context.get(), Submit(gid), &reply)), "OK");
    EXPECT_EQ(GetAt(0, reply.gid()).traceparent(), parent) << reply.gid();
  }
}

TEST_F(ForwardTest, AGidThatIsIssuedIsOneOfOurOwn) {
  Start(3);
  for (int i = 0; i < 10; ++i) {
    v1::SubmitReply reply;
    ASSERT_EQ(TrySubmit(1, "", reply), "OK");
    EXPECT_EQ(SlotOf(reply.gid(), kSlotsCount) % 3, 1);
  }
  EXPECT_EQ(members_[1]->engine->Stats().begun, 10U);
}

// A newcomer without a slot, or one that is nearly drained, takes calls as well.
TEST_F(ForwardTest, WhoHasNoSlotIssuesAGidThatAnotherOneServes) {
  Start(2);
  for (Slot slot = 0; slot < kSlotsCount; slot += 2) Move(slot, 1);
  ASSERT_TRUE(Eventually([&] { return members_[1]->engine->served_slots() == kSlotsCount; }));
  Show();
  v1::SubmitReply reply;
  ASSERT_EQ(TrySubmit(0, "", reply), "OK");
  EXPECT_NE(reply.gid(), "");
  EXPECT_EQ(GetAt(1, reply.gid()).outcome(), v1::COMMITTED);
}

TEST_F(ForwardTest, WhatWasHandedOnOnceGoesNoFurtherAndTheTrailersSayWhere) {
  Start(3);
  const auto context = Context(/*forwarded=*/true);
  v1::SubmitReply reply;
  const grpc::Status status = members_[0]->stub->Submit(context.get(), Submit(GidIn(2)), &reply);
  EXPECT_EQ(status.error_code(), grpc::UNAVAILABLE) << status.error_message();
  EXPECT_EQ(Trailer(*context, "assent-owner"), members_[2]->address);
  EXPECT_EQ(Trailer(*context, "assent-cluster-version"), "1");
  for (auto& member : members_) EXPECT_EQ(member->engine->Stats().begun, 0U);
}

// The one that is asked does not know yet that the slot has moved, and the one that it hands the
// call to has it no more.
TEST_F(ForwardTest, WhoeverLooksInTheWrongPlaceLooksAgain) {
  Start(3);
  const std::string gid = GidIn(1);
  v1::SubmitReply reply;
  ASSERT_EQ(TrySubmit(0, gid, reply), "OK");
  Move(1, 2);
  ASSERT_TRUE(Eventually([&] { return members_[2]->engine->served_slots() == 5; }));
  ++view_.version;
  ShowTo(1);
  ShowTo(2);
  auto later = std::async(std::launch::async, [&] { return TryGet(0, gid); });
  EXPECT_EQ(TryGet(2, gid), "OK");
  EXPECT_EQ(TryGet(1, gid), "OK") << "it knows already";
  EXPECT_EQ(later.wait_for(std::chrono::milliseconds(0)), std::future_status::timeout);
  ShowTo(0);
  EXPECT_EQ(later.get(), "OK");
}

// Calls that wait at an owner that gives the slot up are carried to the next one, whoever they were
// asked of.
TEST_F(ForwardTest, WhoWaitsGoesWhereTheTransactionGoes) {
  Start(3);
  const std::string gid = GidIn(1);
  members_[1]->participants.HoldBack(true);
  std::vector<std::future<std::string>> waiting;
  std::vector<v1::SubmitReply> replies(3);
  for (std::size_t i = 0; i < 3; ++i) {
    waiting.push_back(
        std::async(std::launch::async, [&, i] { return TrySubmit(i, gid, replies[i]); }));
  }
  ASSERT_TRUE(Eventually([&] { return members_[1]->participants.sent() > 0; }));
  Move(1, 2);
  Show();
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(waiting[i].get(), "OK") << i;
    EXPECT_EQ(replies[i].outcome(), replies[0].outcome()) << "one outcome for all";
  }
  EXPECT_EQ(members_[2]->engine->Stats().active, 0U);
}

TEST_F(ForwardTest, ASlotThatNobodyHasIsWaitedForUntilTheDeadline) {
  Start(2);
  view_.slots[1].owner = 99;
  Show();
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(300));
  v1::GetRequest get;
  get.set_gid(GidIn(1));
  v1::Transaction txn;
  EXPECT_EQ(members_[0]->stub->Get(context.get(), get, &txn).error_code(), grpc::DEADLINE_EXCEEDED);
  auto later = std::async(std::launch::async, [&] {
    v1::SubmitReply reply;
    return TrySubmit(0, GidIn(1), reply);
  });
  view_.slots[1].owner = 2;
  Show();
  EXPECT_EQ(later.get(), "OK");
}

// The owner dies while a call waits there; somebody takes its slot over, and has the answer.
TEST_F(ForwardTest, ALostOwnerIsNoAnswerAndItsSuccessorIsAsked) {
  Start(2);
  const std::string gid = GidIn(1);
  ASSERT_TRUE(Standing(2)) << "one line each way";
  members_[1]->participants.HoldBack(true);
  v1::SubmitReply reply;
  auto waiting = std::async(std::launch::async, [&] { return TrySubmit(0, gid, reply); });
  ASSERT_TRUE(Eventually([&] { return members_[1]->participants.sent() > 0; }));
  members_[1]->Stop();
  EXPECT_TRUE(Broken(2)) << "its end is noticed";
  std::vector<log::SlotGrant> grants;
  for (Slot slot = 1; slot < kSlotsCount; slot += 2) {
    rows_->log.Release(slot, [](const Status&) {});
    grants.push_back({.slot = slot, .slot_epoch = 2});
    view_.slots[slot] = {1, 2, 0};
  }
  members_[0]->log.events_->OnAssigned(grants);
  view_.members.pop_back();
  Show();
  EXPECT_EQ(waiting.get(), "OK");
  EXPECT_EQ(reply.gid(), gid);
}

// An operator's deed goes on record each time it is done: after a loss it is not done again by
// itself.
TEST_F(ForwardTest, ADeedOfAnOperatorIsNotRepeatedByItself) {
  Start(2);
  members_[1]->Stop();
  v1::AbortRequest abort;
  abort.mutable_action()->set_gid(GidIn(1));
  abort.mutable_action()->set_who("ann");
  v1::OperatorReply reply;
  EXPECT_EQ(members_[0]->stub->Abort(Context().get(), abort, &reply).error_code(),
            grpc::UNAVAILABLE);
}

// The caller's leaving reaches the one that has the call.
TEST_F(ForwardTest, WhoLeavesIsWaitedForNowhere) {
  Start(2);
  members_[1]->participants.HoldBack(true);
  auto context = Context();
  v1::SubmitReply reply;
  auto gone = std::async(std::launch::async, [&] {
    return members_[0]->stub->Submit(context.get(), Submit(GidIn(1)), &reply).error_code();
  });
  ASSERT_TRUE(Eventually([&] { return members_[1]->participants.sent() > 0; }));
  context->TryCancel();
  EXPECT_EQ(gone.get(), grpc::CANCELLED);
  members_[1]->participants.HoldBack(false);
  EXPECT_TRUE(Eventually([&] { return members_[1]->engine->Stats().committed == 1; }));
}

TEST_F(ForwardTest, NothingBeginsAnywhereWhileTheDatabaseIsAway) {
  Start(2);
  for (auto& member : members_) member->log.away_ = true;
  ASSERT_TRUE(Eventually([&] { return members_[0]->engine->away(); }));
  v1::SubmitReply reply;
  EXPECT_EQ(TrySubmit(0, GidIn(1), reply),
            "UNAVAILABLE: the database does not answer; nothing was begun");
}

// Slots go from one to the next while calls come to all: each gid is asked for at two coordinators,
// and has one outcome.
TEST_F(ForwardTest, NoCallFailsWhileSlotsMove) {
  Start(3);
  std::atomic<bool> moved = false;
  std::vector<std::thread> callers;
  std::atomic<int> asked = 0;
  std::array<std::atomic<Slot>, 4> at{};  // where each caller asks
  for (int t = 0; t < 4; ++t) {
    callers.emplace_back([&, t] {
      for (int i = 0; !moved || i < 20; ++i) {
        const int number = t * 100'000 + i;
        at[static_cast<std::size_t>(t)] = static_cast<Slot>(number % kSlotsCount);
        const std::string gid = GidIn(at[static_cast<std::size_t>(t)], number);
        v1::SubmitReply first;
        v1::SubmitReply second;
        const auto member = static_cast<std::size_t>(number);
        EXPECT_EQ(TrySubmit(member % 3, gid, first), "OK");
        EXPECT_EQ(TrySubmit((member / 3) % 3, gid, second), "OK");
        EXPECT_EQ(first.outcome(), second.outcome()) << gid;
        ++asked;
      }
    });
  }
  for (Slot slot = 0; slot < kSlotsCount; ++slot) {
    const int before = asked;
    const std::size_t from = view_.slots[slot].owner - 1;
    const int released = members_[from]->log.released_;
    Move(slot, view_.slots[slot].owner % 3);
    EXPECT_TRUE(Eventually([&] { return members_[from]->log.released_ > released; }));
    // Views are behind meanwhile: those who ask for the slot wait, others go on.
    EXPECT_TRUE(Eventually([&] {
      return asked > before ||
             std::all_of(at.begin(), at.end(), [&](const auto& there) { return there == slot; });
    }));
    Show();
  }
  moved = true;
  for (std::thread& caller : callers) caller.join();
  std::size_t served = 0;
  for (auto& member : members_) served += member->engine->served_slots();
  EXPECT_EQ(served, kSlotsCount);
}

// gRPC's alarm keeps what it calls: that must not keep the alarm.
TEST(GrpcPeersTest, WhatAPauseHasCalledIsGone) {
  door::GrpcPeers peers({});
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> there = held;
  EXPECT_TRUE(peers.Pause(std::chrono::milliseconds(1), [held = std::move(held)] {}));
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!there.expired() && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  EXPECT_TRUE(there.expired());
  peers.Close();
  EXPECT_FALSE(peers.Pause(std::chrono::milliseconds(1), [] {}));
}

// A call that waits for long may find its transaction moving several times, each time without an
// owner for a moment.
TEST(PatienceTest, WhoWasTakenUpMeanwhileSearchesAnew) {
  using std::chrono::milliseconds;
  using std::chrono::seconds;
  door::Patience patience;
  door::Patience::Clock::time_point now{std::chrono::hours(1)};
  const auto after = [&](milliseconds time, bool asked) {
    if (asked) patience.Asked(now);
    now += time;
    return patience.IsOver(now, door::kTravelPatience);
  };
  for (int moves = 0; moves < 5; ++moves) {
    EXPECT_FALSE(after(seconds(30), true));
    EXPECT_EQ(patience.NextPause(), milliseconds(10));
    EXPECT_EQ(patience.NextPause(), milliseconds(20));
    for (int i = 0; i < 9; ++i) EXPECT_FALSE(after(milliseconds(1100), i % 2 == 0));
  }
  // Whoever is asked and at once has not got it has not taken it up; nor has nobody.
  EXPECT_TRUE(after(milliseconds(100), true));
  EXPECT_TRUE(after(seconds(30), false));
}

// ---- Streams ------------------------------------------------------------------------------------

TEST_F(ForwardTest, SubmitsOfOneStreamGoToTheirOwnersAndAreAnsweredOnIt) {
  Start(3);
  const auto context = Context();
  const auto stream = members_[0]->stub->SubmitStream(context.get());
  v1::SubmitRequestFrame frame;
  for (std::uint64_t i = 0; i < 30; ++i) {
    *frame.add_requests() =
        Submit(i == 0 ? "" : GidIn(static_cast<Slot>(i % kSlotsCount), static_cast<int>(i)));
    frame.mutable_requests(static_cast<int>(i))->set_request_id(i + 1);
  }
  *frame.add_requests() = Submit("a b");
  frame.mutable_requests(30)->set_request_id(31);
  ASSERT_TRUE(stream->Write(frame));
  ASSERT_TRUE(stream->WritesDone());
  std::set<std::uint64_t> committed;
  v1::SubmitReplyFrame replies;
  while (stream->Read(&replies)) {
    for (const v1::SubmitReply& reply : replies.replies()) {
      if (reply.request_id() == 31) {
        EXPECT_EQ(reply.error_code(), grpc::INVALID_ARGUMENT);
      } else {
        EXPECT_EQ(reply.outcome(), v1::COMMITTED) << reply.error_message();
        EXPECT_TRUE(committed.insert(reply.request_id()).second);
      }
    }
  }
  EXPECT_EQ(Text(stream->Finish()), "OK");
  EXPECT_EQ(committed.size(), 30U);
  std::uint64_t begun = 0;
  for (auto& member : members_) begun += member->engine->Stats().begun;
  EXPECT_EQ(begun, 30U);
  EXPECT_GE(members_[2]->engine->Stats().begun, 9U);
}

TEST_F(ForwardTest, ASubmitOfAStreamGoesOnWhereItsSlotGoes) {
  Start(2);
  members_[0]->participants.HoldBack(true);
  members_[1]->participants.HoldBack(true);
  const auto context = Context();
  const auto stream = members_[0]->stub->SubmitStream(context.get());
  v1::SubmitRequestFrame frame;
  *frame.add_requests() = Submit(GidIn(0));
  *frame.add_requests() = Submit(GidIn(1));
  ASSERT_TRUE(stream->Write(frame));
  ASSERT_TRUE(Eventually([&] {
    return members_[0]->participants.sent() > 0 && members_[1]->participants.sent() > 0;
  }));
  members_[0]->participants.HoldBack(false);
  members_[1]->participants.HoldBack(false);
  Move(0, 1);
  Move(1, 0);
  Show();
  ASSERT_TRUE(stream->WritesDone());
  int answered = 0;
  v1::SubmitReplyFrame replies;
  while (stream->Read(&replies)) {
    for (const v1::SubmitReply& reply : replies.replies()) {
      EXPECT_EQ(reply.error_code(), 0) << reply.error_message();
      ++answered;
    }
  }
  EXPECT_EQ(answered, 2);
}

TEST_F(ForwardTest, AWatchIsRelayedAndEndsWhenTheTransactionMovesOn) {
  Start(3);
  members_[1]->participants.HoldBack(true);
  v1::SubmitReply reply;
  ASSERT_EQ(
      Text(members_[0]->stub->Submit(Context().get(), Submit(GidIn(1), v1::WAIT_ACCEPTED), &reply)),
      "OK");
  v1::WatchRequest request;
  request.set_gid(GidIn(1));
  const auto context = Context();
  const auto watch = members_[0]->stub->Watch(context.get(), request);
  const auto near = Context();
  const auto watch_there = members_[1]->stub->Watch(near.get(), request);
  v1::Transaction txn;
  ASSERT_TRUE(watch->Read(&txn));
  EXPECT_EQ(txn.state(), v1::ACTIVE);
  ASSERT_TRUE(watch_there->Read(&txn));
  Move(1, 2);
  Show();
  while (watch->Read(&txn)) continue;
  EXPECT_EQ(watch->Finish().error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(Trailer(*context, "assent-owner"), members_[2]->address);
  while (watch_there->Read(&txn)) continue;
  EXPECT_EQ(watch_there->Finish().error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(Trailer(*near, "assent-owner"), members_[2]->address);
  // As long as the slot is on its way it is said again.
  grpc::Status ended;
  do {
    const auto again_context = Context();
    const auto again = members_[0]->stub->Watch(again_context.get(), request);
    while (again->Read(&txn)) continue;
    ended = again->Finish();
  } while (ended.error_code() == grpc::UNAVAILABLE);
  EXPECT_EQ(Text(ended), "OK");
  EXPECT_EQ(txn.state(), v1::FINISHED);
}

// The other coordinator's stream ends while a state that nobody reads is being written here; what
// was read next was a stream that had gone, and a sanitizer saw it.
TEST_F(ForwardTest, AWatchThatNobodyReadsOutlivesTheStreamBehindIt) {
  Start(2);
  ASSERT_TRUE(Standing(2));
  members_[1]->participants.HoldBack(true);
  v1::SubmitRequest submit = Submit(GidIn(1), v1::WAIT_ACCEPTED);
  submit.mutable_transaction()->mutable_branches(0)->set_payload(std::string(900'000, 'p'));
  v1::SubmitReply reply;
  ASSERT_EQ(Text(members_[0]->stub->Submit(Context().get(), submit, &reply)), "OK");
  v1::WatchRequest request;
  request.set_gid(GidIn(1));
  request.set_payloads(true);
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::Transaction>>> watches;
  for (int i = 0; i < 8; ++i) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);  // what is not read fills its window
    arguments.SetInt("assent.watch", i);            // a connection of its own
    const auto stub = v1::TransactionService::NewStub(grpc::CreateCustomChannel(
        members_[0]->address, grpc::InsecureChannelCredentials(), arguments));
    contexts.push_back(Context());
    watches.push_back(stub->Watch(contexts.back().get(), request));
    watches.back()->WaitForInitialMetadata();  // it is being written
  }
  members_[1]->Stop();
  ASSERT_TRUE(Broken(members_[1]->epoch));
  v1::Transaction txn;
  for (const auto& watch : watches) {
    while (watch->Read(&txn)) EXPECT_EQ(txn.gid(), GidIn(1));
    EXPECT_EQ(watch->Finish().error_code(), grpc::UNAVAILABLE);
  }
}

}  // namespace
}  // namespace assent::test
