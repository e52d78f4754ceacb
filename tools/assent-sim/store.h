#pragma once

// A participant's own database: accounts, claims of prepared rows, and the barrier. What is to be
// done about an operation is asked of the SDK's own table
// (participant-sdk/cpp/barrier/barrier.h); the storage under it is modelled here, with what
// matters: a group of operations becomes durable at once or not at all, and what is not committed
// dies with the process.

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <assent/call.h>
#include <assent/resource.h>

#include "participant-sdk/cpp/barrier/barrier.h"
#include "tools/assent-sim/ledger.h"
#include "tools/assent-sim/sim.h"

namespace assent::sim {

class Store {
 public:
  Store(Sim& sim, Ledger& ledger, std::uint32_t service);

  // One local transaction: Begin, any number of Run and Answer, then Commit or Rollback.
  void Begin();
  Reply Run(const Call& call);
  void Answer(const HeldBranch& branch, Verdict verdict, bool finished);
  // What an initiator does in a local transaction of its own, and the row that says so. False: it
  // cannot, and must roll back.
  bool Enlist(std::size_t txn);
  void Commit();
  void Rollback();
  bool open() const { return open_; }
  // A planted bug: what was prepared is gone after a restart.
  void ForgetPrepared();
  // The open transaction has changed something of this branch.
  bool Uncommitted(std::size_t txn, std::size_t branch) const;

  // Held branches to ask about: all that are prepared, and with `old` also rows whose retention is
  // over.
  std::vector<HeldBranch> Questions(bool old) const;
  bool HoldsAny() const { return prepared_ > 0; }
  // When the first row may be removed; -1: there is none.
  Time RetentionEnds() const;

  bool Balanced() const;  // T6: what is available, held and spent is what there was
  bool AnythingHeld() const;

  // What the business itself wrote: a token or an order, in the list of its account. See
  // workloads.cc.
  struct Entry {
    std::string name;
    std::int64_t amount = 0;
  };
  std::size_t accounts() const { return accounts_.size(); }
  const std::vector<Entry>& entries(std::size_t account) const { return entries_[account]; }
  std::int64_t InitialOf(std::size_t account) const { return accounts_[account].initial; }
  std::int64_t AvailableOf(std::size_t account) const { return accounts_[account].available; }

 private:
  using State = barrier::State;
  struct Row {
    State state = State::kNone;
    Protocol protocol = Protocol::kSaga;
    Reply first;
    std::uint32_t coordinator_id = 0;
    std::uint64_t began_epoch = 0;
    Time touched = 0;
  };
  struct Account {
    std::int64_t initial = 0;
    std::int64_t available = 0;
    std::int64_t held = 0;
    std::int64_t spent = 0;
    std::uint64_t claimed_by = 0;  // a prepared branch, one more than its key; 0: free
  };
  static std::uint64_t KeyOf(std::size_t txn, std::size_t branch) { return txn * 256 + branch; }
  Row& RowOf(std::size_t txn, std::size_t branch) { return rows_[txn][branch]; }
  void ForgetOld();
  // Remembers how a row or an account was, so that Rollback can put it back.
  Row& Change(std::size_t txn, std::size_t branch);
  Account& ChangeAccount(std::uint32_t account);
  std::vector<Entry>& ChangeEntries(std::uint32_t account);
  void Append(const BranchPlan& plan);
  void Erase(const BranchPlan& plan);
  // Noted in the books when it is durable.
  void Effect(std::size_t txn, std::size_t branch, const std::function<void(BranchBooks&)>& note);

  void FinishHolder(const Call& call, std::uint32_t account);
  Reply Forward(const Call& call, std::size_t txn, std::size_t branch);
  Reply ForwardEffect(const Call& call, std::size_t txn, std::size_t branch);
  Reply Finish(const Call& call, std::size_t txn, std::size_t branch);
  Reply Undo(const Call& call, std::size_t txn, std::size_t branch);
  Reply Bury(const Call& call, std::size_t txn, std::size_t branch);
  void Put(const Call& call, std::size_t txn, std::size_t branch, State state, const Reply& first);
  Reply CheckBack(const Call& call, std::size_t txn);
  void CheckResults(const Call& call, std::size_t txn);
  void Retire(std::size_t txn, std::size_t branch);

  Sim& sim_;
  Ledger& ledger_;
  const std::uint32_t service_;
  std::vector<std::vector<Row>> rows_;
  std::vector<Account> accounts_;
  std::vector<std::vector<Entry>> entries_;  // by account
  std::size_t prepared_ = 0;
  std::uint64_t executions_ = 0;

  bool open_ = false;
  struct OldRow {
    std::size_t txn;
    std::size_t branch;
    Row row;
  };
  std::vector<OldRow> old_rows_;
  std::vector<std::pair<std::uint32_t, Account>> old_accounts_;
  std::vector<std::pair<std::uint32_t, std::vector<Entry>>> old_entries_;
  std::size_t old_prepared_ = 0;
  struct Noted {
    std::size_t txn;
    std::size_t branch;
    std::function<void(BranchBooks&)> note;
  };
  std::vector<Noted> noted_;
};

}  // namespace assent::sim
