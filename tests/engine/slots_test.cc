// Slots that are taken up and given up while transactions run in them.

#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "coordinator/core/codec.h"
#include "tests/engine/shard_rig.h"

namespace assent::engine {
namespace {

using core::AttemptResult;

constexpr Slot kSlotsCount = 4;

log::Joined JoinedSlots() {
  log::Joined joined = ShardRig::Recovered(ShardRig::kEpochs);
  joined.slots_count = kSlotsCount;
  return joined;
}

std::string GidIn(Slot slot, int number) {
  for (int i = 0;; ++i) {
    std::string gid = "g" + std::to_string(number) + "." + std::to_string(i);
    if (SlotOf(gid, kSlotsCount) == slot) return gid;
  }
}

class SlotsTest : public testing::Test {
 protected:
  SlotsTest() {
    rig_.shard.~Shard();  // the rig's own serves a log of one slot
    new (&rig_.shard) Shard({}, rig_);
    rig_.shard.Start(JoinedSlots());
  }
  void TakeUp(Slot slot) { rig_.Do(TakeUpRequest{slot, std::make_unique<Adopted>()}); }
  void GiveUp(Slot slot) {
    rig_.Do(GiveUpRequest{slot, [this] { left_ = true; }});
  }

  ShardRig rig_;
  bool left_ = false;
  ShardRig::Told told_;
};

using Words = std::vector<std::string>;

TEST_F(SlotsTest, WhatIsNotServedHereIsNeitherBegunNorDenied) {
  TakeUp(1);
  const std::string gid = GidIn(2, 0);
  rig_.Do(ShardRig::Begin(ShardRig::Spec(gid), WaitFor::kDecided, told_));
  rig_.Do(GetRequest{gid, told_.Callback()});
  rig_.Do(CloseRequest{gid, true, "", WaitFor::kDecided, told_.Callback()});
  EXPECT_EQ(told_.words, (Words{"ELSEWHERE", "ELSEWHERE", "ELSEWHERE"}));
  EXPECT_TRUE(rig_.appends.empty());
  EXPECT_TRUE(rig_.finds.empty());
}

TEST_F(SlotsTest, AnEmptySlotLeavesAtOnceAndCanComeBack) {
  TakeUp(1);
  GiveUp(1);
  EXPECT_TRUE(left_);
  TakeUp(1);
  rig_.Do(ShardRig::Begin(ShardRig::Spec(GidIn(1, 0)), WaitFor::kAccepted, told_));
  rig_.Complete();
  EXPECT_EQ(told_.words, Words{"OK UNDECIDED"});
}

TEST_F(SlotsTest, WhatHasBegunMayEndBeforeTheSlotLeavesAndNothingBegins) {
  TakeUp(1);
  ShardRig::Told late;
  rig_.Do(ShardRig::Begin(ShardRig::Spec(GidIn(1, 0)), WaitFor::kCompleted, told_));
  rig_.Complete();
  GiveUp(1);
  rig_.Do(ShardRig::Begin(ShardRig::Spec(GidIn(1, 1)), WaitFor::kCompleted, late));
  EXPECT_EQ(late.words, Words{"ELSEWHERE"});
  rig_.AnswerAll(AttemptResult::kDone);
  rig_.Complete();
  rig_.AnswerAll(AttemptResult::kDone);
  EXPECT_EQ(told_.words, Words{"OK COMMITTED"});
  EXPECT_FALSE(left_);
  rig_.Pass(core::Millis(20));
  rig_.Complete();
  EXPECT_TRUE(left_);
}

// A decision that the log has is told; whoever is left then is told that here nobody knows.
TEST_F(SlotsTest, ASlotLeavesBehindItsLastWriteAndWhoWaitsIsToldThatNobodyKnows) {
  TakeUp(1);
  ShardRig::Told decided;
  ShardRig::Told unwritten;
  rig_.Do(ShardRig::Begin(ShardRig::Spec(GidIn(1, 0)), WaitFor::kDecided, decided));
  rig_.Do(WaitRequest{GidIn(1, 0), WaitFor::kCompleted, told_.Callback()});
  rig_.Complete();
  rig_.AnswerAll(AttemptResult::kDone);  // the decision is with the log
  GiveUp(1);
  rig_.Do(ShardRig::Begin(ShardRig::Spec(GidIn(2, 0)), WaitFor::kDecided, unwritten));
  rig_.Pass(core::Millis(2000));
  EXPECT_FALSE(left_) << "a write is outstanding";
  rig_.Do(GetRequest{GidIn(1, 0), unwritten.Callback()});
  EXPECT_EQ(unwritten.words, (Words{"ELSEWHERE", "ELSEWHERE"}));
  rig_.Complete();
  EXPECT_TRUE(left_);
  EXPECT_EQ(decided.words, Words{"OK COMMITTED"});
  EXPECT_EQ(told_.words, Words{"UNKNOWN_OUTCOME"});
  EXPECT_EQ(rig_.Sent(), "") << "a command of a slot that has left";
  EXPECT_EQ(rig_.shard.live_count(), 0U);
  rig_.Pass(core::Millis(1'000'000));
  EXPECT_TRUE(rig_.appends.empty());
  EXPECT_EQ(rig_.Sent(), "");
  const ShardStats stats = rig_.shard.Stats();
  EXPECT_EQ(stats.active + stats.committing + stats.aborting, 0U);
}

// The log answers when the slot is closed already that an end cannot be filed: counted for as long
// as the slot is here.
TEST_F(SlotsTest, WhatIsSetAsideOfASlotThatIsLeavingIsNotCountedForEver) {
  for (const Slot slot : {1U, 2U}) {
    TakeUp(slot);
    rig_.Do(ShardRig::Begin(ShardRig::Spec(GidIn(slot, 0)), WaitFor::kCompleted, told_));
  }
  for (int phase = 0; phase < 2; ++phase) {
    rig_.CompleteAll();
    rig_.AnswerAll(AttemptResult::kDone);
  }
  rig_.Pass(core::Millis(100));
  ASSERT_EQ(rig_.appends.size(), 1U);  // both ends
  GiveUp(1);
  rig_.Pass(core::Millis(2000));
  EXPECT_FALSE(left_);
  const Status taken = AlreadyExists("a finished one has this gid");
  rig_.Complete({}, {{0, taken}, {1, taken}});
  EXPECT_TRUE(left_);
  EXPECT_EQ(rig_.shard.Stats().set_aside, 1U) << "of slot 2, which is still here";
  left_ = false;
  GiveUp(2);
  EXPECT_TRUE(left_);
  EXPECT_EQ(rig_.shard.Stats().set_aside, 0U);
}

// The simulator found it: the figure was told before the slot left, and the next turn, which would
// have put it right, may never come where nothing is left to do.
TEST_F(SlotsTest, WhoHasLeftDoesNotWaitForAServiceAnyMore) {
  TakeUp(1);
  rig_.Do(ShardRig::Begin(ShardRig::Spec(GidIn(1, 0)), WaitFor::kCompleted, told_));
  rig_.CompleteAll();
  rig_.NobodyThere();
  EXPECT_EQ(rig_.waiting["s1"], 1);
  GiveUp(1);
  rig_.CompleteAll();
  rig_.Pass(core::Millis(2000));
  EXPECT_TRUE(left_);
  EXPECT_EQ(rig_.waiting["s1"], 0);
}

TEST_F(SlotsTest, WhatIsAskedWhileItIsNotKnownWhoseTheGidIsIsAnsweredWhenTheSlotLeaves) {
  TakeUp(1);
  ShardRig::Told begun;
  rig_.Do(ShardRig::Begin(ShardRig::Spec(GidIn(1, 0)), WaitFor::kDecided, begun));
  rig_.Do(GetRequest{GidIn(1, 0), told_.Callback()});
  GiveUp(1);
  rig_.Pass(core::Millis(2000));
  rig_.Complete(ResourceExhausted("disk full"));
  EXPECT_TRUE(left_);
  EXPECT_EQ(begun.words, Words{"RESOURCE_EXHAUSTED"});
  EXPECT_EQ(told_.words, Words{"ELSEWHERE"});
}

// ---- Two coordinators and one log ---------------------------------------------------------------

// Rows that both write, and what each may not do.
class World {
 public:
  explicit World(unsigned seed) : dice_(seed) {
    for (std::size_t i = 0; i < 2; ++i) members_.push_back(std::make_unique<Member>(*this));
    for (Slot slot = 0; slot < kSlotsCount; ++slot) Load(slot, Draw(2));
  }

  void Run() {
    for (int step = 0; step < 600; ++step) Step(Draw(12));
    for (int step = 0; step < 4000 && !rows_.empty(); ++step) {
      for (Slot slot = 0; slot < kSlotsCount; ++slot) Load(slot, 0);  // those that have left
      Step(3 + Draw(9));
    }
    EXPECT_TRUE(rows_.empty()) << rows_.size() << " transactions have not ended";
    for (const auto& [gid, outcome] : told_)
      EXPECT_EQ(outcome, outcome_.at(gid)) << gid << ": told before it was so";
  }

 private:
  struct Member final : ShardPorts {
    explicit Member(World& w) : world(w), shard({.farewell_time = core::Millis(50)}, *this) {
      shard.Start(JoinedSlots());
    }
    std::uint64_t NextSerial(Slot) override { return ++world.serial_; }
    void Append(std::vector<log::Entry> entries, std::uint64_t batch) override {
      for (const log::Entry& entry : entries)
        EXPECT_TRUE(held.contains(entry.slot)) << "written for a slot that has left";
      appends.emplace_back(batch, std::move(entries));
    }
    void Find(std::string gid, std::uint64_t token) override {
      log::Found found = ShardRig::Absent();
      if (const auto row = world.finished_.find(gid); row != world.finished_.end()) {
        found.what = log::Found::What::kFinished;
        found.row = row->second;
      }
      finds.push_back(FoundRequest{token, std::move(found)});
    }
    void Send(std::vector<transport::Command> commands) override {
      for (transport::Command& command : commands) {
        EXPECT_TRUE(held.contains(SlotOf(command.gid, kSlotsCount)))
            << "sent for a slot that has left";
        sent.push_back(std::move(command));
      }
    }
    void GiveWay(GiveWayRequest) override {}
    void Waiting(const std::string&, std::int64_t) override {}
    void Fatal(const Status& status) override { ADD_FAILURE() << status.ToString(); }
    void Do(Request request) {
      shard.Handle(std::move(request), world.mono_, world.wall_);
      shard.EndTurn(world.mono_, world.wall_);
    }

    World& world;
    std::set<Slot> held;  // from loading until it has left
    std::deque<std::pair<std::uint64_t, std::vector<log::Entry>>> appends;
    std::deque<Request> finds;
    std::deque<transport::Command> sent;
    Shard shard;
  };

  std::size_t Draw(std::size_t limit) { return dice_() % limit; }

  void Load(Slot slot, std::size_t to) {
    for (const auto& member : members_) {
      if (member->held.contains(slot)) return;
    }
    auto adopted = std::make_unique<Adopted>();
    for (const auto& [serial, row] : rows_) {
      if (SlotOf(row.gid, kSlotsCount) == slot) adopted->Add(row);
    }
    members_[to]->held.insert(slot);
    members_[to]->Do(TakeUpRequest{slot, std::move(adopted)});
    ++moves_;
  }

  void Write(Member& member) {
    if (member.appends.empty()) return;
    auto [batch, entries] = std::move(member.appends.front());
    member.appends.pop_front();
    log::AppendResult result{{}, batch, wall_.time_since_epoch().count(), {}};
    for (std::size_t i = 0; i < entries.size(); ++i) {
      log::Entry& entry = entries[i];
      if (entry.kind == log::EntryKind::kBegin) {
        if (finished_.contains(entry.gid)) {
          result.refused.push_back({i, AlreadyExists(entry.gid)});
          continue;
        }
        rows_[entry.serial] = {entry.serial, 0, entry.gid, entry.spec, {}};
      }
      log::LiveRow& row = rows_.at(entry.serial);
      EXPECT_EQ(row.version + 1, entry.version) << entry.gid << ": somebody else has written it";
      row.version = entry.version;
      row.state = entry.state;
      if (entry.kind != log::EntryKind::kEnd) continue;
      outcome_[row.gid] = core::Name(OutcomeFromLog(entry.outcome));
      finished_[row.gid] = {entry.serial, row.gid, row.spec, row.state, entry.outcome, 0};
      rows_.erase(entry.serial);
    }
    member.Do(AppendedRequest{batch, std::move(result)});
  }

  void Step(std::size_t what) {
    Member& member = *members_[Draw(2)];
    const auto slot = static_cast<Slot>(Draw(kSlotsCount));
    mono_ += core::Millis(Draw(10));
    wall_ += core::Millis(Draw(10));
    switch (what) {
      case 0:
        if (!member.held.contains(slot) || leaving_.contains(slot)) return;
        leaving_.insert(slot);
        return member.Do(GiveUpRequest{slot, [this, &member, slot] {
                                         member.held.erase(slot);
                                         leaving_.erase(slot);
                                       }});
      case 1: return Load(slot, Draw(2));
      case 2: {
        const std::string gid = GidIn(slot, static_cast<int>(Draw(60)));
        return member.Do(BeginRequest{
            ShardRig::Spec(gid), WaitFor::kDecided,
            [this, gid](const Status& status, const core::Transaction* txn, const core::Now&) {
              EXPECT_NE(status.code(), Code::kUnavailable) << "nothing is known to be undone";
              if (status.code() == Code::kUnknownOutcome) ++unknown_;
              if (txn != nullptr)
                told_[gid] = txn->decision() == core::Decision::kCommit ? "COMMITTED" : "ABORTED";
            }});
      }
      case 3:
      case 4:
      case 5: return Write(member);
      case 6:
        if (member.finds.empty()) return;
        member.Do(std::move(member.finds.front()));
        return member.finds.pop_front();
      case 7: return member.Do(ServiceAppearedRequest{"s1"});
      case 11: return member.shard.EndTurn(mono_ += core::Millis(60), wall_);
      default: break;
    }
    if (member.sent.empty()) return member.shard.EndTurn(mono_, wall_);
    const transport::Command c = std::move(member.sent.front());
    member.sent.pop_front();
    const bool refused = c.operation == core::Operation::kTry && Draw(8) == 0;
    member.Do(RepliesRequest{{{c.gid,
                               c.branch,
                               c.operation,
                               c.attempt,
                               refused ? AttemptResult::kRefused : AttemptResult::kDone,
                               {},
                               {},
                               core::Millis(0)}}});
  }

  std::mt19937 dice_;
  core::MonoTime mono_{std::chrono::seconds(1000)};
  core::WallTime wall_{std::chrono::seconds(1'700'000'000)};
  std::uint64_t serial_ = 0;
  std::map<std::uint64_t, log::LiveRow> rows_;
  std::map<std::string, log::FinishedRow> finished_;
  std::map<std::string, std::string> outcome_;
  std::map<std::string, std::string> told_;
  std::set<Slot> leaving_;
  int unknown_ = 0;
  int moves_ = 0;
  std::vector<std::unique_ptr<Member>> members_;
};

TEST(Slots, MoveBetweenCoordinatorsWhileTransactionsRun) {
  for (unsigned seed = 1; seed <= 200 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World(seed).Run();
  }
}

}  // namespace
}  // namespace assent::engine
