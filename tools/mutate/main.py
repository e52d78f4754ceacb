#!/usr/bin/python3
"""Plants one small bug at a time and sees which tests notice. tools/mutate.sh --help"""

import argparse
import fnmatch
import hashlib
import json
import os
import queue
import subprocess
import sys
import threading
import time

import judged
from mutations import KINDS, mutants_of
from plan import PARTS
from workshop import BuildError, Workshop, listed

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def digest(seed, *words):
    return int.from_bytes(hashlib.sha256("\0".join([str(seed), *map(str, words)]).encode()).digest()[:8], "big")


def sources_of(tree, part, headers):
    endings = (".h",) if headers else (".cc",)
    return [f for f in listed(tree) if f.endswith(endings) and any(fnmatch.fnmatch(f, p) for p in part.sources)]


def mutants_in(tree, files):
    for name in files:
        with open(os.path.join(tree, name), encoding="utf-8") as file:
            yield from mutants_of(name, file.read())


def in_order(mutants, seed):
    """All of them, so that any first part is spread evenly over files and kinds, and each is as likely as any other to be in
    it. What a mutant's place is among its like depends on its text alone, so that another tree draws mostly the same."""
    groups = {}
    for mutant in mutants:
        groups.setdefault((mutant.file, mutant.kind), []).append(mutant)
    placed = []
    for name, group in groups.items():
        group.sort(key=lambda m: digest(seed, *m.key))
        offset = digest(seed, *name) / 2**64
        placed += [((i + offset) / len(group), m.key, m) for i, m in enumerate(group)]
    return [m for _, _, m in sorted(placed, key=lambda p: p[:2])]


def key_of(record):
    return (record["file"], record["function"], record["kind"], record["before"], record["after"], record["nth"])


def records_of(paths):
    """The last record of each mutant of each part."""
    found = {}
    for path in paths:
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                for line in file:
                    record = json.loads(line)
                    found[(record["part"],) + key_of(record)] = record
    return list(found.values())


def changed_since(tree, commit):
    shown = subprocess.run(["git", "-C", tree, "diff", "--name-only", commit], check=True, stdout=subprocess.PIPE)
    return set(shown.stdout.decode().split("\n"))


COUNTS = ("killed", "survived")


class Run:
    """One part of the plan: its mutants in order, workers that take them, a file that gets what became of each."""

    def __init__(self, name, part, options):
        self.name, self.part, self.options = name, part, options
        self.lock = threading.Lock()
        done = {key_of(r): r for r in records_of([options.results]) if r["part"] == name}
        self.counted = 0
        mutants = in_order(mutants_in(options.tree, sources_of(options.tree, part, options.headers)), options.seed)
        if options.since:
            changed = changed_since(options.tree, options.since)
            mutants = [m for m in mutants if m.file in changed]
        if options.like:
            wanted = {key_of(r) for r in records_of(options.like)
                      if r["part"] == name and (not options.outcome or r["outcome"] in options.outcome)}
            mutants = [m for m in mutants if m.key in wanted]
        if options.file:
            mutants = [m for m in mutants if any(fnmatch.fnmatch(m.file, p) for p in options.file)]
        if options.kind:
            mutants = [m for m in mutants if m.kind in options.kind]
        if options.match:
            mutants = [m for m in mutants if any(t in m.before + "\n" + m.after for t in options.match)]
        self.waiting = queue.Queue()
        for mutant in mutants:
            if mutant.key in done:
                self.counted += done[mutant.key]["outcome"] in COUNTS
            else:
                self.waiting.put(mutant)

    def next(self):
        with self.lock:
            late = self.options.until and time.time() > self.options.until
            if late or self.options.sample and self.counted >= self.options.sample:
                return None
            self.counted += 1  # taken back when it turns out not to count
        try:
            return self.waiting.get_nowait()
        except queue.Empty:
            return None

    def work(self, shop, tests):
        while (mutant := self.next()) is not None:
            begin = time.monotonic()
            outcome, why = shop.try_mutant(mutant, tests)
            record = {"part": self.name, "file": mutant.file, "function": mutant.function, "kind": mutant.kind,
                      "line": mutant.line, "before": mutant.before, "after": mutant.after, "nth": mutant.nth,
                      "outcome": outcome, "why": why, "seconds": round(time.monotonic() - begin, 1)}
            with self.lock:
                self.counted -= outcome not in COUNTS
                with open(self.options.results, "a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")
                print(f"{self.name} {mutant.file}:{mutant.line} {mutant.function} [{mutant.kind}] {outcome}"
                      f"{' by ' + why if outcome == 'killed' else ''} ({record['seconds']} s)", flush=True)
                if outcome == "survived":
                    print(f"    - {mutant.before}\n    + {mutant.after}", flush=True)

    def go(self):
        workers, shops, failed = [], [], []

        def one(number):
            shop = Workshop(self.options.tree, os.path.join(self.options.work, str(number)), self.options.preset,
                            self.options.thorough)
            shops.append(shop)
            try:
                shop.prepare()
                tests = shop.build_and_time(self.part, self.options.build_jobs)
                print(f"{self.name}: " + ", ".join(f"{t.name} {t.seconds:.1f} s" for t in tests), flush=True)
                self.work(shop, tests)
            except (BuildError, OSError, subprocess.SubprocessError) as error:
                failed.append(error)

        for number in range(self.options.jobs):
            workers.append(threading.Thread(target=one, args=(number,)))
            workers[-1].start()
        for worker in workers:
            worker.join()
        for shop in shops:
            shop.close()
        for error in failed:
            print(f"mutate: {self.name}: {error}", file=sys.stderr)
        return not failed


def score(killed, whole):
    """In per cent, with what a sample of this size leaves open (Wilson's interval, 95 %)."""
    if not whole:
        return ""
    share, z = killed / whole, 1.96
    middle = (share + z * z / (2 * whole)) / (1 + z * z / whole)
    half = z / (1 + z * z / whole) * (share * (1 - share) / whole + z * z / (4 * whole * whole)) ** 0.5
    return f"{100 * share:.0f} % ({100 * (middle - half):.0f} to {100 * (middle + half):.0f})"


def table(records, entries):
    """A row for each part. Judged survivors are those of which judged.txt says why nothing can notice them."""
    keys = {e.key for e in entries}
    rows = ["| part | mutants | killed | survived | of these judged | score | without the judged | do not count |",
            "|---|---|---|---|---|---|---|---|"]
    for name in [n for n in PARTS if any(r["part"] == n for r in records)] + ["all"]:
        mine = [r for r in records if name in (r["part"], "all")]
        killed = sum(r["outcome"] == "killed" for r in mine)
        survivors = [r for r in mine if r["outcome"] == "survived"]
        known = sum((r["file"], r["function"], r["before"], r["after"]) in keys for r in survivors)
        counted = killed + len(survivors)
        rows.append(f"| {name} | {counted} | {killed} | {len(survivors)} | {known} | {score(killed, counted)} | "
                    f"{score(killed, counted - known)} | {len(mine) - counted} |")
    return "\n".join(rows)


def command_run(options):
    os.makedirs(options.work, exist_ok=True)
    good = True
    for name in options.part or PARTS:
        good = Run(name, PARTS[name], options).go() and good
    entries, _ = judged.read(os.path.join(ROOT, judged.PATH))
    print(table(records_of([options.results]), entries))
    return 0 if good else 1


def command_list(options):
    for name in options.part or PARTS:
        mutants = in_order(mutants_in(options.tree, sources_of(options.tree, PARTS[name], options.headers)), options.seed)
        for mutant in mutants[:options.sample or None]:
            print(f"{mutant.file}:{mutant.line}: {mutant.function} [{mutant.kind}]\n    - {mutant.before}\n    + {mutant.after}")
        print(f"{name}: {len(mutants)} mutants: " + ", ".join(
            f"{sum(m.kind == k for m in mutants)} {k}" for k in KINDS if any(m.kind == k for m in mutants)))
    return 0


def command_report(options):
    entries, _ = judged.read(os.path.join(ROOT, judged.PATH))
    records = records_of(options.results_files)
    print(table(records, entries))
    why = {e.key: e.why for e in entries}
    for r in records:
        key = (r["file"], r["function"], r["before"], r["after"])
        if r["outcome"] == "survived" and (options.all or key not in why):
            print(f"\n{r['file']}: {r['function']}\n- {r['before']}\n+ {r['after']}" + (f"\n{why[key]}" if key in why else ""))
    return 0


def command_judged(options):
    path = os.path.join(options.tree, judged.PATH)
    entries, faults = judged.read(path)
    stale = list(judged.check(options.tree, entries))
    for fault in faults:
        print(fault)
    for entry, fault in stale:
        print(f"{judged.PATH}:{entry.line}: {entry.file}: {entry.function}: {fault}\n    - {entry.before}\n    + {entry.after}")
    if options.drop and stale:
        judged.drop(path, [entry for entry, _ in stale])
        print(f"judged: {len(stale)} taken out")
        return 0
    print(f"judged: {len(entries)} entries, {len(faults) + len(stale)} faults")
    return 1 if faults or stale else 0


def main():
    parser = argparse.ArgumentParser(prog="tools/mutate.sh", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name, function, text):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(function=function)
        command.add_argument("--tree", default=ROOT, help="the tree to mutate a copy of (default: this one)")
        return command

    def selection(command):
        command.add_argument("--part", action="append", choices=list(PARTS), help="only this part; may be repeated")
        command.add_argument("--sample", type=int, default=0, metavar="N", help="N that count of each part (default: all)")
        command.add_argument("--seed", default="1", help="which sample (default: 1)")
        command.add_argument("--headers", action="store_true", help="mutate headers instead: slower, all that include them is built")

    command = add("run", command_run, "plant, build, test; one line for each mutant, a table at the end")
    selection(command)
    command.add_argument("--results", default=os.path.join(ROOT, "build", "mutate", "results.jsonl"),
                         help="JSON lines; a run goes on where this file ends")
    command.add_argument("--work", default=os.path.join(ROOT, "build", "mutate"), help="where copies and builds are kept")
    command.add_argument("--preset", default="release")
    command.add_argument("--thorough", action="store_true", help="the slow tests too: minutes for each survivor")
    command.add_argument("--jobs", type=int, default=1, help="how many mutants at once, each with a copy and a build")
    command.add_argument("--build-jobs", type=int, default=2, help="compilers at once for the first build")
    command.add_argument("--since", metavar="COMMIT", help="only files that differ from it")
    command.add_argument("--file", action="append", metavar="PATTERN", help="only these files")
    command.add_argument("--kind", action="append", choices=KINDS, help="only mutants of this kind")
    command.add_argument("--match", action="append", metavar="TEXT", help="only mutants with this text in their lines")
    command.add_argument("--like", action="append", metavar="FILE", help="only mutants that are in these results")
    command.add_argument("--outcome", action="append", help="with --like: that had this outcome, such as survived")
    command.add_argument("--minutes", type=float, default=0, help="begin no mutant after so many")

    selection(add("list", command_list, "print the mutants, try none"))

    command = add("report", command_report, "the table of result files, and their survivors that nobody has judged")
    command.add_argument("results_files", nargs="+")
    command.add_argument("--all", action="store_true", help="judged survivors too")

    command = add("judged", command_judged, "does each judged survivor still apply?")
    command.add_argument("--drop", action="store_true", help="take out those that do not")

    options = parser.parse_args()
    options.tree = os.path.abspath(options.tree)
    if options.command == "run":
        options.until = time.time() + 60 * options.minutes if options.minutes else None
        os.makedirs(os.path.dirname(os.path.abspath(options.results)), exist_ok=True)
    return options.function(options)


if __name__ == "__main__":
    sys.exit(main())
