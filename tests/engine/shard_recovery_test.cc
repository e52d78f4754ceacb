// What goes on after a restart, and when a participant is back.

#include <algorithm>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "coordinator/core/codec.h"
#include "tests/engine/shard_rig.h"

namespace assent::engine {
namespace {

using core::AttemptResult;

TEST(Shard, AServiceThatAppearsIsTriedAtOnce) {
  ShardRig rig;
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a", core::Protocol::kTcc, 1), WaitFor::kAccepted, told));
  rig.Complete();
  rig.AnswerAll(AttemptResult::kNotSent, "no participant s1 is connected");
  EXPECT_EQ(rig.Sent(), "");
  rig.Do(ServiceAppearedRequest{"s2"});
  EXPECT_EQ(rig.Sent(), "");
  rig.Do(ServiceAppearedRequest{"s1"});
  EXPECT_EQ(rig.Sent(), "1:TRY");
}

TEST(Shard, AServiceThatAppearsIsTriedSliceBySliceAndByEachOnce) {
  ShardOptions options;
  options.slice_count = 2;
  ShardRig rig(options);
  ShardRig::Told told;
  for (const char* gid : {"a", "b", "c"})
    rig.Do(ShardRig::Begin(ShardRig::Spec(gid, core::Protocol::kTcc, 1), WaitFor::kAccepted, told));
  rig.CompleteAll();
  rig.AnswerAll(AttemptResult::kNotSent, "no participant s1 is connected");
  rig.Do(ServiceAppearedRequest{"s1"});
  EXPECT_EQ(rig.Sent(), "1:TRY 1:TRY");
  EXPECT_EQ(rig.shard.Wakeup(), rig.mono);
  rig.AnswerAll(AttemptResult::kNotSent, "overloaded");  // they wait for the next time
  EXPECT_EQ(rig.Sent(), "1:TRY");
  EXPECT_EQ(rig.sent[0].gid, "c");
  EXPECT_GT(rig.shard.Wakeup(), rig.mono);
}

TEST(Shard, RecoveryAbortsUndecidedTwoPhaseWorkAndResumesTcc) {
  for (const auto protocol : {core::Protocol::kTwoPhase, core::Protocol::kTcc}) {
    ShardRig before;
    ShardRig::Told told;
    before.Do(ShardRig::Begin(ShardRig::Spec("a", protocol), WaitFor::kAccepted, told));
    const log::Entry begun = before.appends[0].entries[0];
    ShardRig reborn;  // only its ports are used
    Shard shard({}, reborn);
    std::vector<log::LiveRow> rows;
    rows.push_back(ShardRig::RowOf(begun));
    std::vector<std::uint64_t> epochs = ShardRig::kEpochs;
    epochs.push_back(log::NextEpoch(epochs.back(), 0xD4));
    reborn.Start(shard, rows, ShardRig::Recovered(epochs));
    if (protocol == core::Protocol::kTcc) {
      EXPECT_EQ(reborn.Sent(), "1:TRY 2:TRY");
      continue;
    }
    EXPECT_EQ(reborn.Sent(), "");
    ASSERT_EQ(reborn.appends.size(), 1U);
    shard.Handle(AppendedRequest{reborn.appends[0].batch, {{}, 1, 0, {}}}, reborn.mono,
                 reborn.wall);
    shard.EndTurn(reborn.mono, reborn.wall);
    EXPECT_EQ(reborn.Sent(), "2:ROLLBACK 1:ROLLBACK");
  }
}

// What a store of a later generation has of it may be old.
TEST(Shard, WhatIsOfAnEarlierGenerationIsHeldForAPerson) {
  for (const std::uint64_t written_in : {1U, 2U}) {
    ShardRig before;
    before.generation = written_in;
    ShardRig::Told told;
    before.Do(ShardRig::Begin(ShardRig::Spec("a", core::Protocol::kTcc), WaitFor::kAccepted, told));
    ShardRig reborn;
    reborn.generation = 2;
    Shard shard({}, reborn);
    std::vector<log::LiveRow> rows{ShardRig::RowOf(before.appends[0].entries[0])};
    reborn.Start(shard, rows, ShardRig::Recovered(ShardRig::kEpochs));
    EXPECT_EQ(reborn.Sent(), written_in == 2 ? "1:TRY 2:TRY" : "");
    EXPECT_EQ(shard.Stats().needs_operator, written_in == 2 ? 0U : 1U);
    if (written_in == 2) continue;
    // Nothing more is known of it in this generation until somebody has spoken.
    reborn.Pass(core::Millis(100));
    shard.EndTurn(reborn.mono, reborn.wall);
    ASSERT_EQ(reborn.appends.size(), 1U);
    const auto generation_of = [](const log::Entry& entry) {
      return core::Codec::Decode("a",
                                 core::Codec::EncodeSpec(ShardRig::Spec("a", core::Protocol::kTcc)),
                                 entry.state)
          ->generation();
    };
    EXPECT_EQ(generation_of(reborn.appends[0].entries[0]), 1U);
    shard.Handle(AppendedRequest{reborn.appends[0].batch, {{}, 1, 0, {}}}, reborn.mono,
                 reborn.wall);
    OperatorRequest request;
    request.gid = "a";
    request.verb = OperatorVerb::kResume;
    request.done = told.Callback();
    shard.Handle(std::move(request), reborn.mono, reborn.wall);
    shard.EndTurn(reborn.mono, reborn.wall);
    ASSERT_EQ(reborn.appends.size(), 2U);
    EXPECT_EQ(generation_of(reborn.appends[1].entries[0]), 2U);
  }
}

// Nobody but a person ends it. Whoever asked again used to be kept until his own deadline, and was
// told nothing.
TEST(Shard, WhoAsksAgainForWhatIsHeldIsToldSoAtOnce) {
  ShardRig before;
  ShardRig::Told told;
  const core::TransactionSpec spec = ShardRig::Spec("a", core::Protocol::kTcc);
  before.Do(ShardRig::Begin(spec, WaitFor::kAccepted, told));
  ShardRig reborn;
  reborn.generation = 2;
  Shard shard({}, reborn);
  std::vector<log::LiveRow> rows{ShardRig::RowOf(before.appends[0].entries[0])};
  reborn.Start(shard, rows, ShardRig::Recovered(ShardRig::kEpochs));
  const auto ask = [&](Request request) {
    shard.Handle(std::move(request), reborn.mono, reborn.wall);
    shard.EndTurn(reborn.mono, reborn.wall);
    const std::vector<std::string> words = std::exchange(told.words, {});
    return words.size() == 1 ? words[0] : "waits";
  };
  EXPECT_EQ(ask(ShardRig::Begin(spec, WaitFor::kCompleted, told)), "FAILED_PRECONDITION");
  EXPECT_EQ(ask(ShardRig::Begin(spec, WaitFor::kDecided, told)), "FAILED_PRECONDITION");
  EXPECT_EQ(ask(WaitRequest{"a", WaitFor::kDecided, told.Callback()}), "FAILED_PRECONDITION");
  EXPECT_EQ(ask(CloseRequest{.gid = "a", .reason = {}, .done = told.Callback()}),
            "FAILED_PRECONDITION")
      << "it is closed already, and a repeated Commit would wait";
  ExecuteRequest again{.gid = "a", .branch = spec.branches[0], .done = {}};
  again.done = [&told](const Status& status, const core::Transaction* txn, core::BranchIndex) {
    told.words.push_back(std::string(CodeName(status.code())));
    EXPECT_EQ(txn, nullptr);
    EXPECT_NE(status.message().find("transaction a is held: "), std::string::npos);
  };
  EXPECT_EQ(ask(std::move(again)), "FAILED_PRECONDITION");
  // It is there, and may be looked at; and who wants it accepted has what he wants.
  EXPECT_EQ(ask(GetRequest{"a", told.Callback()}), "OK UNDECIDED");
  EXPECT_EQ(ask(ShardRig::Begin(spec, WaitFor::kAccepted, told)), "OK UNDECIDED");

  // A person has spoken: now there is something to wait for.
  OperatorRequest abort;
  abort.gid = "a";
  abort.verb = OperatorVerb::kAbort;
  abort.done = [](const Status& status, const core::Transaction*, const core::Now&) {
    EXPECT_TRUE(status.ok()) << status.ToString();
  };
  shard.Handle(std::move(abort), reborn.mono, reborn.wall);
  shard.EndTurn(reborn.mono, reborn.wall);
  EXPECT_EQ(ask(WaitRequest{"a", WaitFor::kDecided, told.Callback()}), "waits");
  while (!reborn.appends.empty()) {
    const auto batch = reborn.appends.front().batch;
    reborn.appends.pop_front();
    shard.Handle(AppendedRequest{batch, {{}, batch, 0, {}}}, reborn.mono, reborn.wall);
    shard.EndTurn(reborn.mono, reborn.wall);
  }
  EXPECT_EQ(told.words, std::vector<std::string>{"OK ABORTED"});
}

// A million at once would be one huge write, and nobody else would be served before it.
TEST(Shard, RecoveryGoesOnSliceBySliceAndAWaitingOneIsServedAtOnce) {
  ShardRig before;
  ShardRig::Told told;
  ShardRig reborn;
  ShardOptions options;
  options.slice_count = 2;
  Shard shard(options, reborn);
  std::vector<log::LiveRow> rows;
  for (const char* gid : {"a", "b", "c", "d", "e"}) {
    before.Do(
        ShardRig::Begin(ShardRig::Spec(gid, core::Protocol::kTcc, 1), WaitFor::kAccepted, told));
    const log::Entry begun = before.appends.back().entries[0];
    rows.push_back(ShardRig::RowOf(begun));
  }
  const auto sent = [&] {
    std::string gids;
    for (const transport::Command& command : std::exchange(reborn.sent, {})) gids += command.gid;
    return gids;
  };
  reborn.Start(shard, rows, ShardRig::Recovered(ShardRig::kEpochs));
  EXPECT_EQ(sent(), "ab");
  EXPECT_EQ(shard.Wakeup(), reborn.mono);  // there is more to do
  shard.Handle(OperatorRequest{"e", OperatorVerb::kSuspend, {}, {}, {}, false, told.Callback()},
               reborn.mono, reborn.wall);
  shard.EndTurn(reborn.mono, reborn.wall);
  EXPECT_EQ(sent(), "ecd");  // e has not waited for its turn
  EXPECT_GT(shard.Wakeup(), reborn.mono);
}

struct AsideRig : ShardRig {
  std::vector<std::string> named;
  ShardOptions Options() {
    ShardOptions options;
    options.on_set_aside = [this](const std::string& sentence) { named.push_back(sentence); };
    return options;
  }
  static log::LiveRow RowOf(const log::Entry& entry, std::uint64_t serial) {
    return {serial, entry.version, entry.gid, entry.spec, entry.state};
  }
};

// It ended the daemon at every start (issue 8, point 4). One bad row is one bad row: named, and the
// rest goes on.
TEST(Shard, ARowThatMakesNoSenseIsSetAsideByName) {
  AsideRig rig;
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(ShardRig::Spec("b", core::Protocol::kTcc, 1), WaitFor::kAccepted, told));
  const log::Entry begun = rig.appends[0].entries[0];
  rig.appends.clear();
  Shard shard(rig.Options(), rig);
  std::vector<log::LiveRow> rows;
  rows.push_back({17, 1, "a", "garbage", "garbage"});
  rows.push_back(AsideRig::RowOf(begun, 18));
  rig.Start(shard, rows, ShardRig::Recovered(ShardRig::kEpochs));
  EXPECT_TRUE(rig.fatal.ok()) << rig.fatal.ToString();
  ASSERT_EQ(rig.named.size(), 1U);
  EXPECT_NE(rig.named[0].find("transaction a (table live, row 17)"), std::string::npos)
      << rig.named[0];
  EXPECT_EQ(rig.Sent(), "1:TRY");  // b's
  EXPECT_EQ(shard.Stats().set_aside, 1U);
  EXPECT_TRUE(rig.appends.empty()) << "its row is left as it is";

  // Whoever asks for it is told, and nothing is begun, presumed or looked up under its name.
  ShardRig::Told asked;
  std::string said;
  const ViewCallback hear = [&](const Status& status, const core::Transaction*, const core::Now&) {
    said = status.message();
  };
  const auto ask = [&](Request request) {
    shard.Handle(std::move(request), rig.mono, rig.wall);
    shard.EndTurn(rig.mono, rig.wall);
  };
  ask(GetRequest{"a", asked.Callback()});
  ask(GetRequest{"a", hear});
  ask(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kAccepted, asked));
  ask(CloseRequest{"a", true, "", WaitFor::kDecided, asked.Callback()});
  EXPECT_EQ(asked.words, (std::vector<std::string>{"DATA_LOSS", "DATA_LOSS", "DATA_LOSS"}));
  EXPECT_NE(said.find("row 17"), std::string::npos) << said;
  transport::Verdict verdict = transport::Verdict::kCommit;
  ask(QuestionRequest{{"a", "1", 7, ShardRig::kEpochs[0]},
                      [&](const transport::OutcomeAnswer& answer) { verdict = answer.verdict; }});
  EXPECT_EQ(verdict, transport::Verdict::kCannotTell);
  EXPECT_TRUE(rig.finds.empty());
}

TEST(Shard, OfTwoRowsWithOneGidTheYoungerIsSetAside) {
  AsideRig rig;
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a", core::Protocol::kTcc, 1), WaitFor::kAccepted, told));
  const log::Entry begun = rig.appends[0].entries[0];
  Shard shard(rig.Options(), rig);
  std::vector<log::LiveRow> rows;
  for (const std::uint64_t serial : {17U, 18U}) rows.push_back(AsideRig::RowOf(begun, serial));
  rig.Start(shard, rows, ShardRig::Recovered(ShardRig::kEpochs));
  EXPECT_TRUE(rig.fatal.ok()) << rig.fatal.ToString();
  ASSERT_EQ(rig.named.size(), 1U);
  EXPECT_NE(rig.named[0].find("row 18"), std::string::npos) << rig.named[0];
  EXPECT_EQ(rig.Sent(), "1:TRY");
}

// The other transaction of its gid has finished before it: its end cannot be filed, and stops
// nothing.
TEST(Shard, AnEndUnderATakenGidIsSetAsideByName) {
  AsideRig rig;
  Shard shard(rig.Options(), rig);
  std::vector<log::LiveRow> rows;
  rig.Start(shard, rows, ShardRig::Recovered(ShardRig::kEpochs));
  const auto handle = [&](Request request) {
    shard.Handle(std::move(request), rig.mono, rig.wall);
    shard.EndTurn(rig.mono, rig.wall);
  };
  const auto complete = [&](std::vector<log::RefusedEntry> refused = {}) {
    const auto done = rig.appends.front();
    rig.appends.pop_front();
    handle(AppendedRequest{done.batch, {{}, done.batch, 0, std::move(refused)}});
  };
  const auto answer = [&] {
    std::vector<transport::Reply> replies;
    for (const transport::Command& c : std::exchange(rig.sent, {}))
      replies.push_back(
          {c.gid, c.branch, c.operation, c.attempt, AttemptResult::kDone, "", "", core::Millis(0)});
    handle(RepliesRequest{std::move(replies)});
  };
  ShardRig::Told told;
  handle(ShardRig::Begin(ShardRig::Spec("a", core::Protocol::kTcc, 1), WaitFor::kCompleted, told));
  complete();
  answer();
  complete();
  answer();
  rig.mono += core::Millis(100);
  shard.EndTurn(rig.mono, rig.wall);
  ASSERT_EQ(rig.appends.size(), 1U);
  ASSERT_EQ(rig.appends.front().entries[0].kind, log::EntryKind::kEnd);
  complete({{0, AlreadyExists("transaction a cannot end: a finished one has this gid")}});
  EXPECT_TRUE(rig.fatal.ok()) << rig.fatal.ToString();
  EXPECT_EQ(told.words, (std::vector<std::string>{"OK COMMITTED"}));
  ASSERT_EQ(rig.named.size(), 1U);
  EXPECT_NE(rig.named[0].find("transaction a"), std::string::npos) << rig.named[0];
  EXPECT_EQ(shard.live_count(), 0U);
  EXPECT_TRUE(rig.appends.empty()) << "tried again and again";
  ShardRig::Told asked;
  handle(GetRequest{"a", asked.Callback()});
  EXPECT_EQ(asked.words, (std::vector<std::string>{"DATA_LOSS"}));
}

// Whoever lists them must not miss one that nobody has taken up yet.
TEST(Shard, WhatHasNotBeenTakenUpIsListedAndCounted) {
  ShardRig before;
  ShardRig::Told told;
  ShardRig reborn;
  ShardOptions options;
  options.slice_count = 1;
  Shard shard(options, reborn);
  std::vector<log::LiveRow> rows;
  for (const char* gid : {"a", "b", "c"}) {
    before.Do(ShardRig::Begin(ShardRig::Spec(gid), WaitFor::kAccepted, told));
    const log::Entry begun = before.appends.back().entries[0];
    rows.push_back(ShardRig::RowOf(begun));
  }
  reborn.Start(shard, rows, ShardRig::Recovered(ShardRig::kEpochs));
  EXPECT_EQ(reborn.sent.size(), 2U);  // a's
  std::string gids;
  for (const Part part : {Part::kOthers, Part::kNewestFirst}) {
    shard.Handle(SliceRequest{[&](std::uint64_t, const core::Transaction& txn, bool visible,
                                  const core::Now&) { gids += visible ? txn.gid() : "?"; },
                              [](const SliceEnd& end) { EXPECT_FALSE(end.more); }, part},
                 reborn.mono, reborn.wall);
  }
  EXPECT_EQ(gids, "abccba");
  EXPECT_EQ(shard.live_count(), 3U);
  EXPECT_EQ(shard.Stats().active, 3U);
}

}  // namespace
}  // namespace assent::engine
