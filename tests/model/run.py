#!/usr/bin/python3
"""Searches every state of the models, then plants mistakes in them and requires that each is found.

    run.py [--only WORD] [--deep] [--keep FOLDER]

--only   those whose title contains WORD
--deep   more lives, deaths and repeats: minutes instead of seconds
--keep   leaves each run's files in FOLDER/TITLE, and says how to see the way into a violation step by step

Exit status: 0 all as expected, 1 not, 77 skipped because spin or a C compiler is missing. A run that holds must have searched
everything and reached every statement; a mistake must violate an invariant that the table names.
"""

import argparse
import collections
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TWO_PHASE, BARRIER, CLUSTER = "two_phase", "barrier", "cluster"
OWNER_MOVES, LATE_APPEND, FAILOVER = "OWNER_MOVES", "LATE_APPEND", "FAILOVER"
MAX_DEPTH = 10_000
MAX_MEMORY_MB, MAX_DEEP_MEMORY_MB = 1024, 4096
MAX_SECONDS = 400
PROGRESS = "LIVENESS"  # with it, the formula `ends` is checked instead of the assertions' own run

LATE = (OWNER_MOVES, LATE_APPEND, "MOVES=1", "LOSSES=1")

Run = collections.namedtuple("Run", "title model defines edits violates")


def holds(title, model, *defines):
    return Run(title, model, defines, (), ())


def mistake(title, model, violates, *edits, defines=()):
    """`edits` are pairs of a text that stands once in the model, and what is put in its place."""
    return Run(title, model, defines, edits, violates)


HOLDS = [
    holds("2pc", TWO_PHASE),
    holds("2pc-progress", TWO_PHASE, PROGRESS),
    holds("2pc-restored-and-told-so", TWO_PHASE, "RESTORE", "RESTORE_KNOWN"),
    holds("tcc", BARRIER),
    holds("tcc-progress", BARRIER, PROGRESS),
    holds("tcc-liar", BARRIER, "LIAR"),
    holds("saga-step", BARRIER, "SAGA"),
    holds("saga-step-progress", BARRIER, "SAGA", PROGRESS),
    holds("cluster-owner-moves", CLUSTER, OWNER_MOVES),
    holds("cluster-late-append", CLUSTER, OWNER_MOVES, LATE_APPEND, "MOVES=1", "LOSSES=1"),
    holds("cluster-failover", CLUSTER, FAILOVER),
    holds("cluster-progress", CLUSTER, OWNER_MOVES, LATE_APPEND, "MOVES=1", "LOSSES=1", PROGRESS),
]
# Not a mistake for safety's sake, as votes are asked for again; the code aborts all the same (core/DESIGN.md).
WHAT_IF = [
    Run("what-if-resumed-by-asking", TWO_PHASE, (),
        ((":: row.phase == kActive && !restored -> Decide(kAbort)", ":: row.phase == kActive -> SendPrepare()"),), ()),
]
DEEP = [
    holds("2pc-deep", TWO_PHASE, "LIVES=6"),
    holds("2pc-restored-and-told-so-deep", TWO_PHASE, "RESTORE", "RESTORE_KNOWN", "LIVES=4"),
    holds("tcc-deep", BARRIER, "DEATHS=4", "REPEATS=4"),
    holds("tcc-liar-deep", BARRIER, "LIAR", "DEATHS=3", "REPEATS=3"),
    holds("cluster-deep", CLUSTER, OWNER_MOVES, LATE_APPEND),
    holds("cluster-failover-progress", CLUSTER, FAILOVER, PROGRESS),
    holds("cluster-failover-moves-deep", CLUSTER, FAILOVER, OWNER_MOVES, "MOVES=1"),
    holds("cluster-failover-late-deep", CLUSTER, FAILOVER, LATE_APPEND, "LOSSES=1"),
]

# What the code does not survive today (README.md, "What it has found"). A violation is expected until it does.
OPEN = [
    Run("open-restored-unawares", TWO_PHASE, ("RESTORE",), (), ("S9",)),
    # Nor would a new id alone be enough: what the copy holds undecided may have been decided since.
    Run("open-restored-with-a-new-id-only", TWO_PHASE, ("RESTORE", "RESTORE_KNOWN"),
        (("restored = true; log_id = 2", "log_id = 2"),), ("S1", "S4", "S6", "S7")),
]

MISTAKES = [
    mistake("send-before-durable", TWO_PHASE, ("S5",),
            ("Following(co[c].branch[1]);\n}", "Following(co[c].branch[1]);\n  SendDecision()\n}")),
    mistake("begin-does-not-gate", TWO_PHASE, ("S8",),
            ("co[c].writing = kBegin }", "co[c].writing = kBegin; SendPrepare() }")),
    mistake("decide-without-compare-and-set", TWO_PHASE, ("S4",),
            (":: Owner && row.phase == Seen -> assert(Owner); /* S11 */", ":: true ->")),
    mistake("no-fencing", TWO_PHASE, ("S11",), (":: Owner && row.phase == Seen ->", ":: row.phase == Seen ->")),
    mistake("resume-undecided", TWO_PHASE, ("S2",),
            (":: row.phase == kActive && !restored -> Decide(kAbort)",
             ":: row.phase == kActive -> co[c].branch[0] = kExecuted; co[c].branch[1] = kExecuted; Decide(kCommit)")),
    mistake("no-recovery", TWO_PHASE, ("L1",), (":: else -> SendDecision()", ":: else -> ForgetAll()"), defines=(PROGRESS,)),
    mistake("presume-without-epoch", TWO_PHASE, ("S2", "S9", "S1"),
            ("(began_id == log_id && began_epoch <= co[c].epoch)", "(began_id == log_id)")),
    mistake("presume-without-coordinator-id", TWO_PHASE, ("S9",),
            ("(began_id == log_id && began_epoch <= co[c].epoch)", "(began_epoch <= co[c].epoch)"),
            defines=("RESTORE", "RESTORE_KNOWN")),
    mistake("undecided-is-abort", TWO_PHASE, ("S2", "S9", "S1"),
            ("co[c].writing == kDecision -> kNone :", "co[c].writing == kDecision || co[c].decision == kNone -> kAbort :")),
    mistake("forget-before-the-last-ack", TWO_PHASE, ("S7",),
            ("IsFinal(co[c].branch[0]) && IsFinal(co[c].branch[1]) ->",
             "(IsFinal(co[c].branch[0]) || IsFinal(co[c].branch[1])) ->")),
    mistake("unknown-is-yes", TWO_PHASE, ("S2",),
            ("  :: atomic { co[c].up && co[c].writing != kNone -> Flush() }\n",
             "  :: atomic { co[c].up && co[c].writing != kNone -> Flush() }\n"
             "  :: atomic { Idle && co[c].branch[0] == kExecuting -> co[c].branch[0] = kExecuted }\n")),
    mistake("read-only-is-waited-for", TWO_PHASE, ("L1",),
            ("(s == kDone || s == kUndone || s == kReadOnly || s == kRefused)", "(s == kDone || s == kUndone || s == kRefused)"),
            defines=(PROGRESS,)),
    mistake("ack-before-durable", TWO_PHASE, ("S7",),
            ("       barrier[p] = (barrier[p] == kPrepared -> kFinished : barrier[p]); S1 }", "       S1 }")),
    mistake("no-tombstone-2pc", TWO_PHASE, ("S7",),
            ("       barrier[p] = (barrier[p] == kNone -> kTombstone : barrier[p]);\n", "")),
    mistake("prepared-decides-alone", TWO_PHASE, ("S1", "S2"),
            ("  :: atomic { answer_abort[p] && barrier[p] == kPrepared -> barrier[p] = kUndone; S1 }",
             "  :: atomic { asked[p] && barrier[p] == kPrepared -> barrier[p] = kUndone; S1 }")),
    mistake("no-tombstone", BARRIER, ("T3",), ("-> mine.state = kTombstone; reply", "-> reply")),
    mistake("refused-row-dropped", BARRIER, ("T8",),
            ("mine.state = kRefused; mine.first_reply = REFUSED", "mine.first_reply = REFUSED")),
    mistake("answered-differently", BARRIER, ("T8",),
            ("reply = mine.first_reply /* kReplay */", "reply = (mine.state == kRefused -> REFUSED : DONE_A)")),
    mistake("confirm-without-try", BARRIER, ("T5",),
            (":: Asked(FINISH, kDone) ->", ":: Asked(FINISH, kDone) || Asked(FINISH, kNone) ->"), defines=("LIAR",)),
    mistake("confirm-after-cancel", BARRIER, ("T2",),
            (":: Asked(FINISH, kDone) ->", ":: Asked(FINISH, kDone) || Asked(FINISH, kUndone) ->"), defines=("LIAR",)),
    mistake("confirm-twice", BARRIER, ("T1",),
            (":: Asked(FINISH, kDone) ->", ":: Asked(FINISH, kDone) || Asked(FINISH, kFinished) ->"),
            ("  :: Asked(FINISH, kFinished) -> reply = DONE_A /* kRepeat */\n", "")),
    mistake("cancel-runs-without-try", BARRIER, ("T4",),
            (":: Asked(UNDO, kNone) -> mine.state", ":: Asked(UNDO, kNone) -> ran = true; mine.state")),
    mistake("compensate-twice", BARRIER, ("G2",),
            (":: Asked(UNDO, kDone) ->", ":: Asked(UNDO, kDone) || Asked(UNDO, kUndone) ->"),
            ("Asked(UNDO, kUndone) || Asked(UNDO, kTombstone) ||", "Asked(UNDO, kTombstone) ||"), defines=("SAGA",)),
    mistake("row-read-before-the-lock", BARRIER, ("T1",),
            ("writer = me; Copy(mine, db); Run() }\n", "Copy(mine, db); Run() }\n  atomic { writer == 0 -> writer = me }\n")),
    mistake("reply-before-commit", BARRIER, ("T8",),
            ("Copy(mine, db); Run() }\n", "Copy(mine, db); Run() }\n  atomic { Reply() }\n")),
    mistake("row-in-another-local-transaction", BARRIER, ("T1",),
            ("Copy(mine, db); Run() }\n",
             "Copy(mine, db); Run() }\n"
             "  atomic { db.available = mine.available; db.frozen = mine.frozen; db.consumed = mine.consumed;\n"
             "    Count(); ran = false }\n")),
    mistake("row-forgotten-early", BARRIER, ("T1", "T3"),
            (":: atomic { drained && writer == 0", ":: atomic { IsFinal(branch) && writer == 0")),
    mistake("unknown-is-refused", BARRIER, ("T7",),
            ("answered[FORWARD] == REFUSED ->", "sent[FORWARD] ->"), defines=(PROGRESS,)),
    # The lane and its fence.
    mistake("append-without-fence", CLUSTER, ("S11",),
            ("db.conn[m] == x.conn && !db.fenced[m] &&", "db.conn[m] == x.conn &&"),
            defines=(OWNER_MOVES,)),
    mistake("fence-without-share-lock", CLUSTER, ("S11",),
            ("!db.fenced[Other] && !Locked(Other) ->", "!db.fenced[Other] ->"), defines=(OWNER_MOVES,)),
    mistake("reopen-without-conn", CLUSTER, ("S14",), ("(db.conn[m] == x.conn && !db.fenced[m]", "(!db.fenced[m]"), defines=LATE),
    mistake("retry-without-reopen", CLUSTER, ("S14",), ("lane[m].at == LOST && !Locked(m) -> Reopen()",
                                                        "lane[m].at == LOST -> lane[m].at = REOPENED"), defines=LATE),
    mistake("reopen-without-waiting", CLUSTER, ("S14",), ("lane[m].at == LOST && !Locked(m) ->", "lane[m].at == LOST ->"),
            defines=LATE),
    # Slots that move.
    mistake("load-before-fence-commits", CLUSTER, ("S11", "S13"),
            ("lane[m].at == 0 && db.owner == m && !db.fenced[m] -> Load()", "lane[m].at == 0 && !db.fenced[m] -> Load()"),
            defines=(OWNER_MOVES,)),
    mistake("fence-without-new-slot-epoch", CLUSTER, ("S13",),
            (":: db.owner == Other -> db.owner = m; db.grant++", ":: db.owner == Other -> db.owner = m"), defines=(OWNER_MOVES,)),
    mistake("hand-over-before-drained", CLUSTER, ("S11",),
            (":: what == MOVE -> ForgetAll()",
             ":: what == MOVE -> if :: co[m].phase == kActive -> Decide(kAbort) :: else -> ForgetAll() fi"),
            defines=(OWNER_MOVES,)),
    mistake("hand-over-keeps-the-memory", CLUSTER, ("S11",), (":: what == MOVE -> ForgetAll()", ":: what == MOVE"),
            defines=(OWNER_MOVES,)),
    mistake("slot-given-to-a-fenced-one-stays", CLUSTER, ("L6",),
            ("db.fenced[Other] && db.owner == Other ->", "db.fenced[Other] && db.owner == Other && false ->"),
            defines=(*LATE, PROGRESS)),
    mistake("fenced-fences-others", CLUSTER, ("L6",),
            ("co[m].up && !db.fenced[m] && !db.fenced[Other]", "co[m].up && !db.fenced[Other]"),
            defines=(OWNER_MOVES, PROGRESS)),
    # Presuming. With slots that move back, neither "not finished" nor the order of the epochs says that it has ended.
    mistake("presume-by-non-owner", CLUSTER, ("S9",),
            ("Seen == kForgotten)\n", "Seen == kForgotten || true)\n"), defines=(OWNER_MOVES,)),
    mistake("presume-by-order-of-epochs", CLUSTER, ("S9",),
            ("Seen == kForgotten)\n", "Seen == kForgotten || (co[m].phase == kNone && began <= m))\n"),
            ("prepare = true /*", "prepare = true; began = m /*"), ("bool asked,", "byte began; bool asked,"),
            defines=(OWNER_MOVES,)),
    mistake("look-before-the-question", CLUSTER, ("S9",), ("Findable && Unanswered -> Look()", "Findable -> Look()"),
            ("co[m].found != 0 && co[m].behind ->", "co[m].found != 0 && co[m].behind && asked ->"), defines=(OWNER_MOVES,)),
    # What was seen and not kept.
    mistake("presume-from-deposed-primary", CLUSTER, ("S9",), ("co[m].behind = !co[m].deposed && !Differ", "co[m].behind = true"),
            defines=(FAILOVER,)),
    mistake("warning-is-success", CLUSTER, ("S5", "S15"), ("lane[m].at == COMMITTED && safe.seq[m] >= lane[m].seq ->",
                                                           "lane[m].at == COMMITTED ->"), defines=(FAILOVER,)),
    mistake("settled-before-the-reopening-is-kept", CLUSTER, ("S5", "S15"),
            ("lane[m].at == REOPENED && safe.conn[m] == lane[m].conn ->", "lane[m].at == REOPENED ->"),
            defines=(FAILOVER, LATE_APPEND, "LOSSES=1")),
    mistake("act-on-load-without-commit", CLUSTER, ("S16",), ("  Send(EMPTY)\n", "  Serve()\n"), defines=(FAILOVER,)),
    mistake("answer-while-loading", CLUSTER, ("S1", "S9"),
            ("(co[m].slot == SERVING && co[m].decision != kNone", "(co[m].decision != kNone"),
            defines=(FAILOVER,)),
    mistake("load-not-repeated-elsewhere", CLUSTER, ("S16",),
            (":: lane[m].what == EMPTY -> ForgetAll()", ":: lane[m].what == EMPTY -> lane[m].at = SENT"), defines=(FAILOVER,)),
]


class Wrong(Exception):
    pass


def check_names():
    """The states are named as in the code: every name of an mtype stands in an enum of the headers that the model cites."""
    headers = ("proto/vocabulary/assent/states.h", "coordinator/core/types.h", "coordinator/core/transaction.h",
               "coordinator/log/log.h",
               "participant-sdk/cpp/barrier/barrier.h")
    known = set()
    for header in headers:
        with open(os.path.join(ROOT, header), encoding="utf-8") as file:
            known.update(re.findall(r"^\s*(k[A-Z]\w*)(?:\s*=\s*\d+)?,", file.read(), re.MULTILINE))
            file.seek(0)
            for line in re.findall(r"enum class \w+ : [\w:]+ \{([^}]*)\}", file.read()):
                known.update(re.findall(r"\bk[A-Z]\w*", line))
    for model in (TWO_PHASE, BARRIER, CLUSTER):
        with open(os.path.join(HERE, model + ".pml"), encoding="utf-8") as file:
            declared = re.search(r"^mtype = \{(.*?)\}", file.read(), re.MULTILINE | re.DOTALL).group(1)
        names = set(re.findall(r"\bk[A-Z]\w*", re.sub(r"/\*.*?\*/", "", declared)))
        if unknown := names - known - {"kForgotten"}:
            raise Wrong(f"{model}.pml names states that no header knows: {', '.join(sorted(unknown))}")


def command(folder, *words, timeout=MAX_SECONDS):
    done = subprocess.run(words, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=timeout, check=False, text=True)
    return done.returncode, done.stdout


def source_of(run):
    with open(os.path.join(HERE, run.model + ".pml"), encoding="utf-8") as file:
        text = file.read()
    for old, new in run.edits:
        if text.count(old) != 1:
            raise Wrong(f"the text to be replaced stands {text.count(old)} times in the model, not once: {old!r}")
        text = text.replace(old, new)
    return text


def unreached(output):
    """The statements that the search never reached, but those that are there to be never reached."""
    found = re.findall(r"^\t(\w+\.pml:\d+), state \d+, \"(.*)\"$", output, re.MULTILINE)
    return [f"{where} {what}" for where, what in found if what not in ("-end-", "assert(0)")]


def broken_rule(run, folder, text, defines):
    """The invariants named beside the assertion that the trail ends in."""
    if PROGRESS in run.defines:
        return re.search(r"#ifdef LIVENESS /\* ([^:]*):", text).group(1)
    _, replay = command(folder, "spin", *defines, "-t", "model.pml")
    failed = re.search(r"model\.pml:(\d+), Error: assertion violated", replay)
    if not failed:
        raise Wrong("the trail ends in no assertion:\n" + replay[-600:])
    line = text.split("\n")[int(failed.group(1)) - 1]
    return " ".join(re.findall(r"\b[STGL]\d+\b", line)) or line.strip()


def search(run, folder):
    """Returns (states, what was found); raises Wrong when that is not what the table says."""
    text = source_of(run)
    with open(os.path.join(folder, "model.pml"), "w", encoding="utf-8") as file:
        file.write(text)
    defines = [f"-D{name}" for name in run.defines]
    code, output = command(folder, "spin", *defines, "-a", "model.pml")
    if code != 0 or not os.path.exists(os.path.join(folder, "pan.c")):
        raise Wrong("spin says:\n" + output)
    progress = PROGRESS in run.defines
    deep = run in DEEP
    big = deep or "RESTORE" in run.defines or run.model == CLUSTER
    memory = MAX_DEEP_MEMORY_MB if deep else MAX_MEMORY_MB
    code, output = command(folder, os.environ.get("CC", "cc"), "-w", "-O1" if big else "-O0", f"-DMEMLIM={memory}",
                           *([] if progress else ["-DSAFETY"]), "-o", "pan", "pan.c")
    if code != 0:
        raise Wrong("the compiler says:\n" + output)
    code, output = command(folder, "./pan", f"-m{MAX_DEPTH}", "-w24" if deep else "-w20", *(["-a"] if progress else []))
    stored = re.search(r"(\d+) states, stored", output)
    errors = re.search(r"errors: (\d+)", output)
    if not stored or not errors:
        raise Wrong("pan says:\n" + output)
    states = int(stored.group(1))
    if run.violates:
        if errors.group(1) == "0":
            raise Wrong(f"not noticed in {states} states")
        rule = broken_rule(run, folder, text, defines)
        if not set(run.violates) & set(re.findall(r"\w+", rule)):
            raise Wrong(f"violates {rule}, but should violate {' or '.join(run.violates)}")
        return states, "violates " + rule
    if errors.group(1) != "0":
        raise Wrong(f"violates {broken_rule(run, folder, text, defines)}; see it with --keep")
    for sign in ("Search not completed", "max search depth too small", "memory limit", "out of memory"):
        if sign in output:
            raise Wrong(f"the search is not complete: {sign}")
    # A formula's run stops where the formula is decided: what it does not reach says nothing.
    if not progress and (holes := unreached(output)):
        raise Wrong("never reached: " + "; ".join(holes))
    return states, "holds"


def perform(run, keep):
    begun = time.monotonic()
    folder = os.path.join(keep, run.title) if keep else tempfile.mkdtemp(prefix="assent-model-")
    os.makedirs(folder, exist_ok=True)
    try:
        states, found = search(run, folder)
        failure = None
    except (Wrong, subprocess.TimeoutExpired) as wrong:
        states, found, failure = 0, "WRONG", str(wrong)
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    line = f"{run.title:34} {found:18} {states:>9} states {time.monotonic() - begun:6.1f} s"
    trail = os.path.join(folder, "model.pml.trail")
    if keep and os.path.exists(trail):
        defines = "".join(f"-D{name} " for name in run.defines)
        line += f"\n    cd {folder} && spin {defines}-t -p -g model.pml"
    return line + (f"\n    {failure}" if failure else ""), failure is None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD")
    parser.add_argument("--deep", action="store_true")
    parser.add_argument("--keep", metavar="FOLDER")
    arguments = parser.parse_args()
    for tool in ("spin", os.environ.get("CC", "cc")):
        if not shutil.which(tool):
            print(f"skipped: {tool} is not installed (tools/install-deps.sh installs it)")
            return 77
    check_names()
    runs = [r for r in HOLDS + WHAT_IF + (DEEP if arguments.deep else []) + OPEN + MISTAKES if arguments.only in r.title]
    if not runs:
        print(f"no title contains '{arguments.only}'", file=sys.stderr)
        return 1
    good = True
    keep = os.path.abspath(arguments.keep) if arguments.keep else None
    with concurrent.futures.ThreadPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        for line, as_expected in pool.map(lambda run: perform(run, keep), runs):
            print(line, flush=True)
            good = good and as_expected
    print(f"{len(runs)} searches, " + ("all as expected" if good else "NOT all as expected"))
    return 0 if good else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Wrong as wrong:
        print(wrong, file=sys.stderr)
        sys.exit(1)
