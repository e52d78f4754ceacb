/* Two-phase commit with presumed abort: one transaction, two branches, two coordinators over one log.
 *
 * The network is a set that only grows: what was once sent may arrive at any time, any number of times, in any order, or
 * never. So a lost message needs no step of its own, and neither has a death between "durable" and "sent".
 *
 * A coordinator's memory is lost when it dies; the log and the participants' barrier rows survive. An append is two steps:
 * `writing` (Apply has returned the record) and Flush (the log says durable; only now the effects leave). Who starts is
 * granted the next epoch, also while the other still believes that it owns the log.
 *
 * Names: coordinator/core/types.h (Phase, BranchState, Decision), participant-sdk/cpp/barrier/barrier.h (barrier), invariants S1
 * to S11 of docs/correctness.md. How it is run, and the mistakes planted in it: run.py. */
#ifndef LIVES
#define LIVES 3 /* of coordinators, both together */
#endif
#define kNone 0 /* no phase, no decision, no row, nothing to write */
mtype = { kActive, kCommitting, kAborting, kFinished, kForgotten, /* Phase; kForgotten: retention has removed the row */
          kExecuting, kExecuted, kReadOnly, kRefused, kFinishing, kDone, kUndoing, kUndone, /* BranchState */
          kCommit, kAbort, kBegin, kDecision, kEnd, /* Decision, Record */
          kPrepared, kTombstone } /* barrier; also kRefused, kReadOnly, kFinished, kUndone */

/* ---- What survives ---- */
typedef Row { mtype phase; mtype decision; mtype branch[2] }
Row row;                      /* the log: this transaction's row */
byte log_epoch, log_id = 1;   /* the log: its meta row */
mtype barrier[2];             /* the participants' own databases */

/* ---- The network: what was ever sent ---- */
bool prepare[2], commit[2], rollback[2];                        /* commands, which carry: */
byte began_epoch, began_id;                                     /*   in which life of which log it began */
bool yes[2], read_only[2], no[2], committed[2], rolled_back[2]; /* replies */
bool asked[2], answer_commit[2], answer_abort[2];               /* outcome questions, and their answers */
bool told_committed, told_aborted;                              /* what the initiator has heard */

/* ---- A coordinator's memory ---- */
typedef Coordinator { bool up; byte epoch; mtype phase; mtype decision; mtype writing; mtype branch[2] }
Coordinator co[2];
bool commit_was_durable, restored; byte lives; /* of the world, for the checks and the bounds */
hidden byte i;                                  /* of one step: the chosen branch */
#define Either(Ready) if :: Ready(0) -> i = 0 :: Ready(1) -> i = 1 fi
#define Aborted(p) (barrier[p] == kUndone || barrier[p] == kTombstone || barrier[p] == kRefused)
#define AtRest(p) (barrier[p] == kFinished || barrier[p] == kReadOnly || Aborted(p))
#define IsFinal(s) (s == kDone || s == kUndone || s == kReadOnly || s == kRefused)
#define S1 assert(!(barrier[0] == kFinished && Aborted(1)) && !(barrier[1] == kFinished && Aborted(0)))

/* Effects leave. S5: what justifies them is durable. */
inline SendPrepare() {
  assert(row.phase != kNone); /* S5, S8 */
  prepare[0] = true; prepare[1] = true
}
inline SendDecision() {
  assert(row.decision == co[c].decision); /* S4, S5 */
  if
  :: co[c].decision == kCommit -> told_committed = true;
     commit[0] = commit[0] || co[c].branch[0] == kFinishing; commit[1] = commit[1] || co[c].branch[1] == kFinishing
  :: else -> told_aborted = true;
     rollback[0] = rollback[0] || co[c].branch[0] == kUndoing; rollback[1] = rollback[1] || co[c].branch[1] == kUndoing
  fi;
  assert(!(told_committed && told_aborted)) /* S6 */
}

/* Transaction::Decide. The effects are handed over attached to the record. */
#define Following(s) (verdict == kCommit -> (s == kExecuted -> kFinishing : s) : (IsFinal(s) -> s : kUndoing))
inline Decide(verdict) {
  co[c].phase = (verdict == kCommit -> kCommitting : kAborting); co[c].decision = verdict; co[c].writing = kDecision;
  co[c].branch[0] = Following(co[c].branch[0]); co[c].branch[1] = Following(co[c].branch[1]);
}
inline ForgetAll() { co[c].phase = 0; co[c].decision = 0; co[c].writing = 0; co[c].branch[0] = 0; co[c].branch[1] = 0 }

/* Log::Recover and Transaction::On(Recover): a new epoch is durable before anything leaves. What is undecided is aborted; what
 * is decided goes on with everybody whose answer is not in the row; what is finished stays in the log. */
inline Start() {
  lives++; log_epoch++; co[c].up = true; co[c].epoch = log_epoch;
  if
  :: row.phase == kActive || row.phase == kCommitting || row.phase == kAborting ->
     co[c].phase = row.phase; co[c].decision = row.decision;
     co[c].branch[0] = row.branch[0]; co[c].branch[1] = row.branch[1];
     if
     :: row.phase == kActive && !restored -> Decide(kAbort)
#ifdef RESTORE_KNOWN
     :: row.phase == kActive && restored -> ForgetAll() /* left to a person */
#endif
     :: else -> SendDecision()
     fi
  :: else
  fi
}

/* The log takes an append only from its owner (S11) and only on top of what the writer has seen (compare-and-set: the row's
 * version). Any other append poisons the log of who tried, and that process stops. */
#define Owner (co[c].epoch == log_epoch)
#define Seen (co[c].writing == kBegin -> kNone : (co[c].writing == kDecision -> kActive : \
              (co[c].decision == kCommit -> kCommitting : kAborting)))
inline Flush() {
  if
  :: Owner && row.phase == Seen -> assert(Owner); /* S11 */
     assert(row.decision == kNone || row.decision == co[c].decision); /* S4 */
     row.phase = co[c].phase; row.decision = co[c].decision;
     row.branch[0] = co[c].branch[0]; row.branch[1] = co[c].branch[1];
     if
     :: co[c].writing == kBegin -> co[c].writing = kNone; began_epoch = co[c].epoch; began_id = log_id; SendPrepare()
     :: co[c].writing == kDecision -> co[c].writing = kNone;
        commit_was_durable = commit_was_durable || row.decision == kCommit;
        assert(row.decision == kAbort || (barrier[0] != kNone && barrier[1] != kNone && !Aborted(0) && !Aborted(1))); /* S2 */
        SendDecision()
     :: co[c].writing == kEnd -> ForgetAll()
     fi
  :: else -> co[c].up = false; co[c].epoch = 0; ForgetAll()
  fi
}

/* History::Judge and History::Answer: of one that is here and visible, its decision; of all else the log says whether it is
 * finished or absent, and only of an absent one is abort presumed. S9: not by one whose log does not list the epoch in which it
 * began, nor by another log. (Of one at rest a late question is harmless. The model has one gid.) */
#define Verdict (co[c].phase == kNone -> (row.phase == kFinished -> row.decision : (MayPresume -> kAbort : kNone)) : \
                 (co[c].writing == kBegin || co[c].writing == kDecision -> kNone : co[c].decision))
#define MayPresume (began_id == log_id && began_epoch <= co[c].epoch)
#define CanAnswer(p) (co[c].up && asked[p] && !answer_commit[p] && !answer_abort[p] && Verdict != kNone)
inline Answer() {
  if
  :: Verdict == kCommit -> answer_commit[i] = true
  :: else -> answer_abort[i] = true; assert(!commit_was_durable || AtRest(i)) /* S9 */
  fi
}

/* Transaction::On(Answered): it counts for the operation that is due, whichever attempt it answers. */
#define Idle (co[c].up && co[c].writing == kNone)
#define HasReply(p) (Idle && ((co[c].branch[p] == kExecuting && (yes[p] || read_only[p] || no[p])) || \
                              (co[c].branch[p] == kFinishing && committed[p]) || (co[c].branch[p] == kUndoing && rolled_back[p])))
inline OnReply() {
  if
  :: co[c].branch[i] == kExecuting -> co[c].branch[i] = (yes[i] -> kExecuted : (no[i] -> kRefused : kReadOnly))
  :: co[c].branch[i] == kFinishing -> co[c].branch[i] = kDone
  :: co[c].branch[i] == kUndoing -> co[c].branch[i] = kUndone
  fi
}
#define Executed(s) (s == kExecuted || s == kReadOnly)

/* One life after another. What an answer makes due (decide, end) the code does together with it; here it may come later too. */
proctype CoordinatorLife(byte c) {
end: do
  :: atomic { !co[c].up && lives < LIVES -> Start() }
  :: atomic { co[c].up && lives < LIVES -> co[c].up = false; co[c].epoch = 0; ForgetAll() } /* dies; somebody will start */
  :: atomic { Idle && co[c].phase == kNone && row.phase == kNone && began_id == 0 ->
       co[c].phase = kActive; co[c].branch[0] = kExecuting; co[c].branch[1] = kExecuting; co[c].writing = kBegin }
  :: atomic { co[c].up && co[c].writing != kNone -> Flush() }
  :: atomic { HasReply(0) || HasReply(1) -> Either(HasReply); OnReply() }
  :: atomic { CanAnswer(0) || CanAnswer(1) -> Either(CanAnswer); Answer() }
  :: atomic { Idle && co[c].phase == kActive && Executed(co[c].branch[0]) && Executed(co[c].branch[1]) -> Decide(kCommit) }
  :: atomic { Idle && co[c].phase == kActive -> Decide(kAbort) } /* somebody refused, the deadline passed, or a person */
  :: atomic { Idle && co[c].decision != kNone && IsFinal(co[c].branch[0]) && IsFinal(co[c].branch[1]) ->
       co[c].phase = kFinished; co[c].writing = kEnd }
  :: atomic { Idle && co[c].phase == kNone && Owner && row.phase == kFinished -> row.phase = kForgotten; /* retention */
       assert(AtRest(0) && AtRest(1)) } /* S7 */
  od
}

/* One local transaction each: what is told is durable (S10). Asked again, it answers the same: the set does not forget. */
proctype Participant(byte p) {
end: do
  :: atomic { prepare[p] && barrier[p] == kNone -> assert(began_id != 0); /* S8 */
       if
       :: barrier[p] = kPrepared; yes[p] = true
       :: barrier[p] = kRefused; no[p] = true
       :: p == 1 -> barrier[p] = kReadOnly; read_only[p] = true
       fi }
  :: atomic { commit[p] && !committed[p] -> committed[p] = true;
       assert(barrier[p] == kPrepared || barrier[p] == kFinished || barrier[p] == kReadOnly); /* else HAZARD */
       barrier[p] = (barrier[p] == kPrepared -> kFinished : barrier[p]); S1 }
  :: atomic { rollback[p] && !rolled_back[p] -> rolled_back[p] = true;
       assert(barrier[p] != kFinished); /* else HAZARD */
       barrier[p] = (barrier[p] == kNone -> kTombstone : barrier[p]);
       barrier[p] = (barrier[p] == kPrepared -> kUndone : barrier[p]); S1 }
  :: atomic { barrier[p] == kPrepared && !asked[p] -> asked[p] = true }
  :: atomic { answer_commit[p] && barrier[p] == kPrepared -> barrier[p] = kFinished; S1 }
  :: atomic { answer_abort[p] && barrier[p] == kPrepared -> barrier[p] = kUndone; S1 }
  od
}

#ifdef RESTORE /* The daemon is stopped, and an older copy of its file put in the place of the present one. */
Row copy; byte copy_epoch;
proctype Operator() {
end1: atomic { log_epoch > 0 -> copy_epoch = log_epoch; copy.phase = row.phase; copy.decision = row.decision;
    copy.branch[0] = row.branch[0]; copy.branch[1] = row.branch[1] }
end2: atomic { began_id != 0 && !co[0].up && !co[1].up -> log_epoch = copy_epoch;
    row.phase = copy.phase; row.decision = copy.decision; row.branch[0] = copy.branch[0]; row.branch[1] = copy.branch[1];
#ifdef RESTORE_KNOWN /* it is told so: it takes a new id, and leaves what is undecided alone */
    restored = true; log_id = 2
#endif
} }
#endif
init { atomic {
  run Participant(0); run Participant(1); run CoordinatorLife(0); run CoordinatorLife(1)
#ifdef RESTORE
  ; run Operator()
#endif
} }
#ifdef LIVENESS /* L1, L2: lives are bounded, so the faults stop; then it ends everywhere, and the row goes. */
ltl ends { <>(row.phase == kForgotten && AtRest(0) && AtRest(1)) }
#endif
