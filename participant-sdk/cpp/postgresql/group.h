#pragma once

// Several operations in one local transaction, each in a savepoint of its own: what one may not
// keep is rolled back to its savepoint without touching its neighbours, and one COMMIT is waited
// for by all. What needs no answer of its own (savepoints) travels with the next statement that
// does; the barrier's rows all travel with COMMIT.
//
//   [BEGIN, locks, rows]  [SAVEPOINT, UPDATE]  [RELEASE, SAVEPOINT, UPDATE] … [RELEASE, rows,
// COMMIT]
//
//   a statement fails            its operation is undone, the others go on
//   a lock is not given in time  the same; the group is closed, and that operation runs again alone
//   deadlock, serialisation      the transaction is undone; that one runs alone, the others again
//   COMMIT is refused, or rows   undone; each runs alone, so that it is seen whose fault it was
//   the connection is lost       before COMMIT: all run again. In it: nobody is answered
//
// One object for one local transaction.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "participant-sdk/cpp/postgresql/db_impl.h"
#include "participant-sdk/cpp/postgresql/task.h"

namespace assent::postgresql::internal {

class Watch;

class Group {
 public:
  Group(Connection& connection, const Context& context, Watch& watch, Tasks tasks);
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
  Trace RunOne(std::size_t number);
  Trace RunCall(Task& task, const barrier::Row& row);
  Trace RunForward(Task& task);
  Trace RunHandlerOf(Task& task, const DbHandler& handler, const barrier::Row& row);
  Trace RunLocal(Task& task);
  void RunAnswer(Task& task, const barrier::Row& row);
  // After a handler: whether it has left the transaction as it should.
  std::optional<Trace> TraceOfFailure(Task& task, Db::Impl& db, bool was_sent);
  // Of what the task was answered, when it has run.
  void KeepRow(const Task& task, const barrier::Row& row);
  void Release(bool was_sent);
  void Undo(bool was_sent);
  void Commit(std::size_t count);
  void CommitRefused(const Answer& answer, bool unknown);
  // The transaction is gone: everybody from the first on runs again, but for `culprit`, which runs
  // alone.
  static constexpr std::size_t kNobody = SIZE_MAX;
  void AllAgain(const Status& why, std::size_t culprit);
  void RestAgain(std::size_t first);
  void Rollback();
  bool Full() const;

  Connection& connection_;
  const Context& context_;
  Watch& watch_;
  const bool alone_;
  Tasks tasks_;
  std::vector<barrier::Row> rows_;
  std::vector<Status> damaged_;  // rows that cannot be read
  std::vector<bool> locked_;
  std::vector<RowWrite> writes_;  // what tasks_ have left, to be written before COMMIT
  std::size_t savepoints_ = 0;
  std::chrono::steady_clock::time_point close_at_;
  Status why_;  // the transaction was lost
  RunEnd end_;
};

}  // namespace assent::postgresql::internal
