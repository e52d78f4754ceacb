#pragma once

// Work that is kept prepared: one operation, with a connection to itself.
//
//   PREPARE   lock ─ row? ─ BEGIN ─ handler ─ marker ─ PREPARE TRANSACTION ─ row, age ─ answer
//   COMMIT    lock ─ row? ─ COMMIT PREPARED   ─ row on, marker and age gone ─ answer
//   ROLLBACK  lock ─ row? ─ ROLLBACK PREPARED ─ row on, age gone ─ answer
//
// First the handler's work is made durable and unseen, with a row of assent_marker in it; then the
// barrier's row says so, and only then is PREPARE answered. So work that is prepared without a row
// was promised to nobody, and a row without prepared work has been settled: the marker, which is
// seen if it was committed, says how. The branch is locked all the way by a lock of the session,
// since one of the transaction would stay with what is prepared.
//
// One object for one operation.

#include <string>

#include "participant-sdk/cpp/postgresql/db_impl.h"
#include "participant-sdk/cpp/postgresql/task.h"

namespace assent::postgresql::internal {

class Watch;

class TwoPhase {
 public:
  TwoPhase(Connection& connection, const Context& context, Watch& watch, TaskPtr task);
  RunEnd Run();

 private:
  // What is known of the branch, under its lock.
  struct Known {
    barrier::Row row;
    bool is_prepared = false;
    bool is_marked = false;
  };
  bool Look(Known& known);
  void Prepare(const Known& known);
  bool RunPrepare(const DbHandler& handler);
  void MakeDurable();
  void KeepPrepared();
  void Settle(const Known& known);
  // The coordinator's word on what has no row: promised to nobody.
  void SettleUnpromised(const Known& known);
  bool EndPrepared(bool commits);
  void KeepSettled(bool commits);
  // Keeps a row that nothing else belongs to, and answers.
  void KeepRow(barrier::State state, Reply reply);
  // A transaction of its own: what was added, and COMMIT. Answers by itself when it fails.
  bool CommitAdded();

  void Answer(Reply reply);
  void NotDone(const Status& why);
  void Unknown(const Status& why);
  // Nothing of it is left: runs again, is answered "not done".
  void Failed(const postgresql::internal::Answer& answer);
  void Rollback();

  const Call& call() const { return task_->call; }

  Connection& connection_;
  const Context& context_;
  Watch& watch_;
  TaskPtr task_;  // null when it has been answered
  const std::string name_;
  RunEnd end_;
};

}  // namespace assent::postgresql::internal
