// A log that is sealed, over each store of rows: what is in the store, what comes out of it, and
// what becomes of rows that somebody has changed or that a key is missing for.

#include "coordinator/log/sealed/sealed_store.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/log/memory/memory_store.h"
#include "coordinator/log/sqlite/sqlite_row_store.h"
#include "tests/log/log_rig.h"
#include "tests/log/postgresql_member.h"

namespace assent::log {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;

std::string Line(const std::string& id, char byte) {
  return *crypt::MakeKeyLine(id, std::string(crypt::kKeyBytes, byte)) + "\n";
}
const std::string kFirst = Line("k1", 'a');
const std::string kSecond = Line("k2", 'b');
const std::string kPlain = "plaintext active\n";

class Sealed : public testing::TestWithParam<const char*> {
 protected:
  bool shared() const { return GetParam() == std::string("Postgresql"); }

  std::unique_ptr<RowStore> OpenBare() {
    if (shared()) return postgresql_->Open();
    if (GetParam() == std::string("Memory"))
      return std::make_unique<MemoryStore>(disk_, MemoryStoreOptions());
    auto store =
        SqliteRowStore::Open(SqliteOptions{.path = folder_.File("assent.db"), .reserve_bytes = 0});
    EXPECT_TRUE(store.ok()) << store.status().ToString();
    return *std::move(store);
  }
  SealedOptions Options() {
    SealedOptions options{.keyring = keyring_, .report = report_};
    options.set_aside = [](const std::string& gid, const std::string& why,
                           const std::string& state) {
      return state.rfind("aside", 0) == 0 ? state : "aside " + gid + ": " + why;
    };
    options.on_set_aside = [this](const std::string& gid, const std::string& /*why*/) {
      aside_.push_back(gid);
    };
    options.on_walked = [this](const KeyCounts& rows, std::uint64_t sealed_anew) {
      walked_.push_back(rows);
      sealed_anew_ += sealed_anew;
    };
    return options;
  }
  // Of a start; what it finds unfinished is in rows_.
  Status TryStart(const std::string& keys) {
    if (!keys.empty()) SetKeys(keys);
    if (keys.empty()) keyring_->Set(crypt::Keys());
    store_.reset();
    store_ = std::make_unique<SealedStore>(OpenBare(), Options());
    const auto joined = store_->Join();
    if (!joined.ok()) return joined.status();
    rows_.clear();
    std::vector<DamagedSlot> damaged;
    return store_->Load(
        {0},
        [this](const LiveRow& row) {
          rows_[row.gid] = row.spec + "|" + row.state;
          return OkStatus();
        },
        damaged);
  }
  void Start(const std::string& keys) {
    const Status status = TryStart(keys);
    ASSERT_TRUE(status.ok()) << status.ToString();
  }
  void SetKeys(const std::string& text) { keyring_->Set(*crypt::Keys::Parse(text)); }
  void Commit(const std::vector<Entry>& batch) {
    GroupOutcome outcome;
    const Status written = store_->Write({&batch}, unwritten_, outcome);
    ASSERT_TRUE(written.ok()) << written.ToString();
    ASSERT_TRUE(store_->Commit().ok());
  }
  // Until a walk that began behind this has ended.
  void WalkAll() {
    const std::size_t before = walked_.size();
    while (walked_.size() == before) {
      const Status status = store_->Upkeep();
      ASSERT_TRUE(status.ok()) << status.ToString();
    }
  }
  // Every row, as it is stored; `edit` changes it there, with checksums that are right.
  std::map<std::string, std::pair<std::string, std::string>> Stored(const RowEditor& edit = {}) {
    std::map<std::string, std::pair<std::string, std::string>> stored;
    for (WalkPlace place; place.among != WalkPlace::Among::kEnd;) {
      const auto walked = store_->Walk(place, 50, [&](const auto& gid, auto& spec, auto& state) {
        const bool changed = edit && edit(gid, spec, state);
        stored[gid] = {spec, state};
        return changed;
      });
      EXPECT_TRUE(walked.ok()) << walked.status().ToString();
      if (!walked.ok()) break;
      place = *walked;
    }
    return stored;
  }
  std::string FinishedState(const std::string& gid) {
    const auto found = store_->Find(gid);
    EXPECT_TRUE(found.ok() && found->what == Found::What::kFinished);
    return found.ok() ? found->row.spec + "|" + found->row.state : "";
  }
  void MakeRows() {
    Commit(Batch(Begin(1, "live"), Begin(2, "done"), Begin(3, "other")));
    Commit(Batch(Update(1, 2, "live", "s2"), End(2, 2, "done")));
  }

  TempFolder folder_{/*in_memory=*/true};
  std::unique_ptr<PostgresTestLog> postgresql_ =
      shared() ? std::make_unique<PostgresTestLog>(test::PostgresServer::OfThisBinary()) : nullptr;
  std::shared_ptr<MemoryDisk> disk_ = std::make_shared<MemoryDisk>();
  std::shared_ptr<crypt::Keyring> keyring_ = std::make_shared<crypt::Keyring>();
  std::shared_ptr<SealReport> report_ = std::make_shared<SealReport>();
  std::unique_ptr<SealedStore> store_;
  std::map<std::string, std::string> rows_;
  std::vector<KeyCounts> walked_;
  std::vector<std::string> aside_;
  std::uint64_t sealed_anew_ = 0;
  Unwritten unwritten_;
};

TEST_P(Sealed, WhatIsStoredIsSealedAndWhatComesOutIsNot) {
  Start(kFirst);
  MakeRows();
  const auto stored = Stored();
  ASSERT_EQ(stored.size(), 3u);
  for (const auto& [gid, row] : stored) {
    EXPECT_EQ(crypt::CoverOf(row.first).key_id, "k1");
    EXPECT_EQ(crypt::CoverOf(row.second).key_id, "k1");
    EXPECT_THAT(row.first + row.second, Not(HasSubstr("spec of")));
  }
  EXPECT_EQ(FinishedState("done"), "spec of done|end of done");
  EXPECT_EQ(store_->Scan(0, 10)->at(0).state, "end of done");
  Start(kFirst);
  EXPECT_THAT(rows_,
              ElementsAre(Pair("live", "spec of live|s2"), Pair("other", "spec of other|s1")));
}

TEST_P(Sealed, ALogInTheClearIsTakenUpAndGoesBackToIt) {
  Start("");
  MakeRows();
  EXPECT_EQ(Stored().at("done").second, "end of done");
  Start(kFirst + "plaintext\n");
  EXPECT_EQ(rows_.at("live"), "spec of live|s2");
  EXPECT_EQ(FinishedState("done"), "spec of done|end of done");
  WalkAll();
  EXPECT_EQ(sealed_anew_, 3u);
  EXPECT_EQ(walked_.back(), (KeyCounts{{"k1", 3}}));
  for (const auto& [gid, row] : Stored()) EXPECT_EQ(crypt::CoverOf(row.second).key_id, "k1");
  SetKeys(kFirst + kPlain);
  WalkAll();
  EXPECT_EQ(walked_.back(), (KeyCounts{{"plaintext", 3}}));
  Start("");
  EXPECT_EQ(rows_.at("live"), "spec of live|s2");
  EXPECT_EQ(FinishedState("done"), "spec of done|end of done");
}

// Whoever writes to the store without a key could put work of his own there, which would be done,
// and then sealed by the walk.
TEST_P(Sealed, WhatIsInTheClearAmongSealedRowsIsNotTaken) {
  Start(kFirst);
  MakeRows();
  (void)Stored([](const std::string& gid, std::string& spec, std::string& state) {
    if (gid == "live") spec = "spec of a thief";
    if (gid == "done") state = "end of a thief";
    return true;
  });
  const Status refused = TryStart(kFirst);
  EXPECT_EQ(refused.code(), Code::kFailedPrecondition);
  EXPECT_THAT(refused.message(), HasSubstr("in the clear"));
  // While it works it is one that is set aside, and no walk seals it.
  Start(kFirst + "plaintext\n");
  SetKeys(kFirst);
  EXPECT_THAT(FinishedState("done"), HasSubstr("|aside done: its state is in the clear"));
  EXPECT_EQ(aside_, std::vector<std::string>{"done"});
  WalkAll();
  EXPECT_EQ(walked_.back(), (KeyCounts{{"k1", 3}, {"plaintext", 2}}));
  EXPECT_EQ(sealed_anew_, 0u);
}

// A row of which the key is lost for good would stop every start.
TEST_P(Sealed, AFinishedRowThatIsOutOfServiceStopsNoStart) {
  Start(kFirst);
  MakeRows();
  (void)Stored([](const std::string& gid, std::string&, std::string& state) {
    if (gid == "done") state = "aside by a person";
    return gid == "done";
  });
  (void)Stored([](const std::string& gid, std::string& spec, std::string&) {
    if (gid == "done") spec.replace(spec.find("k1"), 2, "k9");
    return gid == "done";
  });
  Start(kFirst);
  EXPECT_THAT(FinishedState("done"), HasSubstr("aside by a person"));
}

TEST_P(Sealed, ARotationComesToItsEndWhileOthersWrite) {
  Start(kFirst);
  MakeRows();
  std::vector<Entry> many;
  for (std::uint64_t i = 10; i < 300; ++i) many.push_back(Begin(i, "m" + std::to_string(i)));
  Commit(many);
  std::vector<Entry> ends;
  for (std::uint64_t i = 10; i < 200; ++i) ends.push_back(End(i, 2, "m" + std::to_string(i)));
  Commit(ends);
  SetKeys(kFirst + Line("k2", 'b').substr(0, kSecond.size() - 1) + " active\n");
  std::uint64_t version = 3;
  std::uint64_t begun = 300;
  auto next = RowStore::Clock::now();
  while (walked_.empty() || walked_.back() != (KeyCounts{{"k2", walked_.back()["k2"]}})) {
    ASSERT_TRUE(store_->Upkeep().ok());
    // More than a walk takes at once.
    if (RowStore::Clock::now() < next) continue;
    next += std::chrono::microseconds(SealedOptions::kWalkEvery) / (2 * SealedOptions::kWalkRows);
    Commit(Batch(Update(1, version, "live", "s" + std::to_string(version)),
                 Begin(begun, "m" + std::to_string(begun))));
    ++version;
    ++begun;
  }
  for (const auto& [gid, row] : Stored()) {
    EXPECT_EQ(crypt::CoverOf(row.first).key_id, "k2") << gid;
    EXPECT_EQ(crypt::CoverOf(row.second).key_id, "k2") << gid;
  }
  // The first key can go.
  Start(kSecond);
  EXPECT_EQ(rows_.at("live"), "spec of live|s" + std::to_string(version - 1));
  EXPECT_EQ(rows_.size(), 2 + 100 + begun - 300);
  EXPECT_EQ(FinishedState("m42"), "spec of m42|end of m42");
}

// Rows of a log that was empty when they were last counted: nobody may say that no row is under
// the key that has just ceased to write.
TEST_P(Sealed, RowsAreCountedAnewForEachKeyring) {
  Start(kFirst);
  EXPECT_FALSE(report_->Counted(keyring_->Get()));
  WalkAll();
  EXPECT_TRUE(report_->Counted(keyring_->Get()));
  EXPECT_EQ(report_->Get().rows, KeyCounts());
  MakeRows();
  SetKeys(kFirst + Line("k2", 'b').substr(0, kSecond.size() - 1) + " active\n");
  EXPECT_FALSE(report_->Counted(keyring_->Get()));
  // An idle log looks by itself, and in time.
  EXPECT_LE(store_->NextDue(), RowStore::Clock::now() + SealedOptions::kLookEvery);
  WalkAll();
  EXPECT_TRUE(report_->Counted(keyring_->Get()));
  EXPECT_EQ(report_->Get().rows, (KeyCounts{{"k2", 3}}));
  // And after each Load.
  Start(kSecond);
  EXPECT_FALSE(report_->Counted(keyring_->Get()));
}

TEST_P(Sealed, AKeyThatIsMissingIsNoLoss) {
  Start(kFirst);
  MakeRows();
  for (const std::string& keys : {std::string(), kSecond, Line("k1", 'x')}) {
    const Status refused = TryStart(keys);
    EXPECT_EQ(refused.code(), Code::kFailedPrecondition) << refused.ToString();
    EXPECT_THAT(refused.message(), HasSubstr("key k1"));
    EXPECT_THAT(refused.message(), HasSubstr("Nothing is lost"));
  }
  Start(kFirst);
  EXPECT_EQ(rows_.at("live"), "spec of live|s2");
  EXPECT_EQ(FinishedState("done"), "spec of done|end of done");
}

TEST_P(Sealed, AFinishedRowWhoseKeyHasGoneIsMarkedAndNotAbsent) {
  Start(kFirst);
  MakeRows();
  SetKeys(kSecond);
  EXPECT_THAT(FinishedState("done"), HasSubstr("|aside done: its spec is sealed under key k1"));
  EXPECT_EQ(store_->Scan(0, 10)->size(), 1u);
  EXPECT_GT(report_->Get().unopened, 0u);
  WalkAll();
  EXPECT_EQ(walked_.back(), (KeyCounts{{"k1", 3}}));
  EXPECT_EQ(sealed_anew_, 0u);
  SetKeys(kFirst);
  EXPECT_EQ(FinishedState("done"), "spec of done|end of done");
}

TEST_P(Sealed, RowsThatWereSwappedOrChangedAreSetAside) {
  Start(kFirst);
  MakeRows();
  const auto before = Stored();
  (void)Stored([&](const std::string& gid, std::string& spec, std::string& state) {
    if (gid == "live") state = before.at("other").second;
    if (gid == "other") spec = before.at("live").first;
    if (gid == "done") state.back() = static_cast<char>(state.back() ^ 1);
    return true;
  });
  Start(kFirst);
  EXPECT_THAT(rows_.at("live"), HasSubstr("|aside live: its state is sealed, and was changed"));
  EXPECT_THAT(rows_.at("other"), HasSubstr("|aside other: its spec is sealed, and was changed"));
  EXPECT_THAT(FinishedState("done"), HasSubstr("|aside done: its state is sealed, and was"));
  // Nothing is written over.
  WalkAll();
  EXPECT_EQ(Stored().at("live").second, before.at("other").second);
}

TEST_P(Sealed, WhatIsOutOfServiceStaysAsItIs) {
  Start(kFirst);
  MakeRows();
  (void)Stored([&](const std::string& gid, std::string&, std::string& state) {
    if (gid != "live") return false;
    state = "aside by a person: " + state;
    return true;
  });
  const std::string aside = Stored().at("live").second;
  Start(kFirst + Line("k2", 'b').substr(0, kSecond.size() - 1) + " active\n");
  EXPECT_THAT(rows_.at("live"), HasSubstr("|aside by a person"));
  WalkAll();
  EXPECT_EQ(Stored().at("live").second, aside);
  EXPECT_EQ(walked_.back(), (KeyCounts{{"k1", 1}, {"k2", 2}}));
}

INSTANTIATE_TEST_SUITE_P(Stores, Sealed, testing::Values("Memory", "Postgresql", "Sqlite"),
                         [](const auto& store) { return std::string(store.param); });

}  // namespace
}  // namespace assent::log
