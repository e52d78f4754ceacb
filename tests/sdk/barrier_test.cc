// The rules of the barrier: each state against each operation, and the same tables as the page that
// other languages follow shows them.

#include "participant-sdk/cpp/barrier/barrier.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <assent/limits.h>

#include "participant-sdk/cpp/barrier/who_waits.h"

namespace assent::barrier {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Named {
  State state;
  const char* name;
};
constexpr Named kStates[] = {{State::kNone, "no row"},       {State::kRefused, "REFUSED"},
                             {State::kDone, "DONE"},         {State::kReadOnly, "READ_ONLY"},
                             {State::kPrepared, "PREPARED"}, {State::kFinished, "FINISHED"},
                             {State::kUndone, "UNDONE"},     {State::kTombstone, "TOMBSTONE"}};
struct NamedOperation {
  Operation operation;
  Protocol protocol;
  const char* name;
};
constexpr NamedOperation kOperations[] = {{Operation::kPrepare, Protocol::kTwoPhase, "PREPARE"},
                                          {Operation::kTry, Protocol::kTcc, "TRY"},
                                          {Operation::kAction, Protocol::kSaga, "ACTION"},
                                          {Operation::kCommit, Protocol::kTwoPhase, "COMMIT"},
                                          {Operation::kConfirm, Protocol::kTcc, "CONFIRM"},
                                          {Operation::kRollback, Protocol::kTwoPhase, "ROLLBACK"},
                                          {Operation::kCancel, Protocol::kTcc, "CANCEL"},
                                          {Operation::kCompensate, Protocol::kSaga, "COMPENSATE"}};

std::string NameOf(Move move) {
  switch (move) {
    case Move::kRun: return "**run**";
    case Move::kReplay: return "replay";
    case Move::kRepeat: return "repeat";
    case Move::kNothing: return "nothing";
    case Move::kBury: return "bury";
    case Move::kRefuse: break;
  }
  return "refuse";
}

std::string NameOf(State state) {
  for (const Named& named : kStates)
    if (named.state == state && state != State::kNone) return named.name;
  return "nothing";
}

std::string NameOf(Upkeep upkeep) {
  switch (upkeep) {
    case Upkeep::kKeep: return "keep";
    case Upkeep::kCommit: return "commit";
    case Upkeep::kRollback: return "roll back";
    case Upkeep::kOrphan: return "orphan";
    case Upkeep::kForget: break;
  }
  return "forget";
}

Call CallOf(const NamedOperation& named) {
  Call call;
  call.gid = "g";
  call.branch_id = "b";
  call.operation = named.operation;
  call.protocol = named.protocol;
  call.action = "a";
  return call;
}

Row RowIn(State state, Protocol protocol) {
  return {state, protocol, "a", Reply::Done("first"), "second"};
}

// A table of the page: cells in lines.
std::string Table(const std::vector<std::vector<std::string>>& rows) {
  std::string text;
  for (const auto& row : rows) {
    for (const std::string& cell : row) text += "| " + cell + " ";
    text += "|\n";
  }
  return text;
}

std::string Page() {
  const char* root = std::getenv("ASSENT_SOURCE_DIR");
  std::ifstream file(std::string(root != nullptr ? root : ".") +
                     "/participant-sdk/cpp/barrier/DESIGN.md");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(BarrierPageTest, MovesAreAsShown) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& [state, name] : kStates) {
    rows.push_back({name});
    for (const Role role : {Role::kForward, Role::kFinish, Role::kUndo})
      rows.back().push_back(NameOf(MoveFor(state, role)));
  }
  EXPECT_THAT(Page(), HasSubstr(Table(rows)));
}

TEST(BarrierPageTest, RefusalsAreAsShown) {
  std::vector<std::vector<std::string>> rows;
  for (const NamedOperation& operation : kOperations) {
    for (const auto& [state, name] : kStates) {
      // A Saga step has no finishing operation; what a protocol cannot get into is not shown.
      const bool saga = operation.protocol == Protocol::kSaga;
      const bool two_phase = operation.protocol == Protocol::kTwoPhase;
      const bool reached =
          (two_phase || (state != State::kPrepared && state != State::kReadOnly)) &&
          !(saga && state == State::kFinished);
      if (!reached || MoveFor(state, RoleOf(operation.operation)) != Move::kRefuse) continue;
      rows.push_back({operation.name, name, RefusalFor(state, operation.operation)});
    }
  }
  EXPECT_THAT(Page(), HasSubstr(Table(rows)));
}

TEST(BarrierPageTest, WhatIsKeptIsAsShown) {
  std::vector<std::vector<std::string>> rows;
  for (const NamedOperation& operation : kOperations) {
    const bool prepare = operation.operation == Operation::kPrepare;
    const auto add = [&](const std::string& name, bool one_phase, bool wrote) {
      Call call = CallOf(operation);
      call.one_phase = one_phase;
      rows.push_back({name, NameOf(After(call, Reply::Done(), wrote)),
                      NameOf(After(call, Reply::Refused("no"), wrote)),
                      NameOf(After(call, Reply::RetryLater("busy"), wrote))});
    };
    add(operation.name, false, true);
    if (!prepare) continue;
    add("PREPARE, nothing written", false, false);
    add("PREPARE in one phase", true, true);
    add("PREPARE in one phase, nothing written", true, false);
  }
  EXPECT_THAT(Page(), HasSubstr(Table(rows)));
}

TEST(BarrierPageTest, UpkeepIsAsShown) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& [state, name] : kStates) {
    for (const Protocol protocol : {Protocol::kTcc, Protocol::kTwoPhase}) {
      const bool two_phase = protocol == Protocol::kTwoPhase;
      // Only of a DONE row does the protocol matter.
      if (state == State::kNone || (two_phase && state != State::kDone)) continue;
      const std::string what = state != State::kDone ? "" : two_phase ? " of a step" : " of a try";
      rows.push_back({name + what});
      const Row row = RowIn(state, two_phase ? Protocol::kSaga : protocol);
      for (const bool finished : {false, true}) {
        for (const Verdict verdict : {Verdict::kCommit, Verdict::kAbort})
          rows.back().push_back(NameOf(UpkeepFor(row, verdict, finished)));
      }
      for (const Verdict verdict : {Verdict::kUndecided, Verdict::kCannotTell})
        for (const bool finished : {false, true})
          EXPECT_EQ(UpkeepFor(row, verdict, finished), Upkeep::kKeep);
    }
  }
  EXPECT_THAT(Page(), HasSubstr(Table(rows)));
}

// Open is the table of moves with its answers.
TEST(BarrierTest, EachOperationInEachState) {
  for (const NamedOperation& operation : kOperations) {
    for (const auto& [state, name] : kStates) {
      SCOPED_TRACE(std::string(operation.name) + " in " + name);
      const Opening opening = Open(CallOf(operation), RowIn(state, operation.protocol));
      EXPECT_EQ(opening.move, MoveFor(state, RoleOf(operation.operation)));
      switch (opening.move) {
        case Move::kRun: break;
        case Move::kReplay: EXPECT_EQ(opening.reply, Reply::Done("first")); break;
        case Move::kRepeat: EXPECT_EQ(opening.reply, Reply::Done("second")); break;
        case Move::kNothing:
        case Move::kBury: EXPECT_EQ(opening.reply, Reply::Done()); break;
        case Move::kRefuse:
          EXPECT_EQ(opening.reply, Reply::Refused(RefusalFor(state, operation.operation)));
          break;
      }
    }
  }
}

// From every state, by whatever is asked in whatever order: what ran forward is finished or undone
// at most once, never both, and nothing runs forward after an undo.
TEST(BarrierTest, NoOrderOfOperationsRunsTwice) {
  for (const Protocol protocol : {Protocol::kTwoPhase, Protocol::kTcc, Protocol::kSaga}) {
    std::vector<NamedOperation> mine;
    std::copy_if(std::begin(kOperations), std::end(kOperations), std::back_inserter(mine),
                 [&](const NamedOperation& o) { return o.protocol == protocol; });
    constexpr int kLength = 6;
    const auto choices = mine.size() * 2;  // each answered done, or refused
    std::size_t count = 1;
    for (int i = 0; i < kLength; ++i) count *= choices;
    for (std::size_t history = 0; history < count; ++history) {
      Row row;
      int forward = 0, finished = 0, undone = 0;
      bool undo_was_done = false;
      std::size_t rest = history;
      for (int i = 0; i < kLength; ++i, rest /= choices) {
        const Call call = CallOf(mine[rest % mine.size()]);
        const Role role = RoleOf(call.operation);
        Opening opening = Open(call, row);
        if (opening.move == Move::kBury)
          row = {State::kTombstone, protocol, "a", opening.reply, {}};
        if (opening.move == Move::kRun) {
          opening.reply = rest % choices < mine.size() ? Reply::Done("r") : Reply::Refused("no");
          const State after = After(call, opening.reply);
          if (role == Role::kForward) {
            ASSERT_FALSE(undo_was_done);
            row = {after, protocol, "a", opening.reply, {}};
          } else if (after != State::kNone) {
            row.state = after;
          }
          if (IsDone(opening.reply))
            ++(role == Role::kForward ? forward : role == Role::kFinish ? finished : undone);
        }
        undo_was_done = undo_was_done || (role == Role::kUndo && IsDone(opening.reply));
        ASSERT_LE(forward, 1);
        ASSERT_LE(finished + undone, forward);
      }
    }
  }
}

TEST(BarrierTest, ACallThatDoesNotFitItsBranchIsRefused) {
  Call call = CallOf(kOperations[1]);
  call.protocol = Protocol::kSaga;
  EXPECT_EQ(Open(call, {}).reply, Reply::Refused("not an operation of a saga branch"));
  call = CallOf(kOperations[1]);
  EXPECT_EQ(Open(call, RowIn(State::kDone, Protocol::kTwoPhase)).reply,
            Reply::Refused("HAZARD: this branch was seen as 2pc a, not tcc a"));
  call.action = "other";
  EXPECT_THAT(Open(call, RowIn(State::kDone, Protocol::kTcc)).reply.reason, StartsWith("HAZARD:"));
  call = CallOf(kOperations[1]);
  call.gid.clear();
  EXPECT_EQ(Open(call, {}).move, Move::kRefuse);
  call.gid.assign(limits::kMaxGidBytes + 1, 'g');
  EXPECT_EQ(Open(call, {}).move, Move::kRefuse);
}

TEST(BarrierTest, RepliesAreKeptInOneForm) {
  Reply done = Reply::Done("r");
  done.reason = "words";
  done.retry_after = std::chrono::milliseconds(1);
  EXPECT_EQ(Normalized(done, Role::kForward), Reply::Done("r"));
  done.result.assign(limits::kMaxResultBytes + 1, 'r');
  EXPECT_EQ(Normalized(done, Role::kForward).kind, Reply::Kind::kRefused);
  EXPECT_EQ(Normalized(done, Role::kUndo), Reply::Done());
  Reply refused = Reply::Refused(std::string(limits::kMaxReasonBytes - 1, 'x') + "\xC3\xA4");
  refused.result = "r";
  EXPECT_EQ(Normalized(refused, Role::kForward),
            Reply::Refused(std::string(limits::kMaxReasonBytes - 1, 'x')));
}

TEST(WhoWaitsTest, EverybodyWaitsForOlderOnes) {
  EXPECT_EQ(Meet({"b", 20, 1}, {"a", 10, 1}), Meeting::kWait);
  EXPECT_EQ(Meet({"b", 10, 1}, {"a", 20, 1}), Meeting::kTell);
  EXPECT_EQ(Meet({"b", 10, 1}, {"a", 10, 1}), Meeting::kWait) << "one moment: by name";
  EXPECT_EQ(Meet({"a", 10, 1}, {"b", 10, 1}), Meeting::kTell);
  EXPECT_EQ(Meet({"b", 20, 1}, {"a", 10, 2}), Meeting::kWait);
  EXPECT_EQ(Meet({"b", 10, 1}, {"a", 20, 2}), Meeting::kRefuse);
  EXPECT_EQ(Meet({"b", 0, 1}, {"a", 20, 2}), Meeting::kWait) << "not known";
  EXPECT_EQ(Meet({"b", 10, 1}, {"a", 0, 1}), Meeting::kWait) << "not known";
  EXPECT_TRUE(MayHoldOthersUp(Operation::kTry, false));
  EXPECT_FALSE(MayHoldOthersUp(Operation::kPrepare, true));
  EXPECT_FALSE(MayHoldOthersUp(Operation::kConfirm, false));
}

}  // namespace
}  // namespace assent::barrier
