#!/usr/bin/python3
"""Measures assentd and prints Markdown tables, as docs/measured/performance.md shows them. tools/measure.sh --help"""

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import time

import instructions
import cluster
import languages
import load
import micro
import profile_daemon
import size
import stores
import summary
from bench import BIN, ROOT, Settings

SECTIONS = {
    "compare": load.compare,
    "tls": load.tls,
    "one-in-flight": load.one_in_flight,
    "workloads": load.workloads,
    "branches": load.branches,
    "steady": load.steady,
    "unary": load.unary,
    "rest": load.rest,
    "sealed": load.sealed,
    "order": load.order,
    "languages": languages.languages,
    "sdk-postgresql": stores.postgresql,
    "sdk-mariadb": stores.mariadb,
    "held": size.held,
    "history": size.history,
    "retention": size.retention,
    "checkpoints": size.checkpoints,
    "idle": size.idle,
    "absent": size.absent,
    "outbox": size.outbox,
    "ramp": size.ramp,
    "metrics": size.metrics,
    "overload": size.overload,
    "cluster-compare": cluster.compare,
    "cluster-append": cluster.append,
    "cluster-scale": cluster.scale,
    "cluster-sizing": cluster.sizing,
    "in-flight": load.in_flight,
    "payload": load.payload,
    "micro": micro.micro,
    "profile": profile_daemon.profile,
    "instructions": instructions.instructions,
    "summary": summary.summary,
}
PAGE = os.path.join(ROOT, "docs", "measured", "performance.md")
RESULTS = os.path.join(ROOT, "build", "measured")


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short=10", "HEAD"], stdout=subprocess.PIPE, check=False)
    with open("/proc/loadavg", encoding="utf-8") as file:
        average = file.read().split()[0]
    return (f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC, commit {commit.stdout.decode().strip() or '?'}, "
            f"{os.cpu_count()} cores ({model.group(1) if model else '?'}), Linux {os.uname().release}, "
            f"load average before: {average}")


def put(name, text):
    """Replaces what stands between the section's markers."""
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()
    pattern = re.compile(rf"(<!-- measured: {re.escape(name)} -->\n).*?(<!-- /measured -->)", re.DOTALL)
    if not pattern.search(page):
        raise SystemExit(f"measure: {PAGE} has no section {name}")
    page = pattern.sub(lambda m: m.group(1) + text + "\n" + m.group(2), page)
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(page)


def main():
    parser = argparse.ArgumentParser(
        prog="tools/measure.sh", description="Measures assentd on this machine and prints Markdown tables.",
        epilog="Sections: " + ", ".join(SECTIONS) + ". Build first (tools/build.sh), and leave the machine alone meanwhile.")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help="default: all of them, about half an hour")
    parser.add_argument("--write", action="store_true", help="also put the tables into docs/measured/performance.md, and keep the figures for `summary` and the plot")
    parser.add_argument("--seconds", type=float, default=4, help="of one run (default 4)")
    parser.add_argument("--rounds", type=int, default=5, help="of what is compared (default 5)")
    parser.add_argument("--scale", type=float, default=1, help="of the millions held and retained (default 1)")
    parser.add_argument("--remark", default="", help="put under each table: what a reader must know of this measurement")
    arguments = parser.parse_args()
    unknown = [s for s in arguments.sections if s not in SECTIONS]
    if unknown:
        parser.error(f"no section {unknown[0]}; there are: {', '.join(SECTIONS)}")
    if not os.path.exists(os.path.join(BIN, "assent-bench")):
        raise SystemExit("measure: no build/release/bin/assent-bench; run tools/build.sh first")
    settings = Settings(arguments.seconds, arguments.rounds, arguments.scale)
    os.makedirs(RESULTS, exist_ok=True)
    failed = []
    for name in arguments.sections or SECTIONS:
        began = time.monotonic()
        when = machine()
        print(f"== {name}", file=sys.stderr, flush=True)
        try:
            result, text = SECTIONS[name](settings)
        except (RuntimeError, subprocess.CalledProcessError, KeyError, ZeroDivisionError) as error:  # the others go on
            print(f"measure: {name} failed: {error!r}", file=sys.stderr, flush=True)
            failed.append(name)
            continue
        if arguments.write:  # what is only tried out must not get into the summary
            with open(os.path.join(RESULTS, name + ".json"), "w", encoding="utf-8") as file:
                json.dump({"when": when, "seconds": settings.seconds, "result": result}, file, indent=1)
        text += f"\n\n`tools/measure.sh {name}`, {when}; {time.monotonic() - began:.0f} s."
        if arguments.remark:
            text += " " + arguments.remark
        print(f"\n## {name}\n\n{text}\n", flush=True)
        if arguments.write:
            put(name, text)
    if failed:
        raise SystemExit("measure: failed: " + ", ".join(failed))


if __name__ == "__main__":
    main()
