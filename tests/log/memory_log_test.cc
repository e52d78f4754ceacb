// What the in-memory log has beyond conformance: ways to fail, for simulation.

#include "coordinator/log/memory/memory_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/log/log_rig.h"

namespace assent::log {
namespace {

using testing::ElementsAre;

class MemoryLogTest : public testing::Test {
 protected:
  // The next life of the coordinator on the same disk.
  MemoryLog& Start(MemoryLogOptions options = {.inline_completion = false}) {
    log_ = std::make_unique<MemoryLog>(disk_, options);
    answers_.clear();
    replayed_.clear();
    const auto recovered = Recover(*log_, [this](const LiveRow& row) {
      replayed_.push_back(row.gid + " v" + std::to_string(row.version));
      return OkStatus();
    });
    EXPECT_TRUE(recovered.ok());
    return *log_;
  }
  void Append(std::vector<Entry> batch) {
    log_->Append(std::move(batch), [this](const AppendResult& result) {
      answers_.push_back(std::to_string(result.position) + " " +
                         std::string(CodeName(result.status.code())));
    });
  }
  void Kill() {
    log_->Kill();
    log_.reset();
  }

  std::shared_ptr<MemoryDisk> disk_ = std::make_shared<MemoryDisk>();
  std::unique_ptr<MemoryLog> log_;
  std::vector<std::string> answers_;
  std::vector<std::string> replayed_;
};

TEST_F(MemoryLogTest, NothingHappensUntilAStep) {
  Start();
  Append(Batch(Begin(1, "a")));
  Append(Batch(Begin(2, "b")));
  EXPECT_THAT(answers_, ElementsAre());
  EXPECT_TRUE(disk_->seen().live.empty());
  EXPECT_TRUE(log_->Step());
  EXPECT_THAT(answers_, ElementsAre("1 OK", "2 OK"));
  EXPECT_EQ(disk_->durable().live.size(), 2u);
  EXPECT_EQ(log_->GetStats().commits, 1u);
  EXPECT_EQ(log_->GetStats().group_entries.sum, 2u);
  EXPECT_EQ(log_->GetStats().group_entries.counts[1], 1u);  // one group, of two
  EXPECT_FALSE(log_->Step());
}

TEST_F(MemoryLogTest, KillLosesTheQueueAndKeepsWhatWasWritten) {
  Start();
  Append(Batch(Begin(1, "a")));
  log_->Write();
  Append(Batch(Begin(2, "b")));
  Kill();
  EXPECT_THAT(answers_, ElementsAre());
  Start();
  EXPECT_THAT(replayed_, ElementsAre("a v1"));
}

// CORRECTNESS, rule 5: what a start sees is not durable until its epoch is.
TEST_F(MemoryLogTest, RecoveredIsNotDurableUntilTheEpochIs) {
  Start();
  Append(Batch(Begin(1, "a")));
  log_->Write();
  Kill();
  EXPECT_EQ(disk_->seen().live.size(), 1u);
  EXPECT_EQ(disk_->durable().live.size(), 0u);
  Start();
  EXPECT_EQ(disk_->durable().live.size(), 1u);
  Kill();
  disk_->PowerLoss();
  Start();
  EXPECT_THAT(replayed_, ElementsAre("a v1"));
  EXPECT_EQ(StartNumber(disk_->durable().epoch), 3u);
}

// Deterministic, and yet: an older copy that is put back does not live through what it has missed.
TEST_F(MemoryLogTest, ARestoredDiskStartsALifeOfItsOwn) {
  Start();
  Kill();
  const MemoryDisk copy = *disk_;
  Start();
  Kill();
  const std::vector<std::uint64_t> lost = disk_->durable().epochs;
  *disk_ = copy;
  Start();
  const std::vector<std::uint64_t> lives = disk_->durable().epochs;
  ASSERT_EQ(lives.size(), 2u);
  EXPECT_EQ(lives[0], lost[0]);
  EXPECT_EQ(StartNumber(lives[1]), StartNumber(lost[1]));
  EXPECT_NE(lives[1], lost[1]);
}

TEST_F(MemoryLogTest, TheNewestLivesAreRemembered) {
  const auto start_and_kill = [this] {
    Start();
    Kill();
  };
  for (std::size_t i = 0; i < kMaxEpochsCount; ++i) start_and_kill();
  ASSERT_EQ(disk_->durable().epochs.size(), kMaxEpochsCount);
  EXPECT_EQ(StartNumber(disk_->durable().epochs.front()), 1u);
  start_and_kill();
  EXPECT_EQ(disk_->durable().epochs.size(), kMaxEpochsCount);
  EXPECT_EQ(StartNumber(disk_->durable().epochs.front()), 2u);
  EXPECT_EQ(StartNumber(disk_->durable().epochs.back()), kMaxEpochsCount + 1);
}

TEST_F(MemoryLogTest, PowerLossKeepsAllOrNothingOfWhatWasNotSynchronised) {
  Start();
  Append(Batch(Begin(1, "a"), Begin(2, "b"), End(2, 2, "b"), Begin(3, "c")));
  log_->Step();
  Append(Batch(Update(1, 2, "a", "x"), Forget("b")));
  Append(Batch(End(1, 3, "a"), Update(3, 2, "c", "x")));
  EXPECT_TRUE(log_->Write());
  EXPECT_EQ(disk_->unsynced_groups(), 1u);
  const MemoryDisk before = *disk_;
  Kill();
  for (std::size_t kept = 0; kept <= 1; ++kept) {
    *disk_ = before;
    disk_->PowerLoss(kept);
    EXPECT_EQ(disk_->durable().live.contains(1), kept == 0);
    EXPECT_EQ(disk_->durable().serial_of_gid.contains("a"), kept == 1);
    EXPECT_EQ(disk_->durable().serial_of_gid.contains("b"), kept == 0);
    EXPECT_EQ(disk_->durable().live.at(3).version, kept + 1);
    if (kept == 0) {
      EXPECT_EQ(disk_->durable().live.at(1).version, 1u);
    }
    EXPECT_EQ(disk_->unsynced_groups(), 0u);
  }
}

// What fails undoes all that is not durable: two groups at once, and the first would be told OK.
TEST_F(MemoryLogTest, AGroupIsNotWrittenBeforeTheOneBeforeItIsDurable) {
  Start();
  Append(Batch(Begin(1, "a")));
  EXPECT_TRUE(log_->Write());
  Append(Batch(Update(1, 2, "a", "x"), Begin(2, "b")));
  log_->SetFull(MemoryLog::Full::kEverything);
  EXPECT_FALSE(log_->Write());
  EXPECT_EQ(disk_->unsynced_groups(), 1u);
  log_->Sync();
  EXPECT_THAT(answers_, ElementsAre("1 OK"));
  EXPECT_EQ(disk_->durable().live.at(1).version, 1u);
  EXPECT_TRUE(log_->Write());
  log_->Sync();
  EXPECT_THAT(answers_, ElementsAre("1 OK", "2 RESOURCE_EXHAUSTED"));
  Kill();
  Start();
  EXPECT_THAT(replayed_, ElementsAre("a v1"));
}

TEST_F(MemoryLogTest, AFailedSyncPoisonsAndTheOutcomeIsUnknown) {
  Start();
  Append(Batch(Begin(1, "a")));
  log_->Write();
  log_->FailNextSync();
  Append(Batch(Begin(2, "b")));
  log_->Sync();
  Append(Batch(Begin(3, "c")));
  log_->Step();
  EXPECT_THAT(answers_, ElementsAre("1 UNKNOWN_OUTCOME", "2 UNKNOWN_OUTCOME", "3 UNAVAILABLE"));
  EXPECT_TRUE(log_->GetStats().poisoned);
  log_.reset();
  MemoryDisk lost = *disk_;
  lost.PowerLoss();
  EXPECT_TRUE(lost.durable().live.empty());
  Start();
  EXPECT_THAT(replayed_, ElementsAre("a v1"));
}

TEST_F(MemoryLogTest, AFullDiskRefusesBeginningsAndGoesOn) {
  Start();
  Append(Batch(Begin(1, "a")));
  log_->Step();
  log_->SetFull(MemoryLog::Full::kBeginsOnly);
  Append(Batch(Begin(2, "b"), Update(1, 2, "a", "x")));
  Append(Batch(Update(1, 3, "a", "y")));  // builds on what was refused
  log_->Step();
  Append(Batch(Update(1, 2, "a", "x"), Update(1, 3, "a", "y")));
  log_->Step();
  log_->SetFull(MemoryLog::Full::kEverything);
  Append(Batch(Update(1, 4, "a", "z")));
  log_->Step();
  log_->SetFull(MemoryLog::Full::kNone);
  Append(Batch(Begin(2, "b"), Update(1, 4, "a", "z")));
  log_->Step();
  EXPECT_THAT(answers_, ElementsAre("1 OK", "2 RESOURCE_EXHAUSTED", "3 RESOURCE_EXHAUSTED", "4 OK",
                                    "5 RESOURCE_EXHAUSTED", "6 OK"));
  Start();
  EXPECT_THAT(replayed_, ElementsAre("a v4", "b v1"));
}

// SQLite keeps a group in memory until it commits: this is where a real disk turns out to be full.
TEST_F(MemoryLogTest, ADiskThatIsFullAtCommitRefusesBeginningsAndWritesTheRest) {
  Start();
  Append(Batch(Begin(1, "a"), Begin(2, "b"), End(2, 2, "b")));
  log_->Step();
  log_->SetFull(MemoryLog::Full::kAtCommit);
  EXPECT_FALSE(log_->GetStats().full);
  Append(Batch(Update(1, 2, "a", "x")));
  Append(Batch(Begin(3, "c")));
  Append(Batch(Update(3, 2, "c", "x")));  // builds on it
  Append(Batch(Begin(4, "b")));           // would be told that there is such a one
  Append(Batch(Forget("b"), Update(1, 3, "a", "y")));
  log_->Step();
  EXPECT_TRUE(log_->GetStats().full);
  EXPECT_FALSE(log_->GetStats().poisoned);
  EXPECT_EQ(disk_->durable().live.at(1).version, 3u);
  EXPECT_FALSE(disk_->durable().live.contains(3));
  log_->SetFull(MemoryLog::Full::kNone);
  Append(Batch(Begin(3, "c")));
  Append(Batch(Begin(4, "b")));
  log_->Step();
  EXPECT_THAT(answers_, ElementsAre("1 OK", "2 OK", "3 RESOURCE_EXHAUSTED", "4 RESOURCE_EXHAUSTED",
                                    "5 RESOURCE_EXHAUSTED", "6 OK", "7 OK", "8 OK"));
  Kill();
  Start();
  EXPECT_THAT(replayed_, ElementsAre("a v3", "c v1", "b v1"));
}

// It stays full for everything: all is refused, undone, and may come again.
TEST_F(MemoryLogTest, ADiskThatIsFullAtEachCommitRefusesTheGroupWithoutATrace) {
  Start();
  Append(Batch(Begin(1, "a"), Begin(2, "b"), End(2, 2, "b")));
  log_->Step();
  const MemoryImage before = disk_->durable();
  log_->SetFull(MemoryLog::Full::kAtEachCommit);
  Append(Batch(Update(1, 2, "a", "x"), Forget("b")));
  log_->Step();
  Append(Batch(Update(1, 3, "a", "y")));  // builds on it
  log_->Step();
  EXPECT_TRUE(log_->GetStats().full);
  EXPECT_EQ(disk_->unsynced_groups(), 0u);
  EXPECT_EQ(disk_->durable().commit_seq, before.commit_seq);
  EXPECT_EQ(disk_->seen().commit_seq, before.commit_seq);
  EXPECT_EQ(disk_->seen().live.at(1).version, 1u);
  EXPECT_TRUE(disk_->seen().serial_of_gid.contains("b"));
  log_->SetFull(MemoryLog::Full::kNone);
  Append(Batch(Update(1, 2, "a", "x"), Forget("b")));
  Append(Batch(Update(1, 3, "a", "y")));
  log_->Step();
  EXPECT_THAT(answers_,
              ElementsAre("1 OK", "2 RESOURCE_EXHAUSTED", "3 RESOURCE_EXHAUSTED", "4 OK", "5 OK"));
  Kill();
  Start();
  EXPECT_THAT(replayed_, ElementsAre("a v3"));
}

TEST_F(MemoryLogTest, AnInlineLogAnswersBeforeAppendReturnsEvenFromACallback) {
  Start({.inline_completion = true});
  std::vector<std::string> order;
  log_->Append(Batch(Begin(1, "a")), [&](const AppendResult&) {
    order.emplace_back("first");
    log_->Append(Batch(Begin(2, "b")), [&](const AppendResult&) { order.emplace_back("second"); });
    order.emplace_back("first ends");
  });
  EXPECT_THAT(order, ElementsAre("first", "first ends", "second"));
}

// A coordinator that is not alone gives slots up and takes slots up while it runs.
TEST_F(MemoryLogTest, ASlotIsGivenUpAndTakenUpAgain) {
  struct Events final : SlotEvents {
    void OnAssigned(const std::vector<SlotGrant>& grants) override {
      seen += "+" + std::to_string(grants.at(0).slot_epoch);
    }
    void OnWanted(const std::vector<Slot>& slots) override {
      seen += "?" + std::to_string(slots.at(0));
    }
    void OnFenced(const Status&) override { seen += "!"; }
    std::string seen;
  } events;
  const auto in_slot = [](Entry entry, Slot slot) {
    entry.slot = slot;
    return entry;
  };
  MemoryLog log(disk_, {.rows = {.slots_count = 4}});
  EXPECT_EQ(log.Join(events).value().slots.size(), 4u);
  std::vector<std::string> rows;
  std::vector<Code> codes;
  const auto note = [&](const auto& status) { codes.push_back(status.code()); };
  const auto load = [&](Slot slot) {
    log.Load(
        {slot},
        [&](const LiveRow& row) {
          rows.push_back(row.gid);
          return OkStatus();
        },
        [&](const Loaded& loaded) { note(loaded.status); });
  };
  load(1);
  load(2);
  log.Append(Batch(in_slot(Begin(1, "a"), 1), in_slot(Begin(2, "b"), 2)),
             [&](const AppendResult& result) { note(result.status); });
  log.Want(1);
  log.Release(1, note);
  log.Assign({.slot = 1, .slot_epoch = 7});
  load(1);
  EXPECT_THAT(rows, ElementsAre("a"));
  log.Release(1, note);
  EXPECT_THAT(codes, testing::Each(Code::kOk));
  codes.clear();
  // Whoever writes what is not his is a second writer.
  log.Append(Batch(in_slot(Update(1, 2, "a", "x"), 1)),
             [&](const AppendResult& result) { note(result.status); });
  EXPECT_THAT(codes, ElementsAre(Code::kUnknownOutcome));
  EXPECT_EQ(events.seen, "?1+7");
}

// Another coordinator took everything: nobody is answered as if nothing had been done.
TEST_F(MemoryLogTest, AFencedLogStops) {
  struct Events final : SlotEvents {
    void OnAssigned(const std::vector<SlotGrant>&) override {}
    void OnWanted(const std::vector<Slot>&) override {}
    void OnFenced(const Status& why) override { fenced = why; }
    Status fenced;
  } events;
  log_ = std::make_unique<MemoryLog>(disk_, MemoryLogOptions{.inline_completion = false});
  ASSERT_TRUE(Recover(*log_, events, [](const LiveRow&) { return OkStatus(); }).ok());
  Append(Batch(Begin(1, "a")));
  log_->Fence(Unavailable("others have its slots"));
  EXPECT_EQ(events.fenced, Unavailable("others have its slots"));
  Append(Batch(Begin(2, "b")));
  log_->Step();
  EXPECT_THAT(answers_, ElementsAre("1 UNKNOWN_OUTCOME", "2 UNAVAILABLE"));
  EXPECT_TRUE(log_->GetStats().poisoned);
}

TEST_F(MemoryLogTest, KeepsTheNewestFinishedRows) {
  Start({.inline_completion = true, .rows = {.max_finished_rows = 2}});
  for (std::uint64_t serial = 1; serial <= 4; ++serial) {
    const std::string gid = "g" + std::to_string(serial);
    Append(Batch(Begin(serial, gid), End(serial, 2, gid)));
  }
  EXPECT_EQ(log_->GetStats().finished_rows, 2u);
  EXPECT_FALSE(disk_->durable().serial_of_gid.contains("g2"));
  EXPECT_TRUE(disk_->durable().serial_of_gid.contains("g3"));
}

}  // namespace
}  // namespace assent::log
