/* The participant's barrier: one branch, TCC (or with -DSAGA a Saga step), and all that may happen to it. Two worker
 * processes share the database file; each may be killed between any two of its steps.
 *
 * A command that was ever sent may be taken up at any time, in any order, until a reply to it has been read, and REPEATS
 * times after that: lost, repeated, late, and a try after its cancel. Deaths and "retry later" are bounded, so the faults
 * stop.
 *
 * The business is one piece of stock: available, frozen or consumed. The coordinator is the simplest that is honest
 * (two_phase.pml has the real one), or with -DLIAR somebody who asks for anything at any time.
 *
 * Names: participant-sdk/cpp/barrier/barrier.h (State, Move), coordinator/core/types.h (BranchState), and the invariants T1
 * to T9, G2, G3 of docs/correctness.md. How it is run, and the mistakes planted in it: run.py. */

#ifndef REPEATS
#define REPEATS 2
#endif
#ifndef DEATHS
#define DEATHS 2
#endif

mtype = { kNone, kRefused, kDone, kFinished, kUndone, kTombstone, /* the barrier row: BranchState of barrier.h */
          kExecuting, kExecuted, kFinishing, kUndoing };          /* the coordinator's branch; also kRefused kDone kUndone */

/* Operations, by Phase of barrier.h, and replies. Two results, because a handler need not give the same one twice. */
#define FORWARD 0 /* TRY, ACTION */
#define FINISH 1  /* CONFIRM */
#define UNDO 2    /* CANCEL, COMPENSATE */
#define NOTHING 0
#define REFUSED 1
#define DONE_A 2
#define DONE_B 3

/* ---- What survives: the participant's database ---- */
typedef Database { mtype state; byte first_reply; byte available; byte frozen; byte consumed }
Database db;
byte writer; /* the worker inside BEGIN IMMEDIATE; 0: nobody */
inline Copy(to, from) {
  to.state = from.state; to.first_reply = from.first_reply;
  to.available = from.available; to.frozen = from.frozen; to.consumed = from.consumed
}
#ifdef SAGA
#define held consumed /* an action is visible at once */
#else
#define held frozen
#endif

/* ---- The network, and the coordinator's durable state ---- */
bool sent[3];     /* by operation */
byte answered[3]; /* by operation: the reply that was read first */
byte repeats = REPEATS, deaths = DEATHS, laters = 1;
bool drained; /* so long ago that nothing can still arrive */
mtype branch = kExecuting;
bool decided_commit;
#define IsFinal(s) (s == kDone || s == kUndone || s == kRefused)

/* ---- Remembered by nobody: effects that have become durable ---- */
byte tried, confirmed, cancelled;
bool undo_was_done;
inline Count() {
  assert(!(ran && operation == FORWARD && undo_was_done)); /* T3, G3: no try takes effect after its cancel */
  undo_was_done = undo_was_done || (operation == UNDO && reply == DONE_A);
  if
  :: ran && operation == FORWARD -> tried++
  :: ran && operation == FINISH -> confirmed++
  :: ran && operation == UNDO -> cancelled++
  :: else
  fi;
  assert(tried <= 1 && confirmed <= 1 && cancelled <= 1); /* T1, G2 */
  assert(!(confirmed && cancelled));                      /* T2 */
  assert(cancelled <= tried && confirmed <= tried)        /* T4, T5 */
}

/* Runner::Run, by the table kMoves of barrier.cc, inside the worker's local transaction: `mine`. */
#define Asked(o, s) (operation == o && mine.state == s)
inline Run() {
  if
  :: Asked(FORWARD, kNone) -> /* kRun */
     if
     :: ran = true; mine.state = kDone; mine.first_reply = DONE_A; mine.available--; mine.held++
     :: ran = true; mine.state = kDone; mine.first_reply = DONE_B; mine.available--; mine.held++
     :: mine.state = kRefused; mine.first_reply = REFUSED
     fi;
     reply = mine.first_reply
  :: Asked(FORWARD, kTombstone) -> reply = REFUSED
  :: operation == FORWARD && mine.state != kNone && mine.state != kTombstone -> reply = mine.first_reply /* kReplay */
#ifndef SAGA
  :: Asked(FINISH, kDone) -> ran = true; mine.state = kFinished; mine.frozen--; mine.consumed++; reply = DONE_A /* kRun */
  :: Asked(FINISH, kFinished) -> reply = DONE_A /* kRepeat */
#endif
  :: Asked(UNDO, kDone) -> ran = true; mine.state = kUndone; mine.held--; mine.available++; reply = DONE_A /* kRun */
  :: Asked(UNDO, kNone) -> mine.state = kTombstone; reply = DONE_A /* kBury */
  :: Asked(UNDO, kUndone) || Asked(UNDO, kTombstone) || Asked(UNDO, kRefused) -> reply = DONE_A /* kRepeat, kNothing */
#ifdef LIAR
  :: else -> reply = REFUSED /* kRefuse */
#else
  :: else -> assert(false) /* it would be refused, but a decision is never contradicted */
#endif
  fi
}

/* Executor: BEGIN IMMEDIATE, Run, COMMIT, reply. */
inline Reply() {
  /* A refusal of the second phase is not kept: there is no way but forward. */
  assert(answered[operation] == NOTHING || answered[operation] == reply ||
         (operation != FORWARD && (reply == REFUSED || answered[operation] == REFUSED))); /* T8 */
  answered[operation] = reply
}
inline Forget() { operation = 0; ran = false; reply = NOTHING; Copy(mine, none) }
#define Ready(o) (sent[o] && !drained && (answered[o] == NOTHING || repeats > 0))
Database none;

proctype Worker(byte me) {
  byte operation, reply; bool ran; Database mine;
  Copy(mine, none);
idle:
end:
  atomic { (Ready(FORWARD) || Ready(FINISH) || Ready(UNDO)) && writer == 0 ->
    if :: Ready(FORWARD) -> operation = FORWARD :: Ready(FINISH) -> operation = FINISH :: Ready(UNDO) -> operation = UNDO fi;
    if :: answered[operation] != NOTHING -> repeats-- :: else fi;
    writer = me; Copy(mine, db); Run() }
  atomic { if
    :: Copy(db, mine); Count(); assert(db.available + db.frozen + db.consumed == 1); /* T6 */
       writer = 0
    :: deaths > 0 -> deaths--; writer = 0; Forget(); goto idle /* dies: SQLite rolls back */
    :: laters > 0 -> laters--; writer = 0; Forget(); goto idle /* the handler says "retry later", or fails: nothing is kept */
    fi }
  atomic { if
    :: Reply(); Forget()
    :: deaths > 0 -> deaths--; Forget() /* dies after COMMIT; a lost reply is the same */
    fi;
    goto idle }
}

#ifdef LIAR
proctype Coordinator() { sent[UNDO] = true; sent[FINISH] = true; sent[FORWARD] = true }
#else
proctype Coordinator() {
end: do
  :: atomic { branch == kExecuting && !sent[FORWARD] -> sent[FORWARD] = true }
  :: atomic { branch == kExecuting && answered[FORWARD] >= DONE_A -> branch = kExecuted }
  :: atomic { branch == kExecuting && answered[FORWARD] == REFUSED -> branch = kRefused }
  :: atomic { branch == kExecuting || branch == kExecuted -> branch = kUndoing; sent[UNDO] = true } /* deadline, another's no */
#ifdef SAGA
  :: atomic { branch == kExecuted -> decided_commit = true; branch = kDone }
#else
  :: atomic { branch == kExecuted -> decided_commit = true; branch = kFinishing; sent[FINISH] = true }
  :: atomic { branch == kFinishing && answered[FINISH] >= DONE_A -> branch = kDone }
#endif
  :: atomic { branch == kUndoing && answered[UNDO] >= DONE_A -> branch = kUndone }
  :: atomic { IsFinal(branch) && !drained -> drained = true }
  /* Runner::RunAnswer, finished: T9. A try that nobody confirmed or cancelled would stay, as an orphan. */
  :: atomic { drained && writer == 0 && db.state != kNone -> db.state = kNone; db.first_reply = NOTHING }
  od
}
#endif

init {
  atomic { db.state = kNone; db.available = 1; none.state = kNone; run Worker(1); run Worker(2); run Coordinator() }
}

#ifdef LIVENESS /* T7, L1, L2: in the end all is as decided, nothing is frozen, and no row is left. */
ltl ends { <>(IsFinal(branch) && db.state == kNone && db.frozen == 0 && db.consumed == decided_commit && writer == 0) }
#endif
