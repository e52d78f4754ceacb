// What a queue may rely on, of every store of rows.

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/log/memory/memory_store.h"
#include "coordinator/log/row_store.h"
#include "coordinator/log/sealed/sealed_store.h"
#include "coordinator/log/sqlite/sqlite_row_store.h"
#include "tests/log/log_rig.h"
#include "tests/log/postgresql_member.h"

namespace assent::log {
namespace {

using testing::ElementsAre;

class RowStoreConformance : public testing::TestWithParam<const char*> {
 protected:
  // Several may own parts of it: a start is one when it has joined.
  bool shared() const { return Inner() == "Postgresql"; }
  // Of what is sealed, what is below.
  std::string Inner() const {
    const std::string name = GetParam();
    return name.substr(sealed() ? kSealed.size() : 0);
  }
  bool sealed() const { return std::string(GetParam()).rfind(kSealed, 0) == 0; }
  std::unique_ptr<RowStore> Open() {
    if (!sealed()) return OpenInner();
    SealedOptions options{.keyring = keyring_, .report = std::make_shared<SealReport>()};
    options.set_aside = [](const std::string& gid, const std::string& why, const std::string&) {
      ADD_FAILURE() << gid << ": " << why;
      return std::string();
    };
    return std::make_unique<SealedStore>(OpenInner(), std::move(options));
  }
  std::unique_ptr<RowStore> OpenInner() {
    if (shared()) return postgresql_->Open();
    if (Inner() == "Memory") {
      return std::make_unique<MemoryStore>(disk_, MemoryStoreOptions());
    }
    auto store =
        SqliteRowStore::Open(SqliteOptions{.path = folder_.File("assent.db"), .reserve_bytes = 0});
    EXPECT_TRUE(store.ok()) << store.status().ToString();
    return *std::move(store);
  }
  void Start() {
    store_.reset();  // of the start before: without a goodbye
    store_ = Open();
    joined_ = store_->Join().value();
    rows_.clear();
    const auto visit = [this](const LiveRow& row) {
      rows_.push_back(row.gid + " v" + std::to_string(row.version));
      return OkStatus();
    };
    const Status loaded = store_->Load({0}, visit, damaged_);
    ASSERT_TRUE(loaded.ok()) << loaded.ToString();
  }
  // One local transaction of several batches; what it says of their entries.
  Status Write(const std::vector<std::vector<Entry>>& batches) {
    std::vector<const std::vector<Entry>*> group;
    for (const std::vector<Entry>& batch : batches) group.push_back(&batch);
    outcome_ = GroupOutcome();
    return store_->Write(group, unwritten_, outcome_);
  }
  void Commit(const std::vector<std::vector<Entry>>& batches) {
    ASSERT_TRUE(Write(batches).ok());
    const Status status = store_->Commit();
    ASSERT_TRUE(status.ok()) << status.ToString();
  }
  Found::What What(const std::string& gid) { return store_->Find(gid).value().what; }

  static inline const std::string kSealed = "Sealed";
  const std::shared_ptr<crypt::Keyring> keyring_ = std::make_shared<crypt::Keyring>(
      *crypt::Keys::Parse(*crypt::MakeKeyLine("k1", std::string(crypt::kKeyBytes, 'a'))));
  TempFolder folder_{/*in_memory=*/true};
  std::unique_ptr<PostgresTestLog> postgresql_ =
      shared() ? std::make_unique<PostgresTestLog>(test::PostgresServer::OfThisBinary()) : nullptr;
  std::shared_ptr<MemoryDisk> disk_ = std::make_shared<MemoryDisk>();
  std::unique_ptr<RowStore> store_;
  Joined joined_;
  std::vector<std::string> rows_;
  std::vector<DamagedSlot> damaged_;
  Unwritten unwritten_;
  GroupOutcome outcome_;
};

TEST_P(RowStoreConformance, AStartThatLoadsNothingLeavesNothing) {
  Start();
  const std::uint64_t first = joined_.epoch;
  store_.reset();
  const std::uint64_t second = Open()->Join().value().epoch;
  EXPECT_EQ(StartNumber(second), 2u);
  Start();
  EXPECT_EQ(StartNumber(joined_.epoch), shared() ? 3u : 2u);
  if (shared()) {
    EXPECT_THAT(*joined_.epochs, ElementsAre(first, second, joined_.epoch));
  } else {
    EXPECT_THAT(*joined_.epochs, ElementsAre(first, joined_.epoch));
  }
}

TEST_P(RowStoreConformance, AtRestItIsLeftAlone) {
  Start();
  Commit({Batch(Begin(1, "a"), End(1, 2, "a"))});
  const auto began = RowStore::Clock::now();
  while (store_->UpkeepIdle().value()) {
  }
  EXPECT_GT(store_->NextDue(), began);
}

TEST_P(RowStoreConformance, ALoadThatIsEndedLeavesNothing) {
  Start();
  Commit({Batch(Begin(1, "a"), Begin(2, "b"))});
  store_ = nullptr;
  store_ = Open();
  EXPECT_TRUE(store_->Join().ok());
  int seen = 0;
  const auto visit = [&seen](const LiveRow&) {
    ++seen;
    return DataLoss("cannot decode");
  };
  const Status ended = store_->Load({0}, visit, damaged_);
  EXPECT_EQ(ended, DataLoss("cannot decode"));
  EXPECT_EQ(seen, 1);
  Start();
  EXPECT_EQ(StartNumber(joined_.epoch), shared() ? 3u : 2u);
  EXPECT_THAT(rows_, ElementsAre("a v1", "b v1"));
}

TEST_P(RowStoreConformance, CommittedRowsAreThereWithoutAGoodbye) {
  Start();
  Commit({Batch(Begin(1, "a"), Begin(2, "b")), Batch(Update(1, 2, "a", "x"), End(2, 2, "b"))});
  Start();
  EXPECT_THAT(rows_, ElementsAre("a v2"));
  EXPECT_EQ(What("a"), Found::What::kLive);
  EXPECT_EQ(What("b"), Found::What::kFinished);
  if (!shared()) {
    EXPECT_EQ(joined_.next_serial, 3u);
  }
}

TEST_P(RowStoreConformance, RefusedEntriesAreNamedByBatchAndPlace) {
  Start();
  Commit({Batch(Begin(1, "a"), End(1, 2, "a"))});
  Commit({Batch(Begin(2, "b")), Batch(Begin(3, "c"), Begin(4, "a"), Update(4, 2, "a", "x")),
          Batch(Forget("never"))});
  ASSERT_EQ(outcome_.refused.size(), 3u);
  EXPECT_TRUE(outcome_.refused[0].empty());
  ASSERT_EQ(outcome_.refused[1].size(), 2u);
  EXPECT_EQ(outcome_.refused[1][0].index, 1u);
  EXPECT_EQ(outcome_.refused[1][0].status.code(), Code::kAlreadyExists);
  EXPECT_EQ(outcome_.refused[1][1].index, 2u);
  EXPECT_EQ(outcome_.refused[1][1].status.code(), Code::kNotFound);
  EXPECT_EQ(outcome_.refused[2][0].status.code(), Code::kNotFound);
  EXPECT_THAT(outcome_.never_begun, ElementsAre(4u));
  // The queue remembers it for the groups to come.
  unwritten_.NoteNeverBegun(4);
  Commit({Batch(End(4, 3, "a"))});
  EXPECT_EQ(outcome_.refused[0][0].status.code(), Code::kNotFound);
}

// The whole group: what stood before the entry that is out of turn, and in other batches.
TEST_P(RowStoreConformance, AViolationUndoesTheGroup) {
  Start();
  Commit({Batch(Begin(1, "a"), Begin(2, "b"), End(2, 2, "b"))});
  const Status status = Write(
      {Batch(Begin(3, "c"), Forget("b")), Batch(Update(1, 2, "a", "x"), Update(9, 2, "z", "x"))});
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  Start();
  EXPECT_THAT(rows_, ElementsAre("a v1"));
  EXPECT_EQ(What("b"), Found::What::kFinished);
  EXPECT_EQ(What("c"), Found::What::kAbsent);
}

TEST_P(RowStoreConformance, GidsOfUnfinishedRowsAreFoundAfterAnyWayOut) {
  Start();
  Commit({Batch(Begin(1, "a"), Begin(2, "a"), Begin(3, "c"))});  // an older build let this happen
  Commit({Batch(End(1, 2, "a"))});
  Commit({Batch(Forget("a"))});
  EXPECT_EQ(What("a"), Found::What::kLive);
  Commit({Batch(End(2, 2, "a"), End(3, 2, "c"), Forget("a"))});
  EXPECT_EQ(What("a"), Found::What::kAbsent);
  EXPECT_EQ(What("c"), Found::What::kFinished);
}

INSTANTIATE_TEST_SUITE_P(Stores, RowStoreConformance,
                         testing::Values("Memory", "Postgresql", "Sqlite", "SealedMemory",
                                         "SealedPostgresql", "SealedSqlite"),
                         [](const auto& store) { return std::string(store.param); });

}  // namespace
}  // namespace assent::log
