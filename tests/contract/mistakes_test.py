#!/usr/bin/python3
"""Right participants keep every rule; each deliberate mistake of the raw one is named by exactly the rules that it breaks.

    mistakes_test.py BIN right|mistakes|initiator-mistakes [NAME]...
"""

import concurrent.futures
import json
import os
import subprocess
import sys

BIN = sys.argv[1]
# A right one is never waited for so long; a mistake that is waited for costs it each time.
PATIENCE_MS = {"right": "20000", "mistakes": "4000", "initiator-mistakes": "6000"}
AT_ONCE = 8
SESSION_ALONE = {"hello", "outcome-question", "reconnect", "goodbye", "coordinator-goodbye", "stale-slot",
                 "several-coordinators"}

# The rules that each mistake breaks, and over which transport it is looked at.
MISTAKES = {
    "no-barrier": ("unary", ["once", "same-bytes", "two-at-once", "undo", "undo-during-forward", "never-both", "one-phase",
                             "refusal-final", "durable", "prepared-survives", "lost-answer", "trace"]),
    "answer-made-anew": ("unary", ["same-bytes", "two-at-once", "undo-during-forward", "durable"]),
    "looks-before-it-locks": ("unary", ["two-at-once", "lost-answer"]),
    "gid-alone": ("unary", ["branches-apart"]),
    "empty-undo-refused": ("unary", ["empty-undo", "late-forward", "one-phase", "failed-handler", "remembers"]),
    "empty-undo-forgotten": ("unary", ["late-forward", "one-phase", "failed-handler", "remembers"]),
    "commits-blindly": ("unary", ["finish-without-forward"]),
    "refusal-forgotten": ("unary", ["refusal-final"]),
    "refusal-keeps-what-it-wrote": ("unary", ["finish-without-forward", "refusal-final", "refusal-leaves-nothing", "remembers"]),
    "failure-is-a-no": ("unary", ["failed-handler"]),
    "unknown-is-done": ("unary", ["unknown-action"]),
    "answers-before-commit": ("unary", ["durable", "remembers", "prepared-survives"]),
    "prepared-in-memory": ("session", ["prepared-survives", "outcome-question"]),
    "payload-is-text": ("session", ["any-bytes"]),
    "drops-trace": ("unary", ["trace"]),
    "never-reconnects": ("session", ["lost-answer", "reconnect", "coordinator-goodbye", "hostile", "oversized", "several-coordinators"]),
    "asks-nothing": ("session", ["outcome-question"]),
    "drops-when-busy": ("session", ["back-pressure"]),
    "leaves-at-once": ("session", ["goodbye"]),
    "hears-former-owners": ("session", ["stale-slot", "several-coordinators"]),
    "knows-one-coordinator": ("session", ["several-coordinators"]),
    "echoes-no-branch": ("session", ["well-formed"]),
    "dies-of-a-large-frame": ("session", ["oversized"]),
}
# The same of initiators. "": none.
INITIATOR_MISTAKES = {
    "": [],
    "orders-anew": ["lost-answer", "codes-of-nobody", "not-found", "full", "restart", "redirect", "moves", "many"],
    "changes-the-content": ["lost-answer", "codes-of-nobody", "restart", "moves", "many"],
    "believes-unavailable": ["lost-answer", "codes-of-nobody", "not-found", "restart", "gone", "redirect", "moves", "many"],
    "believes-not-found": ["not-found", "many"],
    "believes-any-code": ["lost-answer", "codes-of-nobody", "own-codes", "not-found", "full", "restart", "gone", "never-there",
                          "redirect", "moves", "many"],
    "asks-for-ever": ["own-codes"],
    "knows-one-endpoint": ["redirect", "moves"],
}
NOT_OF_SUBMIT = {"stream-answers", "stream-lost", "stream-handed-on", "interactive", "interactive-aborted"}


def run(transport, command):
    """What is said of each rule, by name. Without a transport: of an initiator."""
    who = ["participant", f"--{transport}", "127.0.0.1:0"] if transport else ["initiator"]
    argv = [os.path.join(BIN, "assent-contract"), *who, "--start", command,
            "--patience-ms", PATIENCE_MS[sys.argv[2]], "--json"]
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=False)
    if done.returncode not in (0, 1):
        sys.exit(f"{command}: assent-contract ended with {done.returncode}")
    rules = {rule["rule"]: rule for rule in json.loads(done.stdout)["rules"]}
    broken = {name for name, rule in rules.items() if rule["verdict"] == "broken"}
    if bool(broken) != (done.returncode == 1):
        sys.exit(f"{command}: exit code {done.returncode} with {len(broken)} broken rules")
    return rules


def named(rules, verdict):
    return {name for name, rule in rules.items() if rule["verdict"] == verdict}


def said(rules):
    """Each fault, for people."""
    return [f"    {name}: expected {fault['expected']}; seen {fault['seen']}"
            for name, rule in rules.items() for fault in rule["faults"]]


def listed():
    argv = [os.path.join(BIN, "assent-contract"), "participant", "--list", "--json"]
    return {rule["rule"] for rule in json.loads(subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout)}


def right():
    """Over sessions each rule holds; unary, each but those of sessions."""
    faults = []
    every = listed()
    for program in ("contract-sdk-participant", "contract-raw-participant"):
        for transport in ("session", "unary"):
            rules = run(transport, os.path.join(BIN, program))
            without = SESSION_ALONE if transport == "unary" else set()
            if named(rules, "holds") != every - without or named(rules, "does not apply") != without:
                faults += [f"{program} {transport}: not as it should be:", *said(rules),
                           f"    does not apply: {sorted(named(rules, 'does not apply'))}"]
    return faults


def mistake(name):
    transport, expected = MISTAKES[name]
    rules = run(transport, f"{os.path.join(BIN, 'contract-raw-participant')} --mistake {name}")
    broken = named(rules, "broken")
    if broken == set(expected):
        return []
    return [f"{name} ({transport}): broken {sorted(broken)}", f"    and should be {sorted(expected)}", *said(rules)]


def initiator_mistake(name):
    program = os.path.join(BIN, "contract-raw-initiator")
    rules = run("", f"{program} --mistake {name}" if name else program)
    broken = named(rules, "broken")
    if broken == set(INITIATOR_MISTAKES[name]) and named(rules, "does not apply") == NOT_OF_SUBMIT:
        return []
    return [f"{name or 'no mistake'}: broken {sorted(broken)}", f"    and should be {sorted(INITIATOR_MISTAKES[name])}",
            *said(rules)]


def mistakes(program, table, look, names):
    argv = [os.path.join(BIN, program), "--mistakes"]
    known = subprocess.run(argv, stdout=subprocess.PIPE, check=True, text=True).stdout
    there = {line.split("\t")[0] for line in known.splitlines()}
    listed_here = set(table) - {""}
    faults = [] if there == listed_here else [f"in one list alone: {sorted(there ^ listed_here)}"]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for found in pool.map(look, names or table):
            faults += found
    return faults


def main():
    what, names = sys.argv[2], sys.argv[3:]
    if what == "right":
        faults = right()
    elif what == "mistakes":
        faults = mistakes("contract-raw-participant", MISTAKES, mistake, names)
    else:
        faults = mistakes("contract-raw-initiator", INITIATOR_MISTAKES, initiator_mistake, names)
    print("\n".join(faults) or "as it should be")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
