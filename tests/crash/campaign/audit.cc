#include "tests/crash/campaign/audit.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <sqlite3.h>
#include <thread>
#include <utility>

#include <assent/client.h>

#include "tests/crash/bank.h"
#include "tests/crash/campaign/initiator.h"
#include "tests/crash/unfinished.h"

namespace assent::crash {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// participant-sdk/cpp/barrier/barrier.h; stored, so never renumbered.
enum class Barrier : int {
  kNone,
  kRefused,
  kDone,
  kReadOnly,
  kPrepared,
  kFinished,
  kUndone,
  kTombstone
};
const char* Name(Barrier state) {
  switch (state) {
    case Barrier::kNone: return "no row";
    case Barrier::kRefused: return "refused";
    case Barrier::kDone: return "done";
    case Barrier::kReadOnly: return "read-only";
    case Barrier::kPrepared: return "prepared";
    case Barrier::kFinished: return "finished";
    case Barrier::kUndone: return "undone";
    case Barrier::kTombstone: return "tombstone";
  }
  return "a number without a meaning";
}

// What a participant's own file says of one branch.
struct Held {
  std::string ledger;  // "done", "frozen", "undone", "" (no line)
  long tokens = 0;
  Barrier barrier = Barrier::kNone;
};
using BankBook = std::map<std::pair<std::string, std::string>, Held>;  // by gid and branch

// Rows of two texts and a third column, from `first_gid` on.
template <typename Take>
void ReadRows(sqlite3* db, const std::string& sql, const std::string& first_gid, Take take) {
  sqlite3_stmt* statement = nullptr;
  ASSENT_CHECK(sqlite3_prepare_v2(db, sql.c_str(), -1, &statement, nullptr) == SQLITE_OK);
  sqlite3_bind_text(statement, 1, first_gid.c_str(), -1, SQLITE_TRANSIENT);
  const auto text = [&](int column) {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
    return std::string(bytes == nullptr ? "" : bytes);
  };
  int result = SQLITE_ROW;
  while ((result = sqlite3_step(statement)) == SQLITE_ROW) take({text(0), text(1)}, text(2));
  ASSENT_CHECK(result == SQLITE_DONE);
  sqlite3_finalize(statement);
}

BankBook ReadBank(const std::string& file, const std::string& first_gid) {
  BankBook book;
  sqlite3* db = nullptr;
  ASSENT_CHECK(sqlite3_open_v2(file.c_str(), &db, SQLITE_OPEN_READWRITE, nullptr) == SQLITE_OK);
  sqlite3_busy_timeout(db, 10'000);
  using Key = std::pair<std::string, std::string>;
  ReadRows(db, "SELECT gid, branch_id, state FROM ledger WHERE gid >= ?1", first_gid,
           [&](Key key, std::string text) { book[std::move(key)].ledger = std::move(text); });
  ReadRows(db, "SELECT gid, branch_id, 1 FROM token WHERE gid >= ?1", first_gid,
           [&](Key key, const std::string&) { ++book[std::move(key)].tokens; });
  ReadRows(db, "SELECT gid, branch_id, state FROM assent_barrier WHERE gid >= ?1", first_gid,
           [&](Key key, const std::string& text) {
             book[std::move(key)].barrier = static_cast<Barrier>(std::stoi(text));
           });
  sqlite3_close(db);
  return book;
}

// L1, L2: everything ends, and nobody holds anything, within the bound.
void AwaitRest(Rig& rig, const Options& options, Findings& findings) {
  const auto ended = [&] {
    rig.Tick();
    return Unfinished(rig.endpoint()) == 0;
  };
  const seconds bound(options.rest_seconds);
  if (!test::WaitUntil(ended, bound)) {
    const test::Finished list =
        test::RunToEnd({.argv = {test::BinDir() + "/assentctl", "--endpoint", rig.endpoint(),
                                 "list", "-o", "wide"}},
                       seconds(20));
    findings.Add("unfinished " + std::to_string(options.rest_seconds) +
                 " s after all faults ended, and no excuse:\n" + list.output);
    return;
  }
  for (int bank = 0; bank < kBanksCount; ++bank) {
    const std::string file = rig.BankFile(bank);
    const auto clean = [&] {
      rig.Tick();
      const Books books = ReadBooks(file);
      return books.prepared == 0 && books.locks == 0 && books.frozen == 0 && Unsettled(file) == 0;
    };
    if (test::WaitUntil(clean, bound)) continue;
    const Books books = ReadBooks(file);
    findings.Add(
        "bank" + std::to_string(bank) +
        ", with every transaction finished, still holds: " + std::to_string(books.prepared) +
        " prepared branches, " + std::to_string(books.locks) + " claims, " +
        std::to_string(books.frozen) + " frozen money, " + std::to_string(Unsettled(file)) +
        " unsettled ledger lines (tables assent_prepared, "
        "assent_lock, account, ledger of " +
        file + ")");
  }
}

void CheckTotal(Rig& rig, Findings& findings) {
  std::int64_t total = 0;
  for (int bank = 0; bank < kBanksCount; ++bank) {
    const Books books = ReadBooks(rig.BankFile(bank));
    total += books.balance + books.frozen;
  }
  const std::int64_t right = kBanksCount * kAccountsCount * kOpeningBalance;
  if (total != right)
    findings.Add("the banks hold " + std::to_string(total) + " together, and began with " +
                 std::to_string(right));
}

class Judge {
 public:
  Judge(std::string gid, const Entry& entry, Findings& findings)
      : gid_(std::move(gid)), entry_(entry), findings_(findings) {}

  // What the participants hold: all or nothing, once, and the barrier says the same.
  void Branches(const std::vector<BankBook>& banks) {
    for (const std::string& complaint : entry_.complaints) Say(complaint);
    for (const PlannedBranch& branch : entry_.branches) {
      const BankBook& book = banks[static_cast<std::size_t>(branch.bank)];
      const auto found = book.find({gid_, branch.id});
      const Held held = found == book.end() ? Held{} : found->second;
      if (branch.tokens == 0) {
        if (held.tokens != 0 || !held.ledger.empty())
          Say(At(branch) + " only looks, and has left something");
        continue;
      }
      ++with_effect_;
      const bool done = held.ledger == "done";
      std::string& list = done ? done_ : not_done_;
      list += (list.empty() ? "" : ", ") + At(branch);
      count_done_ += done ? 1 : 0;
      if (held.tokens != (done ? 1 : 0))
        Say(At(branch) + " has left " + std::to_string(held.tokens) +
            " tokens, and its ledger line says '" + held.ledger + "'");
      CheckBarrier(branch, held, done);
    }
    if (count_done_ != 0 && count_done_ != with_effect_)
      Say("is split: in force at " + done_ + "; not at " + not_done_);
  }

  // What the initiators were told.
  void Answers() {
    if (entry_.told == Outcome::kMixed || entry_.told == Outcome::kHazard)
      Say(std::string("was told ") + OutcomeName(entry_.told) + " by " + entry_.told_how +
          ", and nobody intervened");
    if (entry_.told == Outcome::kCommitted && count_done_ != with_effect_)
      Say("was told COMMITTED by " + entry_.told_how + ", and is not in force at " + not_done_);
    if (entry_.told == Outcome::kAborted && count_done_ != 0)
      Say("was told ABORTED by " + entry_.told_how + ", and is in force at " + done_);
    if (entry_.NeverBegun() && count_done_ != 0)
      Say("each asking was answered 'certainly not begun', and it is in force at " + done_);
  }

  // What the coordinator says now.
  void Get(const Result<TransactionInfo>& info) {
    if (!info.ok() && info.status().code() == Code::kNotFound) {
      if (entry_.told != Outcome::kUndecided)
        Say(std::string("was told ") + OutcomeName(entry_.told) + " by " + entry_.told_how +
            ", and the coordinator does not know it any more");
      if (count_done_ != 0) Say("the coordinator does not know it, and it is in force at " + done_);
      return;
    }
    if (!info.ok()) return Say("Get at the end failed: " + info.status().ToString());
    const std::string says = OutcomeName(info->outcome);
    if (info->state != TransactionState::kFinished)
      Say(std::string("Get says ") + TransactionStateName(info->state) +
          " at rest: " + info->why_not_finished);
    if (entry_.told != Outcome::kUndecided && entry_.told != info->outcome)
      Say(std::string("was told ") + OutcomeName(entry_.told) + " by " + entry_.told_how +
          ", and Get says " + says);
    const bool committed = info->outcome == Outcome::kCommitted;
    if (!committed && info->outcome != Outcome::kAborted)
      Say("Get says " + says + ", and nobody intervened");
    if (committed && count_done_ != with_effect_)
      Say("Get says committed, and it is not in force at " + not_done_);
    if (info->outcome == Outcome::kAborted && count_done_ != 0)
      Say("Get says aborted, and it is in force at " + done_);
    if (entry_.NeverBegun())
      Say("each asking was answered 'certainly not begun', and Get says " + says);
  }

  long branches() const { return static_cast<long>(entry_.branches.size()); }

 private:
  static std::string At(const PlannedBranch& branch) {
    return "branch " + branch.id + " (bank" + std::to_string(branch.bank) + " " + branch.action +
           " " + std::to_string(branch.delta) + ")";
  }
  void CheckBarrier(const PlannedBranch& branch, const Held& held, bool done) {
    bool agrees = false;
    switch (held.barrier) {
      case Barrier::kNone: agrees = !done; break;
      case Barrier::kDone:  // a Saga step has no second operation when it commits
      case Barrier::kFinished: agrees = done; break;
      case Barrier::kRefused:
      case Barrier::kUndone:
      case Barrier::kTombstone: agrees = !done; break;
      case Barrier::kReadOnly:
      case Barrier::kPrepared: agrees = false; break;
    }
    if (!agrees)
      Say(At(branch) + ": its ledger line says '" + held.ledger + "', and the barrier " +
          Name(held.barrier));
  }
  void Say(const std::string& what) {
    findings_.Add("transaction " + gid_ + " (" + entry_.journal + "): " + what);
  }

  const std::string gid_;
  const Entry& entry_;
  Findings& findings_;
  long with_effect_ = 0;
  long count_done_ = 0;
  std::string done_;
  std::string not_done_;
};

// Effects of transactions that no initiator announced.
void CheckStrangers(const AnswerBook& book, const std::vector<BankBook>& banks,
                    Findings& findings) {
  for (std::size_t bank = 0; bank < banks.size(); ++bank) {
    for (const auto& [key, held] : banks[bank]) {
      const auto entry = book.entries().find(key.first);
      const bool planned =
          entry != book.entries().end() &&
          std::any_of(entry->second.branches.begin(), entry->second.branches.end(),
                      [&, id = key.second](const PlannedBranch& branch) {
                        return branch.id == id && branch.bank == static_cast<int>(bank);
                      });
      if (!planned)
        findings.Add("bank" + std::to_string(bank) + " has a trace of branch " + key.second +
                     " of transaction " + key.first + ", which nobody asked of it");
    }
  }
}

std::vector<Result<TransactionInfo>> GetAll(const std::string& endpoint,
                                            const std::vector<std::string>& gids) {
  constexpr std::size_t kThreads = 6;
  std::vector<Result<TransactionInfo>> infos(gids.size(),
                                             Result<TransactionInfo>(Unavailable("not asked")));
  const Client client({.endpoint = endpoint});
  std::atomic<std::size_t> next = 0;
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (std::size_t i = next++; i < gids.size(); i = next++)
        infos[i] = client.Get(gids[i], {.timeout = seconds(20)});
    });
  }
  for (std::thread& thread : threads) thread.join();
  return infos;
}

}  // namespace

Audited Audit(Rig& rig, const Options& options, AnswerBook& book, std::set<std::string>& already,
              bool everything, Findings& findings) {
  Audited audited;
  book.Read();
  for (const std::string& line : book.unreadable())
    findings.Add("a line in a journal makes no sense: " + line);
  AwaitRest(rig, options, findings);
  CheckTotal(rig, findings);

  std::vector<std::string> gids;
  for (const auto& [gid, entry] : book.entries()) {
    if (everything || already.count(gid) == 0) gids.push_back(gid);
  }
  if (gids.empty()) return audited;
  std::vector<BankBook> banks;
  for (int bank = 0; bank < kBanksCount; ++bank)
    banks.push_back(ReadBank(rig.BankFile(bank), gids.front()));
  CheckStrangers(book, banks, findings);
  const auto infos = GetAll(rig.endpoint(), gids);
  for (std::size_t i = 0; i < gids.size(); ++i) {
    const Entry& entry = book.entries().at(gids[i]);
    Judge judge(gids[i], entry, findings);
    judge.Branches(banks);
    judge.Answers();
    judge.Get(infos[i]);
    audited.branches += judge.branches();
    already.insert(gids[i]);
  }
  audited.transactions = audited.gets = static_cast<long>(gids.size());
  audited.answers = book.answers();
  return audited;
}

}  // namespace assent::crash
