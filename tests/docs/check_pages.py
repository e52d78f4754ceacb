#!/usr/bin/python3
"""Checks README.md and docs/ against the programs and the sources.

    check_pages.py ROOT BIN          one line per fault; exits 1 when there is any
    check_pages.py ROOT BIN --self   shows that each check can fail
    check_pages.py --write           puts examples/minimal into README.md
"""

import os
import re
import sys

from pages import CHECKS, Pages

# By check: the page or source to change, what, into what, and what the fault must say.
MISTAKES = {
    "check_minimal": ("examples/minimal/main.cc", "Metropolis", "Nosferatu", "examples/minimal"),
    "check_links": ("docs/operating.md", "## Backup", "## Backups", "no such heading"),
    "check_paths": ("README.md", "tools/demo.sh", "tools/show.sh", "tools/show.sh"),
    "check_scenarios": ("docs/transaction-life.md", "*saga-crash*", "*saga-crush*", "saga-crush"),
    "check_commands": ("docs/operating.md", "--needs-operator", "--min-size", "--min-size"),
    "check_settings": ("docs/operating.md", "| 168 |", "| 169 |", "--retention-hours"),
    "check_config_file": ("docs/operating.md", "retention-hours = 24\n", "retenton-hours = 24\n", "configuration file"),
    "check_exit_codes": ("coordinator/daemon/server.h", "= 73;", "= 72;", "exit code 72"),
    "check_sdk_limits": ("participant-sdk/go/limits.go", "MaxReasonBytes        = 1024", "MaxReasonBytes        = 2048", "the code says 2048"),
    "check_limits": ("proto/vocabulary/assent/limits.h", "kMaxBranchesCount = 128", "kMaxBranchesCount = 129", "says 129"),
}
# More ways to be wrong, each of its check.
MORE = [
    ("check_links", ("README.md", "(docs/limits.md)", "(docs/limit.md)", "there is no docs/limit.md")),
    ("check_exit_codes", ("docs/operating.md", "RestartPreventExitStatus=2 65 76", "RestartPreventExitStatus=2 65", "has to have")),
    ("check_exit_codes", ("tools/packaging/assentd/assentd.service", "ExitStatus=2 65 76", "ExitStatus=2 65", "has to have")),
    ("check_commands", ("docs/operating.md", "$ assentctl stats", "$ assentctl statistics", "no statistics")),
    ("check_commands", ("docs/operating.md", "assentd --data", "assentd --min-age", "assentd has no --min-age")),
    ("check_commands", ("docs/operating.md", "resolve transfer-3 from commit --reason", "resolve transfer-3 from commit --min-size",
                        "resolve has no --min-size")),
    ("check_settings", ("docs/operating.md", "Calls under way to one", "Calls to one", "of --unary-max-in-flight assentd --help says")),
    ("check_settings", ("docs/operating.md", "`ASSENT_SHARDS`", "`ASSENT_SHARD`", "does not read ASSENT_SHARD")),
    ("check_sdk_limits", ("docs/limits-of-sdks.md", "| `xa_sessions.DETACH_TIME` |", "| |", "xa_sessions.DETACH_TIME of python is missing")),
    ("check_sdk_limits", ("docs/limits-of-sdks.md", "`barrier.maxLocalTriesCount` (5)", "`barrier.maxLocalTriesCount` (4)", "is 4, the code says 5")),
    ("check_sdk_limits", ("participant-sdk/java/src/main/java/assent/jdbc/XaSessions.java", "ofMillis(250)", "ofMillis(25)", "the code says 25")),
    ("check_sdk_limits", ("participant-sdk/node/src/roster.ts", "maxInFlight: 1024", "maxInFlight: 512", "the code says 512")),
    ("check_limits", ("docs/limits.md", "| `kMaxGidBytes` |", "| kMaxGidBytes |", "kMaxGidBytes")),
    ("check_limits", ("coordinator/transport/dispatcher.h", "max_queued_count = 65'536", "max_queued_count = 1'024", "says 1024")),
]


def show_that_each_can_fail(root, bin_dir):
    by_name = {check.__name__: check for check in CHECKS}
    silent = sorted(set(by_name) - set(MISTAKES))
    faults = [f"{name}: nothing shows that it can fail" for name in silent]
    for name, (path, old, new, said) in list(MISTAKES.items()) + MORE:
        found = list(by_name[name](Pages(root, bin_dir, {path: (old, new)})))
        if not any(said in fault for fault in found):
            faults.append(f"{name} did not notice {old!r} -> {new!r} in {path}: {found}")
    return faults


def write(root):
    path = os.path.join(root, "README.md")
    with open(os.path.join(root, "examples/minimal/main.cc"), encoding="utf-8") as file:
        program = file.read()
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(re.sub(r"```cpp\n// The shortest.*?```\n", lambda _: f"```cpp\n{program}```\n", text, flags=re.S))


def main(arguments):
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if arguments == ["--write"]:
        write(here)
        return 0
    root, bin_dir = arguments[:2]
    if arguments[2:] == ["--self"]:
        faults = show_that_each_can_fail(root, bin_dir)
    else:
        pages = Pages(root, bin_dir)
        faults = [fault for check in CHECKS for fault in check(pages)]
    for fault in faults:
        print(fault)
    print(f"pages: {len(CHECKS)} checks, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
