/* Several coordinators over one store: one slot with one transaction, two members, two branches.
 *
 * The store is one server and the copy that survives it: `db` is what anybody sees, `safe` is what a power cut or a promoted
 * standby keeps. A commit is seen first and kept later; what was never kept a fail-over takes away. Who still reads from the
 * server that was deposed sees `old`.
 *
 * An append is three steps: it is sent, its first statement passes the lane's fence (and holds the lane's row FOR SHARE), it
 * commits. A connection may be lost between any two; what was sent on it may still arrive. Whoever reopens the lane waits for
 * that lock, and what comes later bears the old `conn`. The network to the participants is a set that only grows, as in
 * two_phase.pml, and what a member dies of needs no step: it may stop between any two for ever, and be fenced at any time.
 *
 * Names: coordinator/core/types.h, coordinator/log/log.h, participant-sdk/cpp/barrier/barrier.h; invariants of docs/correctness.md.
 * OWNER_MOVES: a slot is handed over, also back to the older member. LATE_APPEND: connections are lost. FAILOVER: a standby is
 * promoted. How it is run, and the mistakes planted in it: run.py. */
#ifndef MOVES
#define MOVES 2 /* hand-overs in all */
#endif
#ifndef LOSSES
#define LOSSES 2 /* lost connections in all */
#endif
#ifndef FAILOVER /* nothing that was seen is ever taken away */
#define safe db
#endif
#define kNone 0
mtype = { kActive, kCommitting, kAborting, kFinished, kForgotten, kCommit, kAbort, kBegin, kDecision, kEnd, kForget, kPrepared,
          kTombstone, kUndone, /* as in two_phase.pml */
          EMPTY, MOVE, /* what a group does beside writing the row: nothing (behind a load), or give the slot away */
          SENT, ARRIVED, COMMITTED, LOST, REOPENED, /* a group: on its way, in the store, its answer lost, its lane reopened */
          LOADING, SERVING, /* a slot at a member */
          ABSENT } /* found: neither live nor finished */

/* ---- The store ---- */
typedef Image { mtype phase; mtype decision; byte owner; byte grant; /* the row; the slot, and how often it has moved */
                bool fenced[2]; byte conn[2]; byte seq[2] } /* each member's lane, and its last group */
Image db;
#ifdef FAILOVER
Image safe;
#endif
mtype old_phase, old_decision;  /* what the deposed server still shows */
typedef Group { mtype at; mtype what; mtype decision; byte conn; byte seq; bool disowned }
Group lane[2], late[2]; /* a member's group in flight, and one that was sent on a connection since lost */

/* ---- The members ---- */
typedef Member { bool up; mtype slot; byte grant; mtype phase; mtype decision; byte acked; /* groups acknowledged */
                 mtype found; bool behind; bool deposed } /* a look into the log for a question */
Member co[2];

/* ---- The participants, and what was ever sent to and by them (to both at once) ---- */
mtype barrier[2];
bool prepare, commit, rollback, yes[2], done[2], told_committed, told_aborted;
bool asked, answer_commit, answer_abort; /* by and to the first of them */
byte moves, losses; bool promoted; /* of the world, for the bounds */
#define Other (1 - m)
#define Aborted(p) (barrier[p] == kUndone || barrier[p] == kTombstone)
#define AtRest(p) (barrier[p] == kFinished || Aborted(p))
#define S1 assert(!(barrier[0] == kFinished && Aborted(1)) && !(barrier[1] == kFinished && Aborted(0)))
#ifdef FAILOVER
#define Differs(v) (db.seq[v] != safe.seq[v] || db.conn[v] != safe.conn[v] || db.fenced[v] != safe.fenced[v])
#define Differ (Differs(0) || Differs(1))
#else
#define Differ false
#endif
inline Copy(to, from) {
  to.phase = from.phase; to.decision = from.decision; to.owner = from.owner; to.grant = from.grant;
  to.fenced[0] = from.fenced[0]; to.conn[0] = from.conn[0]; to.seq[0] = from.seq[0];
  to.fenced[1] = from.fenced[1]; to.conn[1] = from.conn[1]; to.seq[1] = from.seq[1]
}
inline Clear(x) { x.at = 0; x.what = 0; x.decision = 0; x.conn = 0; x.seq = 0; x.disowned = false }
inline ForgetAll() { co[m].slot = 0; co[m].grant = 0; co[m].phase = 0; co[m].decision = 0; Clear(lane[m]) }

/* ---- The store's side of a group ---- */
/* INSERT INTO batch .. SELECT .. FROM lane WHERE .. FOR SHARE */
#define Passes(x) (db.conn[m] == x.conn && !db.fenced[m] && db.seq[m] < x.seq)
#define Locked(v) (lane[v].at == ARRIVED || late[v].at == ARRIVED)
#define WasThere(x) (x.what == kBegin -> kNone : (x.what == kDecision -> kActive : (x.what == kForget -> kFinished : \
                     (x.decision == kCommit -> kCommitting : kAborting))))
#define WillBe(x) (x.what == kBegin -> kActive : (x.what == kEnd -> kFinished : (x.what == kForget -> kForgotten : \
                   (x.decision == kCommit -> kCommitting : kAborting))))
inline Write(x) {
  assert(!db.fenced[m]); /* S11 */
  assert(!x.disowned);   /* S14: "not committed" was said of it */
  if
  :: x.what == EMPTY
#ifdef OWNER_MOVES
  :: x.what == MOVE -> db.owner = Other; db.grant++
#endif
  :: else ->
     assert(db.owner == m);           /* S11: the lane's check alone sees to it */
     assert(db.phase == WasThere(x)); /* S4: nobody else has written the row, or begun a second one under its gid */
     db.phase = WillBe(x); db.decision = (x.what == kDecision -> x.decision : db.decision)
  fi;
  db.seq[m] = x.seq
}

/* ---- A member ---- */
inline Send(w) {
  lane[m].at = SENT; lane[m].what = w; lane[m].decision = co[m].decision; lane[m].conn = db.conn[m]; lane[m].seq = co[m].acked + 1
}
inline Decide(verdict) {
  co[m].phase = (verdict == kCommit -> kCommitting : kAborting); co[m].decision = verdict; Send(kDecision)
}
inline SendDecision() {
  assert(safe.decision == co[m].decision); /* S5, S16: it survives */
  if
  :: co[m].decision == kCommit -> told_committed = true; commit = true
  :: else -> told_aborted = true; rollback = true
  fi;
  assert(!(told_committed && told_aborted)) /* S6 */
}

/* Transaction::On(Recover): what is undecided is aborted, what is decided goes on. */
inline Serve() {
  assert(safe.grant >= co[m].grant);                                      /* S16: that the slot is ours survives */
  assert(!(co[Other].slot == SERVING && co[Other].grant == co[m].grant)); /* S13 */
  co[m].slot = SERVING;
  if
  :: co[m].phase == kNone
  :: co[m].phase == kActive -> Decide(kAbort)
  :: else -> SendDecision()
  fi
}
/* The rows as they are seen now; nothing is done with them until a commit behind them is acknowledged by the same server. */
inline Load() {
  co[m].slot = LOADING; co[m].grant = db.grant;
  if
  :: db.phase == kActive || db.phase == kCommitting || db.phase == kAborting -> co[m].phase = db.phase; co[m].decision = db.decision
  :: else -> co[m].phase = 0; co[m].decision = 0
  fi;
  Send(EMPTY)
}
hidden mtype what;
inline Acknowledged() {
  what = lane[m].what; co[m].acked = lane[m].seq; Clear(lane[m]);
  if
  :: what == kBegin -> assert(safe.phase != kNone); prepare = true /* S5, S8 */
  :: what == kDecision ->
     assert(co[m].decision == kAbort || (barrier[0] != kNone && barrier[1] != kNone && !Aborted(0) && !Aborted(1))); /* S2 */
     SendDecision()
  :: what == kEnd -> co[m].phase = 0; co[m].decision = 0
  :: what == kForget
  :: what == EMPTY -> Serve()
#ifdef OWNER_MOVES
  :: what == MOVE -> ForgetAll()
#endif
  fi
}

/* A lost answer. UPDATE lane SET conn = conn + 1 .. RETURNING fenced: behind the lock of what is still in the store. */
inline Reopen() {
  db.conn[m]++;
  if
  :: db.fenced[m] -> co[m].up = false; co[m].found = 0; co[m].behind = false; ForgetAll() /* exit 75 */
#if defined(LATE_APPEND) || defined(FAILOVER)
  :: else -> lane[m].at = REOPENED; lane[m].conn = db.conn[m]
#endif
  fi
}
inline Settle() {
  assert(db.seq[m] >= co[m].acked); /* S15 */
  if
  :: db.seq[m] >= lane[m].seq -> Acknowledged()
#if defined(LATE_APPEND) || defined(FAILOVER)
  :: else -> late[m].disowned = (late[m].at != 0);
     if
     :: lane[m].what == EMPTY -> ForgetAll() /* what was read may be gone: it is loaded again, if it is still ours */
     :: lane[m].what == kBegin -> co[m].phase = 0; Clear(lane[m]) /* the initiator hears: certainly not done */
     :: lane[m].what != EMPTY -> lane[m].at = SENT
     fi
#endif
  fi
}

/* History::Judge: the owner from memory, and who does not know from one look at live and finished, taken after the question came;
 * its words wait for a commit behind the look. Absent is abort, whoever asks: nobody is prepared without a durable BEGIN. */
#define Unanswered (asked && !answer_commit && !answer_abort)
#define Knows (co[m].slot == SERVING && co[m].decision != kNone && lane[m].what != kDecision)
#define Seen (co[m].deposed -> old_phase : db.phase)
#define SeenDecision (co[m].deposed -> old_decision : db.decision)
#define Findable (Seen == kNone || Seen == kFinished || Seen == kForgotten)
inline Look() {
  co[m].found = (Seen == kFinished -> SeenDecision : ABSENT); co[m].behind = !co[m].deposed && !Differ
}
inline Answer(verdict) {
  if
  :: verdict == kCommit -> answer_commit = true
  :: else -> answer_abort = true; assert(db.decision != kCommit || AtRest(0)) /* S9 */
  fi
}
#define InFlight (lane[m].at == SENT || lane[m].at == ARRIVED || lane[m].at == COMMITTED)
#define Idle (co[m].slot == SERVING && lane[m].at == 0)

proctype Coordinator(byte m) {
end: do
  :: atomic { lane[m].at == SENT -> lane[m].at = (Passes(lane[m]) -> ARRIVED : LOST) }
  :: atomic { lane[m].at == ARRIVED -> Write(lane[m]); lane[m].at = COMMITTED }
  :: atomic { lane[m].at == COMMITTED && safe.seq[m] >= lane[m].seq -> Acknowledged() }
  :: atomic { lane[m].at == LOST && !Locked(m) -> Reopen() }
#if defined(LATE_APPEND) || defined(FAILOVER)
  :: atomic { lane[m].at == REOPENED && safe.conn[m] == lane[m].conn -> Settle() }
#endif
#ifdef LATE_APPEND
  :: atomic { InFlight && late[m].at != ARRIVED && losses < LOSSES -> losses++;
       late[m].at = (lane[m].at == COMMITTED -> 0 : lane[m].at); late[m].what = lane[m].what; late[m].decision = lane[m].decision;
       late[m].conn = lane[m].conn; late[m].seq = lane[m].seq; late[m].disowned = false; lane[m].at = LOST }
  :: atomic { late[m].at == SENT && Passes(late[m]) -> late[m].at = ARRIVED }
  :: atomic { late[m].at == ARRIVED -> Write(late[m]); Clear(late[m]) }
  :: atomic { late[m].at != 0 -> Clear(late[m]) } /* refused, or its end never comes and its backend is ended */
#endif
  /* Fencing: for no reason at all, as nothing rests on who is suspected. It waits for what is in the victim's lane. */
  :: atomic { co[m].up && !db.fenced[m] && !db.fenced[Other] && !Locked(Other) -> db.fenced[Other] = true;
       if
       :: db.owner == Other -> db.owner = m; db.grant++
       :: else
       fi }
#ifdef OWNER_MOVES /* Who asked for a slot and was fenced before he got it has it all the same, with the fence behind him. */
  :: atomic { co[m].up && !db.fenced[m] && db.fenced[Other] && db.owner == Other -> db.owner = m; db.grant++ }
#endif
  :: atomic { co[m].up && co[m].slot == 0 && lane[m].at == 0 && db.owner == m && !db.fenced[m] -> Load() }
#ifdef OWNER_MOVES
  :: atomic { Idle && moves < MOVES && !db.fenced[Other] -> moves++; Send(MOVE) }
#endif
  :: atomic { Idle && co[m].phase == kNone && db.phase != kFinished && db.phase != kForgotten ->
       co[m].phase = kActive; Send(kBegin) } /* whoever has the slot is asked for the same gid */
  :: atomic { Idle && co[m].phase == kActive && yes[0] && yes[1] -> Decide(kCommit) }
  :: atomic { Idle && co[m].phase == kActive -> Decide(kAbort) }
  :: atomic { Idle && co[m].decision != kNone && done[0] && done[1] -> co[m].phase = kFinished; Send(kEnd) }
  :: atomic { Idle && co[m].phase == kNone && db.phase == kFinished -> Send(kForget); assert(AtRest(0) && AtRest(1)) } /* S7 */
  :: atomic { co[m].up && Knows && Unanswered -> Answer(co[m].decision) }
  :: atomic { co[m].up && !Knows && co[m].found == 0 && Findable && Unanswered -> Look() }
  :: atomic { co[m].found != 0 && co[m].behind -> Answer(co[m].found); co[m].found = 0; co[m].behind = false }
#ifdef FAILOVER
  :: atomic { co[m].deposed -> co[m].deposed = false; co[m].found = 0 }
#endif
  od
}

#ifdef FAILOVER
/* Connections, and what was on its way on them, are gone; who looks into the log may go on doing so where it did. */
inline Cut(v) {
  Clear(late[v]); co[v].deposed = co[v].up; co[v].behind = false;
  lane[v].at = (lane[v].at == 0 -> 0 : LOST)
}
/* The standby has it, or the disk: then those who wait for that hear of it. Or a standby goes on without what it lacks. */
proctype Store() {
end: do
  :: atomic { Differ -> Copy(safe, db); co[0].behind = (co[0].found != 0 && !co[0].deposed);
       co[1].behind = (co[1].found != 0 && !co[1].deposed) }
  :: atomic { !promoted -> promoted = true; old_phase = db.phase; old_decision = db.decision; Copy(db, safe);
       assert(db.seq[0] >= co[0].acked && db.seq[1] >= co[1].acked); /* S15 */
       Cut(0); Cut(1) }
  od
}
#endif

/* One local transaction each: what is told is durable (S10). */
proctype Participant(byte p) {
end: do
  :: atomic { prepare && barrier[p] == kNone -> barrier[p] = kPrepared; yes[p] = true }
  :: atomic { commit && barrier[p] == kPrepared -> barrier[p] = kFinished; S1 }
  :: atomic { rollback && (barrier[p] == kNone || barrier[p] == kPrepared) ->
       barrier[p] = (barrier[p] == kNone -> kTombstone : kUndone); S1 }
  :: atomic { (commit || rollback) && AtRest(p) && !done[p] -> done[p] = true;
       assert((barrier[p] == kFinished -> !rollback : !commit)) } /* S1: else HAZARD */
  :: atomic { p == 0 && barrier[p] == kPrepared && !asked -> asked = true }
  :: atomic { p == 0 && answer_commit && barrier[p] == kPrepared -> barrier[p] = kFinished; S1 }
  :: atomic { p == 0 && answer_abort && barrier[p] == kPrepared -> barrier[p] = kUndone; S1 }
  od
}

init { atomic {
  db.owner = 1; db.grant = 1; db.conn[0] = 1; db.conn[1] = 1; /* the newer member has the slot first */
  co[0].up = true; co[1].up = true;
  run Participant(0); run Participant(1); run Coordinator(0); run Coordinator(1)
#ifdef FAILOVER
  ; Copy(safe, db); run Store()
#endif
} }
#ifdef LIVENESS /* L1, L6: the faults are bounded; then it ends everywhere, and the row goes. */
ltl ends { <>(db.phase == kForgotten && AtRest(0) && AtRest(1)) }
#endif
