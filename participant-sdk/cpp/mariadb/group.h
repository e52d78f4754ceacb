#pragma once

// Several operations in one local transaction, each in a savepoint of its own: what one may not
// keep is rolled back to its savepoint without touching its neighbours, and one COMMIT is waited
// for by all. What needs no answer of its own goes with what does; the barrier's rows with COMMIT.
//
//   [START, locks, rows]  [SAVEPOINT, UPDATE]  [SAVEPOINT, UPDATE] …  [rows, COMMIT, unlock]
//
//   a statement fails            its operation is undone, the others go on
//   a lock is not free           the same; the group is closed, and that operation runs again alone
//   a deadlock                   the transaction is undone; that one runs alone, the others again
//   COMMIT is refused            undone; each runs alone
//   the connection is lost       before COMMIT: all run again. In it: nobody is answered
//
// One object for one local transaction.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "participant-sdk/cpp/mariadb/barrier_rows.h"
#include "participant-sdk/cpp/mariadb/db_impl.h"
#include "participant-sdk/cpp/mariadb/task.h"

namespace assent::mariadb::internal {

class Group {
 public:
  Group(Connection& connection, const Context& context, Tasks tasks);
  RunEnd Run();

 private:
  // What an operation has left in the transaction.
  enum class Trace : std::uint8_t {
    kKept,      // its rows, or nothing: it is answered after COMMIT
    kSetAside,  // nothing; it runs again, and the group is closed
    kAllLost,   // it has ended the transaction for all
  };
  bool Begin();
  bool ReadBegun(std::vector<Answer> answers);
  // Who had the transaction to itself is answered that nothing was done.
  void AloneNotDone(const Status& why);
  Trace RunOne(std::size_t number);
  Trace RunCall(Task& task, const barrier::Row& row);
  Trace RunHandlerOf(Task& task, const DbHandler& handler, const barrier::Row& row);
  Trace RunLocal(Task& task);
  void RunAnswer(Task& task, const barrier::Row& row);
  // After a handler: whether it has left the transaction as it should.
  std::optional<Trace> TraceOfFailure(Task& task, Db::Impl& db, bool was_sent);
  void KeepRow(const Call& call, const barrier::Row& row, const Reply& reply);
  void Undo(bool was_sent);
  void Commit(std::size_t count);
  void CommitUnknown(const Status& why);
  void CommitRefused(const Status& why);
  // The transaction is gone: everybody from the first on runs again, but for `culprit`, which runs
  // alone.
  static constexpr std::size_t kNobody = SIZE_MAX;
  void AllAgain(const Status& why, std::size_t culprit);
  void RestAgain(std::size_t first);
  void Rollback();
  bool Full() const;

  Connection& connection_;
  const Context& context_;
  const bool alone_;
  Tasks tasks_;
  std::vector<barrier::Row> rows_;
  std::vector<Status> damaged_;  // rows that cannot be read
  std::vector<bool> locked_;
  KeptRows kept_;  // written with COMMIT
  std::chrono::steady_clock::time_point close_at_;
  Status why_;  // the transaction was lost
  RunEnd end_;
};

}  // namespace assent::mariadb::internal
