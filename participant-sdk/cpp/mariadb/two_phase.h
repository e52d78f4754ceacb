#pragma once

// Work that is kept prepared: one operation, on two connections, since a session that has prepared
// something can do nothing else until it is settled (sessions.h).
//
//   main   lock, row? ─────────────────────────────────────────── row ─ answer        PREPARE
//   work      work lock ─ XA START ─ handler ─ marker ─ XA PREPARE ┘ (kept)
//   main   lock, row? ──────────── row on, marker gone ─ answer                       COMMIT
//   work              └ XA COMMIT ┘
//
// First the handler's work is made durable and unseen, with a row of assent_marker in it; then the
// barrier's row says so, and only then is PREPARE answered. So work that is prepared without a row
// was promised to nobody, and a row without prepared work has been settled. Which of it is true the
// marker says, and nothing else is believed: its row is locked as long as something is prepared,
// and then there if it was committed, or not there.
//
// The working session has a named lock. Whoever has the lock of the branch ends the session that
// has this one: so nothing of a client that has gone comes late, no XA PREPARE either.
//
// One object for one operation.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "participant-sdk/cpp/mariadb/db_impl.h"
#include "participant-sdk/cpp/mariadb/sessions.h"
#include "participant-sdk/cpp/mariadb/task.h"

namespace assent::mariadb::internal {

class TwoPhase {
 public:
  TwoPhase(Connection& main, Sessions& sessions, const Context& context, TaskPtr task);
  RunEnd Run();

 private:
  // Of the branch's row of assent_marker.
  enum class Mark : std::uint8_t {
    kAbsent,     // nothing is prepared, or it was rolled back
    kHeld,       // something is prepared
    kCommitted,  // it was committed
  };
  // What is known of the branch, under its lock.
  struct Known {
    barrier::Row row;
    Mark mark = Mark::kAbsent;
    std::int64_t session = 0;  // who has the lock of the working session; 0: nobody
  };
  bool Look(Known& known);
  bool LookOnce(Known& known);
  // Ends the session that works, or has worked, on this branch.
  bool EndSession(std::int64_t session);
  void Prepare(const Known& known);
  bool Start();
  bool RunPrepare(const DbHandler& handler);
  void MakeDurable();
  void KeepPrepared();
  // Ends what is not prepared.
  void AbandonWork();
  void Settle(const Known& known);
  // The coordinator's word on what has no row: promised to nobody.
  void SettleUnpromised(const Known& known);
  // Of what is prepared. False: it has not come to that, and that has been said.
  bool EndPrepared(bool commits);
  bool EndInSession(bool commits);
  bool EndDetached(bool commits);
  bool ReadMark(Mark& mark);
  void KeepSettled(bool commits);
  // Keeps a row that nothing else belongs to, and answers.
  void KeepRow(barrier::State state, Reply reply);
  // A transaction of its own: what was added, and COMMIT. Answers by itself when it fails.
  bool CommitAdded();

  void Answer(Reply reply);
  void NotDone(const Status& why);
  void Unknown(const Status& why);
  // Nothing of it is left: runs again, is answered "not done".
  void Failed(const mariadb::internal::Answer& answer);

  const Call& call() const { return task_->call; }

  Connection& main_;
  Sessions& sessions_;
  const Context& context_;
  TaskPtr task_;  // null when it has been answered
  const std::string name_;
  const std::string xid_;
  const std::string is_branch_;
  const std::string work_lock_;
  std::unique_ptr<Connection> work_;
  bool is_kept_ = false;  // work_ has prepared this branch
  RunEnd end_;
};

}  // namespace assent::mariadb::internal
