#include "tests/log/conformance.h"

#include <algorithm>
#include <set>

#include <gmock/gmock.h>

namespace assent::log {
namespace {

using testing::ElementsAre;

std::string Describe(const LiveRow& row) {
  return std::to_string(row.serial) + " v" + std::to_string(row.version) + " " + row.gid + " [" +
         row.spec + "] [" + row.state + "]";
}

std::vector<std::string> Describe(const std::vector<LiveRow>& rows) {
  std::vector<std::string> words;
  for (const LiveRow& row : rows) words.push_back(Describe(row));
  return words;
}

std::vector<std::uint64_t> Serials(const Result<std::vector<FinishedRow>>& rows) {
  EXPECT_TRUE(rows.ok()) << rows.status().ToString();
  std::vector<std::uint64_t> serials;
  if (rows.ok()) {
    for (const FinishedRow& row : rows.value()) serials.push_back(row.serial);
  }
  return serials;
}

}  // namespace

TEST_P(LogConformance, AnEmptyLogStartsAtTheBeginning) {
  auto log = Start();
  EXPECT_TRUE(log->replayed().empty());
  EXPECT_NE(log->recovered().log_id, 0u);
  EXPECT_EQ(StartNumber(log->recovered().epoch), 1u);
  EXPECT_THAT(*log->recovered().epochs, ElementsAre(log->recovered().epoch));
  ExpectNextSerial(*log, 1u);
  EXPECT_EQ(log->recovered().live_rows, 0u);
  EXPECT_EQ(log->recovered().finished_rows, 0u);
}

TEST_P(LogConformance, EveryStartIsANewEpochOfTheSameCoordinator) {
  const std::uint32_t id = Start()->recovered().log_id;
  for (std::uint64_t start = 2; start < 6; ++start) {
    auto log = Start();
    EXPECT_EQ(StartNumber(log->recovered().epoch), start);
    EXPECT_EQ(log->recovered().log_id, id);
  }
}

// CORRECTNESS, rule 6: what began in none of them may not be presumed aborted.
TEST_P(LogConformance, EveryLifeIsRememberedAndIsLikeNoOther) {
  std::vector<std::uint64_t> lives;
  for (int start = 1; start <= 5; ++start) {
    auto log = Start();
    lives.push_back(log->recovered().epoch);
    EXPECT_EQ(*log->recovered().epochs, lives);
    EXPECT_OK(log->Append(Batch(Begin(static_cast<std::uint64_t>(start), "g"))));
  }
  EXPECT_TRUE(std::is_sorted(lives.begin(), lives.end()));
  // Not only counted: after an older copy was restored, the count alone is that of a life that was
  // lost.
  std::set<std::uint64_t> drawn;
  for (const std::uint64_t life : lives) drawn.insert(life - FirstEpochOf(StartNumber(life)));
  EXPECT_GT(drawn.size(), 1u);
}

TEST_P(LogConformance, UnfinishedRowsAreReplayedOldestFirstAsLastWritten) {
  {
    auto log = Start();
    EXPECT_OK(log->Append(Batch(Begin(3, "c"))));
    EXPECT_OK(log->Append(Batch(Begin(1, "a"), Begin(2, "b"))));
    EXPECT_OK(log->Append(Batch(Update(2, 2, "b", "decided"), Update(3, 2, "c", "x"))));
    EXPECT_OK(log->Append(Batch(Update(3, 3, "c", "y"))));
  }
  auto log = Start();
  EXPECT_THAT(Describe(log->replayed()),
              ElementsAre("1 v1 a [spec of a] [s1]", "2 v2 b [spec of b] [decided]",
                          "3 v3 c [spec of c] [y]"));
  ExpectNextSerial(*log, 4u);
  EXPECT_EQ(log->recovered().live_rows, 3u);
}

TEST_P(LogConformance, ARowCanBeWrittenOnAfterReplay) {
  {
    auto log = Start();
    EXPECT_OK(log->Append(Batch(Begin(1, "a"), Begin(2, "b"))));
  }
  {
    auto log = Start();
    EXPECT_OK(log->Append(Batch(Update(1, 2, "a", "later"), End(2, 2, "b"))));
  }
  auto log = Start();
  EXPECT_THAT(Describe(log->replayed()), ElementsAre("1 v2 a [spec of a] [later]"));
  EXPECT_EQ(log->recovered().finished_rows, 1u);
}

TEST_P(LogConformance, AFinishedRowIsFoundWithAllThatItHeld) {
  for (int life = 0; life < 2; ++life) {
    auto log = Start();
    if (life == 0) {
      EXPECT_OK(log->Append(Batch(Begin(7, "a"))));
      EXPECT_EQ(log->Find("a").status().code(), Code::kNotFound);
      EXPECT_OK(log->Append(Batch(End(7, 2, "a", 5, 123456789))));
    }
    const Result<FinishedRow> row = log->Find("a");
    ASSERT_TRUE(row.ok()) << row.status().ToString();
    EXPECT_EQ(row.value().serial, 7u);
    EXPECT_EQ(row.value().gid, "a");
    EXPECT_EQ(row.value().spec, "spec of a");
    EXPECT_EQ(row.value().state, "end of a");
    EXPECT_EQ(row.value().outcome, 5);
    EXPECT_EQ(row.value().finished_unix_ms, 123456789);
    EXPECT_EQ(log->Find("A").status().code(), Code::kNotFound);
    EXPECT_EQ(log->Find("").status().code(), Code::kNotFound);
  }
}

// dtm's BoltDB store lost the branches of gids that were prefixes of one another.
TEST_P(LogConformance, GidsThatArePrefixesOfOneAnotherAreStrangers) {
  auto log = Start();
  EXPECT_OK(log->Append(Batch(Begin(1, "order"), Begin(2, "order-1"), Begin(3, "order-10"))));
  EXPECT_OK(log->Append(Batch(End(1, 2, "order", 1), End(3, 2, "order-10", 3))));
  EXPECT_EQ(log->Find("order").value().outcome, 1);
  EXPECT_EQ(log->Find("order-10").value().outcome, 3);
  EXPECT_EQ(log->Find("order-1").status().code(), Code::kNotFound);
  EXPECT_OK(log->Append(Batch(Forget("order"))));
  EXPECT_TRUE(log->Find("order-10").ok());
}

TEST_P(LogConformance, BytesAreKeptAsTheyAre) {
  const std::string bytes("\0\xFF'\";--\n\0", 9);
  {
    auto log = Start();
    Entry begin = Begin(1, "a", bytes);
    begin.spec = bytes + bytes;
    Entry empty = Begin(2, "b", "");
    empty.spec = "";
    EXPECT_OK(log->Append(Batch(begin, empty, Begin(3, "c", std::string(3'000'000, 'x')))));
  }
  auto log = Start();
  ASSERT_EQ(log->replayed().size(), 3u);
  EXPECT_EQ(log->replayed()[0].state, bytes);
  EXPECT_EQ(log->replayed()[0].spec, bytes + bytes);
  EXPECT_EQ(log->replayed()[1].state, "");
  EXPECT_EQ(log->replayed()[1].spec, "");
  EXPECT_EQ(log->replayed()[2].state, std::string(3'000'000, 'x'));
}

TEST_P(LogConformance, AWholeLifeInOneBatch) {
  {
    auto log = Start();
    EXPECT_OK(log->Append(Batch(Begin(1, "a"), Update(1, 2, "a", "x"), End(1, 3, "a", 2),
                                Begin(2, "b"), Update(2, 2, "b", "y"), Update(2, 3, "b", "z"))));
    EXPECT_EQ(log->Find("a").value().outcome, 2);
  }
  auto log = Start();
  EXPECT_THAT(Describe(log->replayed()), ElementsAre("2 v3 b [spec of b] [z]"));
  ExpectNextSerial(*log, 3u);
  EXPECT_TRUE(log->Find("a").ok());
}

TEST_P(LogConformance, AnEmptyBatchIsAnswered) {
  auto log = Start();
  EXPECT_OK(log->Append({}));
  EXPECT_EQ(log->Append({}).position, 2u);
}

TEST_P(LogConformance, AFinishedGidIsNotBegunAgain) {
  auto log = Start();
  EXPECT_OK(log->Append(Batch(Begin(1, "a"), End(1, 2, "a"))));
  const AppendResult result = log->Append(Batch(Begin(2, "b"), Begin(3, "a")));
  EXPECT_OK(result);
  ASSERT_EQ(result.refused.size(), 1u);
  EXPECT_EQ(result.refused[0].index, 1u);
  EXPECT_EQ(result.refused[0].status.code(), Code::kAlreadyExists);
  // What is written to a row that never was is refused too; the log goes on.
  const AppendResult behind = log->Append(Batch(Update(3, 2, "a", "x"), Update(2, 2, "b", "x")));
  EXPECT_OK(behind);
  ASSERT_EQ(behind.refused.size(), 1u);
  EXPECT_EQ(behind.refused[0].index, 0u);
  EXPECT_EQ(behind.refused[0].status.code(), Code::kNotFound);
  EXPECT_EQ(log->Find("a").value().serial, 1u);
  log.reset();
  EXPECT_THAT(Describe(Start()->replayed()), ElementsAre("2 v2 b [spec of b] [x]"));
}

TEST_P(LogConformance, AGidThatEndsInTheSameBatchIsNotBegunAgain) {
  auto log = Start();
  const AppendResult result =
      log->Append(Batch(Begin(1, "a"), End(1, 2, "a", 4), Begin(2, "a"), End(2, 2, "a", 5)));
  EXPECT_OK(result);
  ASSERT_EQ(result.refused.size(), 2u);
  EXPECT_EQ(result.refused[0].status.code(), Code::kAlreadyExists);
  EXPECT_EQ(result.refused[1].status.code(), Code::kNotFound);
  EXPECT_EQ(log->Find("a").value().outcome, 4);
}

// Nothing lets two unfinished rows have one gid any more; a build that did not check the gids it
// had issued itself let anybody do it who could guess the next one, and the later end stopped the
// log at every start (issue 8, point 4).
TEST_P(LogConformance, AnEndUnderATakenGidIsSetAsideAndNothingElse) {
  {
    auto log = Start();
    EXPECT_OK(log->Append(Batch(Begin(1, "a"), Begin(2, "a"), Begin(3, "c"))));
    EXPECT_OK(log->Append(Batch(End(1, 2, "a", 4))));
    const AppendResult result =
        log->Append(Batch(Update(3, 2, "c", "x"), End(2, 2, "a", 5), Begin(4, "d")));
    EXPECT_OK(result);
    ASSERT_EQ(result.refused.size(), 1u);
    EXPECT_EQ(result.refused[0].index, 1u);
    EXPECT_EQ(result.refused[0].status.code(), Code::kAlreadyExists);
    EXPECT_FALSE(log->log().GetStats().poisoned);
    EXPECT_EQ(log->Find("a").value().outcome, 4);
  }
  // Nothing of it is lost; and it is refused the same way as often as it is tried.
  auto log = Start();
  EXPECT_THAT(Describe(log->replayed()),
              ElementsAre("2 v2 a [spec of a] [end of a]", "3 v2 c [spec of c] [x]",
                          "4 v1 d [spec of d] [s1]"));
  const AppendResult again = log->Append(Batch(End(2, 3, "a", 5)));
  EXPECT_OK(again);
  ASSERT_EQ(again.refused.size(), 1u);
  // Once a person has forgotten the other, it ends.
  EXPECT_TRUE(log->Append(Batch(Forget("a"))).refused.empty());
  EXPECT_TRUE(log->Append(Batch(End(2, 4, "a", 5))).refused.empty());
  EXPECT_EQ(log->Find("a").value().outcome, 5);
}

// The same when all of its life falls into one commit.
TEST_P(LogConformance, AnUpdateAndAnEndThatCollidesInOneBatch) {
  {
    auto log = Start();
    EXPECT_OK(log->Append(Batch(Begin(1, "a"), Begin(2, "a"))));
    const AppendResult result = log->Append(
        Batch(End(1, 2, "a", 4), Update(2, 2, "a", "x"), Begin(7, "e"), End(2, 3, "a", 5)));
    EXPECT_OK(result);
    ASSERT_EQ(result.refused.size(), 1u);
    EXPECT_EQ(result.refused[0].index, 3u);
  }
  EXPECT_THAT(Describe(Start()->replayed()),
              ElementsAre("2 v3 a [spec of a] [end of a]", "7 v1 e [spec of e] [s1]"));
}

TEST_P(LogConformance, AForgottenGidCanBeginAnew) {
  {
    auto log = Start();
    EXPECT_OK(log->Append(Batch(Begin(1, "a"), End(1, 2, "a"))));
    const AppendResult forgotten = log->Append(Batch(Forget("a"), Forget("never")));
    EXPECT_OK(forgotten);
    ASSERT_EQ(forgotten.refused.size(), 1u);
    EXPECT_EQ(forgotten.refused[0].index, 1u);
    EXPECT_EQ(forgotten.refused[0].status.code(), Code::kNotFound);
    EXPECT_EQ(log->Find("a").status().code(), Code::kNotFound);
    EXPECT_TRUE(log->Append(Batch(Begin(2, "a"))).refused.empty());
    EXPECT_TRUE(log->Append(Batch(End(2, 2, "a"))).refused.empty());
    // Ended, forgotten and begun within one batch.
    EXPECT_TRUE(log->Append(Batch(Begin(3, "b"), End(3, 2, "b"), Forget("b"), Begin(4, "b")))
                    .refused.empty());
  }
  auto log = Start();
  EXPECT_THAT(Describe(log->replayed()), ElementsAre("4 v1 b [spec of b] [s1]"));
  EXPECT_EQ(log->recovered().finished_rows, 1u);
}

TEST_P(LogConformance, ForgettingAnUnfinishedRowIsRefused) {
  auto log = Start();
  EXPECT_OK(log->Append(Batch(Begin(1, "a"))));
  EXPECT_EQ(log->Append(Batch(Forget("a"))).refused.size(), 1u);
  log.reset();
  EXPECT_EQ(Start()->replayed().size(), 1u);
}

TEST_P(LogConformance, PositionsAreDenseAndCallbacksInOrder) {
  auto log = Start();
  std::vector<std::uint64_t> positions;
  std::promise<void> last;
  constexpr std::uint64_t kBatches = 1000;
  for (std::uint64_t i = 1; i <= kBatches; ++i) {
    log->log().Append(Batch(Begin(i, "g" + std::to_string(i))), [&](AppendResult result) {
      EXPECT_OK(result);
      EXPECT_GT(result.durable_unix_ms, 0);
      positions.push_back(result.position);
      if (positions.size() == kBatches) last.set_value();
    });
  }
  log->Wait(last.get_future());
  ASSERT_EQ(positions.size(), kBatches);
  for (std::uint64_t i = 0; i < kBatches; ++i) EXPECT_EQ(positions[i], i + 1);
  EXPECT_EQ(log->log().GetStats().records, kBatches);
  EXPECT_GE(log->log().GetStats().commits, 1u);
}

TEST_P(LogConformance, PositionsBeginAnewInEachLife) {
  EXPECT_EQ(Start()->Append(Batch(Begin(1, "a"))).position, 1u);
  EXPECT_EQ(Start()->Append(Batch(Begin(2, "b"))).position, 1u);
}

TEST_P(LogConformance, WhatWasAppendedBeforeTheEndIsDurable) {
  std::vector<std::future<AppendResult>> results;
  {
    auto log = Start();
    for (std::uint64_t i = 1; i <= 100; ++i) {
      results.push_back(log->AppendLater(Batch(Begin(i, "g" + std::to_string(i)))));
    }
  }
  for (auto& result : results) EXPECT_OK(result.get());
  EXPECT_EQ(Start()->replayed().size(), 100u);
}

TEST_P(LogConformance, AReadSeesWhatWasAppendedBeforeIt) {
  auto log = Start();
  for (std::uint64_t i = 1; i <= 50; ++i) {
    const std::string gid = "g" + std::to_string(i);
    auto ignored = log->AppendLater(Batch(Begin(i, gid), End(i, 2, gid)));
    EXPECT_TRUE(log->Find(gid).ok());
  }
}

TEST_P(LogConformance, ScanPagesThroughTheFinishedFromTheNewest) {
  auto log = Start();
  for (std::uint64_t i = 1; i <= 25; ++i) {
    const std::string gid = "g" + std::to_string(i);
    EXPECT_OK(
        log->Append(i % 5 == 0 ? Batch(Begin(i, gid)) : Batch(Begin(i, gid), End(i, 2, gid))));
  }
  EXPECT_THAT(Serials(log->Scan(0, 4)), ElementsAre(24, 23, 22, 21));
  EXPECT_THAT(Serials(log->Scan(21, 4)), ElementsAre(19, 18, 17, 16));
  EXPECT_THAT(Serials(log->Scan(3, 4)), ElementsAre(2, 1));
  EXPECT_THAT(Serials(log->Scan(1, 4)), ElementsAre());
  EXPECT_THAT(Serials(log->Scan(0, 0)), ElementsAre());
  EXPECT_EQ(Serials(log->Scan(UINT64_MAX, 1000)).size(), 20u);
  const Result<std::vector<FinishedRow>> page = log->Scan(2, 1);
  ASSERT_TRUE(page.ok());
  EXPECT_EQ(page.value().at(0).gid, "g1");
  EXPECT_EQ(page.value().at(0).spec, "spec of g1");
  EXPECT_EQ(page.value().at(0).state, "end of g1");
}

// A second writer, or a mistake of ours: nothing of the group is written, and the log stops.
struct Violation {
  std::string_view what;
  std::vector<Entry> batch;
};
constexpr std::string_view kEarlierSerial = "a serial of an earlier start";

TEST_P(LogConformance, AWriteOutOfTurnPoisonsTheLog) {
  const std::vector<Violation> violations = {
      {"a version too high", Batch(Update(1, 4, "a", "x"))},
      {"a version again", Batch(Update(1, 2, "a", "x"))},
      {"a version again, at the end", Batch(End(1, 2, "a"))},
      {"a row that never was", Batch(Update(9, 2, "z", "x"))},
      {"the end of a row that never was", Batch(End(9, 2, "z"))},
      {"the end under another gid", Batch(End(1, 3, "b"))},
      {"a row that has ended", Batch(Update(2, 3, "b", "x"))},
      {"ended twice", Batch(End(2, 3, "b"))},
      {"a serial in use", Batch(Begin(1, "y"))},
      {kEarlierSerial, Batch(Begin(3, "y"))},
      {"a beginning that is not version 1", Batch(Update(20, 1, "y", "x"))},
      {"serial 0", Batch(Begin(0, "y"))},
      {"a gap within a batch", Batch(Begin(20, "y"), Update(20, 3, "y", "x"))},
      {"begun twice in a batch", Batch(Begin(20, "y"), Begin(20, "y"))},
      {"on after the end in a batch",
       Batch(Begin(20, "y"), End(20, 2, "y"), Update(20, 3, "y", "x"))},
  };
  for (const Violation& violation : violations) {
    SCOPED_TRACE(violation.what);
    if (rig_->shared() && violation.what == kEarlierSerial) continue;  // there is no such order
    rig_ = GetParam().make();
    {
      auto log = Start();
      EXPECT_OK(log->Append(Batch(Begin(1, "a"), Begin(2, "b"), End(2, 2, "b"), Begin(5, "e"))));
    }
    {
      auto log = Start();
      EXPECT_OK(log->Append(Batch(Update(1, 2, "a", "good"))));
      EXPECT_EQ(log->Append(violation.batch).status.code(), Code::kUnknownOutcome);
      EXPECT_TRUE(log->log().GetStats().poisoned);
      EXPECT_EQ(log->Append(Batch(Begin(30, "late"))).status.code(), Code::kUnavailable);
      EXPECT_EQ(log->Find("b").status().code(), Code::kUnavailable);
      EXPECT_EQ(log->Scan(0, 10).status().code(), Code::kUnavailable);
    }
    auto log = Start();
    EXPECT_THAT(Describe(log->replayed()),
                ElementsAre("1 v2 a [spec of a] [good]", "5 v1 e [spec of e] [s1]"));
    EXPECT_EQ(log->recovered().finished_rows, 1u);
    ExpectNextSerial(*log, 6u);
  }
}

TEST_P(LogConformance, AFullQueueIsAnAnswer) {
  auto log = Start({.max_queued_entries = 4});
  rig_->Pause(*log);
  std::vector<std::future<AppendResult>> results;
  results.push_back(log->AppendLater(Batch(Begin(1, "a"), Begin(2, "b"))));
  results.push_back(log->AppendLater(Batch(Begin(3, "c"), Begin(4, "d"))));
  results.push_back(log->AppendLater(Batch(Begin(5, "e"), Update(1, 2, "a", "x"))));  // no room
  results.push_back(log->AppendLater(Batch(Update(1, 3, "a", "y"))));                 // nor this
  EXPECT_EQ(log->log().GetStats().queued_entries, 4u);
  rig_->Resume(*log);
  EXPECT_OK(log->Wait(std::move(results[0])));
  EXPECT_OK(log->Wait(std::move(results[1])));
  const AppendResult refused = log->Wait(std::move(results[2]));
  EXPECT_EQ(refused.status.code(), Code::kResourceExhausted);
  EXPECT_EQ(refused.position, 3u);
  EXPECT_EQ(log->Wait(std::move(results[3])).status.code(), Code::kResourceExhausted);
  // What builds on a refused batch is refused until that one is there, and is no violation.
  const AppendResult behind = log->Append(Batch(Update(1, 4, "a", "z")));
  EXPECT_EQ(behind.status.code(), Code::kResourceExhausted);
  EXPECT_OK(log->Append(Batch(Begin(5, "e"), Update(1, 2, "a", "x"))));
  EXPECT_OK(log->Append(Batch(Update(1, 3, "a", "y"), Update(1, 4, "a", "z"))));
  EXPECT_OK(log->Append(Batch(Update(1, 5, "a", "!"))));
  EXPECT_EQ(log->log().GetStats().queued_entries, 0u);
  log.reset();
  EXPECT_THAT(
      Describe(Start()->replayed()),
      ElementsAre("1 v5 a [spec of a] [!]", "2 v1 b [spec of b] [s1]", "3 v1 c [spec of c] [s1]",
                  "4 v1 d [spec of d] [s1]", "5 v1 e [spec of e] [s1]"));
}

TEST_P(LogConformance, ABatchLargerThanTheQueueIsLetInAlone) {
  auto log = Start({.max_queued_entries = 2});
  EXPECT_OK(log->Append(Batch(Begin(1, "a"), Begin(2, "b"), Begin(3, "c"))));
}

TEST_P(LogConformance, ReplayEndsWhenTheVisitorFails) {
  {
    auto log = Start();
    EXPECT_OK(log->Append(Batch(Begin(1, "a"), Begin(2, "b"))));
  }
  {
    LogClient log = rig_->Open({});
    int visited = 0;
    const Result<Recovered> recovered = Recover(log.log(), [&](const LiveRow&) {
      ++visited;
      return DataLoss("cannot decode");
    });
    EXPECT_EQ(visited, 1);
    EXPECT_EQ(recovered.status(), DataLoss("cannot decode"));
  }
  // A start that failed is none: the epoch is the next one.
  auto log = Start();
  const std::uint64_t starts = rig_->shared() ? 3 : 2;
  EXPECT_EQ(StartNumber(log->recovered().epoch), starts);
  EXPECT_EQ(log->recovered().epochs->size(), starts);
  EXPECT_EQ(log->replayed().size(), 2u);
}

}  // namespace assent::log
