// Transactions of every protocol, stopped at every step, in a real log that a dying process has
// left; then a recovery with the production shard, until all of them have come to their end. Also
// run under valgrind (log_recovery_valgrind).

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "coordinator/core/codec.h"
#include "coordinator/engine/shard.h"
#include "coordinator/log/sqlite/sqlite_log.h"
#include "tests/engine/shard_rig.h"
#include "tests/log/log_rig.h"

namespace assent::log {
namespace {

using core::AttemptResult;
using engine::ShardRig;

// What participants answer, one after the other; the last answer is repeated.
const std::vector<std::vector<AttemptResult>> kStories = {
    {AttemptResult::kDone},
    {AttemptResult::kDoneReadOnly, AttemptResult::kDone},
    {AttemptResult::kDone, AttemptResult::kRefused, AttemptResult::kDone},
    {AttemptResult::kUnknown, AttemptResult::kDone, AttemptResult::kRetryLater,
     AttemptResult::kDone},
    // Trouble in phase two: what a branch needed a second attempt for is written down.
    {AttemptResult::kDone, AttemptResult::kDone, AttemptResult::kDone, AttemptResult::kUnknown,
     AttemptResult::kUnknown, AttemptResult::kUnknown, AttemptResult::kDone},
    {AttemptResult::kDone, AttemptResult::kDone, AttemptResult::kRefused, AttemptResult::kUnknown,
     AttemptResult::kUnknown, AttemptResult::kDone},
};
constexpr int kSteps = 20;

// One transaction, taken so many steps. What it has written is durable: all of it, or all but the
// last.
class Tale {
 public:
  Tale(const std::string& gid, core::Protocol protocol) {
    rig_.Do(engine::BeginRequest{ShardRig::Spec(gid, protocol, 3), engine::WaitFor::kAccepted,
                                 told_.Callback()});
    Collect();
  }
  // `quick`: the next answer comes before what the last one has changed is written.
  void Step(const std::vector<AttemptResult>& story, bool quick) {
    if (!rig_.appends.empty()) {
      rig_.Complete();
    } else if (!rig_.sent.empty()) {
      const transport::Command command = rig_.sent.front();
      rig_.sent.erase(rig_.sent.begin());
      const AttemptResult result = story[std::min(answers_++, story.size() - 1)];
      rig_.Do(engine::RepliesRequest{{{command.gid, command.branch, command.operation,
                                       command.attempt, result, "", "said so", core::Millis(0)}}});
      if (!quick) rig_.Pass(core::Millis(20));
    } else {
      rig_.Pass(core::Millis(500));
    }
    Collect();
  }
  std::vector<Entry> Entries(std::uint64_t serial) const {
    std::vector<Entry> entries = entries_;
    for (Entry& entry : entries) entry.serial = serial;
    return entries;
  }

 private:
  void Collect() {
    for (const ShardRig::PendingAppend& append : rig_.appends) {
      if (append.batch <= last_batch_) continue;
      last_batch_ = append.batch;
      entries_.insert(entries_.end(), append.entries.begin(), append.entries.end());
    }
  }

  ShardRig::Told told_;
  ShardRig rig_;
  std::vector<Entry> entries_;
  std::uint64_t last_batch_ = 0;
  std::size_t answers_ = 0;
};

SqliteOptions OptionsAt(const std::string& path) {
  SqliteOptions options;
  options.path = path;
  options.reserve_bytes = 0;
  options.retention_age =
      std::chrono::milliseconds(0);  // the clocks of these tales are not the machine's
  return options;
}

// Leaves the file of a log that was killed; returns how many transactions have begun in it.
std::uint64_t LeaveLog(const std::string& path) {
  const auto open = [&]() -> Result<std::unique_ptr<Log>> {
    auto opened = SqliteLog::Open(OptionsAt(path));
    if (!opened.ok()) return opened.status();
    return std::unique_ptr<Log>(*std::move(opened));
  };
  return LeaveKilled(open, [](LogClient& log) {
    std::uint64_t serial = 0;
    for (const auto protocol :
         {core::Protocol::kTwoPhase, core::Protocol::kTcc, core::Protocol::kSaga}) {
      for (const std::vector<AttemptResult>& story : kStories) {
        for (int steps = 0; steps <= kSteps; ++steps) {
          ++serial;
          Tale tale(std::string(core::Name(protocol)) + "-" + std::to_string(serial), protocol);
          for (int i = 0; i < steps; ++i) tale.Step(story, serial % 3 == 0);
          for (Entry& entry : tale.Entries(serial))
            ASSENT_CHECK(log.Append({std::move(entry)}).status.ok());
        }
      }
    }
    return serial;
  });
}

// Drives what was adopted until nothing is left. Every participant now says yes.
void Finish(engine::Shard& shard, ShardRig& ports, LogClient& log) {
  core::MonoTime mono = ports.mono;
  core::WallTime wall = ports.wall;
  for (int turn = 0; shard.live_count() > 0; ++turn) {
    ASSERT_LT(turn, 10'000) << shard.live_count() << " transactions do not come to their end";
    if (!ports.appends.empty()) {
      ShardRig::PendingAppend append = std::move(ports.appends.front());
      ports.appends.pop_front();
      AppendResult result = log.Append(std::move(append.entries));
      ASSERT_TRUE(result.status.ok()) << result.status.ToString();
      shard.Handle(engine::AppendedRequest{append.batch, std::move(result)}, mono, wall);
    } else if (!ports.sent.empty()) {
      std::vector<transport::Reply> replies;
      for (const transport::Command& c : std::exchange(ports.sent, {})) {
        replies.push_back({c.gid, c.branch, c.operation, c.attempt, AttemptResult::kDone, "", "",
                           core::Millis(0)});
      }
      shard.Handle(engine::RepliesRequest{std::move(replies)}, mono, wall);
    } else {
      mono += std::chrono::seconds(1);
      wall += std::chrono::seconds(1);
    }
    shard.EndTurn(mono, wall);
  }
}

TEST(LogRecovery, EveryStateIsTakenUpAndComesToItsEnd) {
  TempFolder folder(/*in_memory=*/true);
  const std::string path = folder.File("left-behind.db");
  const std::uint64_t begun = LeaveLog(path);
  std::uint64_t finished_before = 0;
  {
    auto opened = SqliteLog::Open(OptionsAt(path));
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    LogClient log(*std::move(opened));
    ASSERT_TRUE(log.Recover().ok());
    finished_before = log.recovered().finished_rows;
    ShardRig ports;
    engine::Shard shard({}, ports);
    std::vector<LiveRow> rows;
    std::set<core::Phase> phases;
    std::set<core::BranchState> states;
    for (const LiveRow& row : log.replayed()) {
      const Result<core::Transaction> read = core::Codec::Decode(row.gid, row.spec, row.state);
      ASSERT_TRUE(read.ok()) << read.status().ToString();
      phases.insert(read.value().phase());
      for (const auto& branch : read.value().branches()) states.insert(branch.state);
      rows.push_back(row);
    }
    EXPECT_EQ(phases.size(), 3u);  // the fourth, finished, is in the other table
    for (int state = 1; state <= 10; ++state) {
      EXPECT_TRUE(states.contains(static_cast<core::BranchState>(state)))
          << "no branch is " << core::Name(static_cast<core::BranchState>(state));
    }
    EXPECT_GT(finished_before, 10u);
    EXPECT_EQ(log.replayed().size() + finished_before, begun);
    ports.Start(shard, rows, log.recovered());
    shard.EndTurn(ports.mono, ports.wall);
    Finish(shard, ports, log);
    EXPECT_TRUE(ports.fatal.ok()) << ports.fatal.ToString();
  }
  auto opened = SqliteLog::Open(OptionsAt(path));
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  LogClient log(*std::move(opened));
  ASSERT_TRUE(log.Recover().ok());
  EXPECT_EQ(log.replayed().size(), 0u);
  EXPECT_EQ(log.recovered().finished_rows, begun);
}

}  // namespace
}  // namespace assent::log
