#!/usr/bin/python3
"""Runs the commands of docs/http.md, in their order, in a shell against a real assentd, and compares what they print.

    page_test.py ROOT

Numbers and durations are anything; what the page leaves out ("…") is anything too. Every other word must be as on the page.
"""

import os
import re
import shlex
import subprocess
import sys

from rig import PATIENCE_SECONDS, Daemon, Participant

ROOT = sys.argv[1]
ADDRESS = "127.0.0.1:7480"


def is_whole(command):
    try:
        shlex.split(command)
    except ValueError:  # no closing quotation
        return False
    return not command.endswith("\\")


def blocks(page):
    """(command, what it prints) of each `$ …` between plain fences; a command goes on until its quotes are closed."""
    for fence in re.findall(r"^```\n(.*?)^```$", page, re.S | re.M):
        for part in re.split(r"^\$ ", fence, flags=re.M)[1:]:
            lines = part.split("\n")
            count = next(count for count in range(1, len(lines) + 1) if is_whole("\n".join(lines[:count])))
            yield "\n".join(lines[:count]), "\n".join(lines[count:]).strip()


def pattern(expected):
    parts = [re.sub(r"\d+", r"\\d+", re.escape(" ".join(part.split()))) for part in expected.split("…")]
    return r"\s*" + r".*".join(part.replace(r"\ ", r"\s+") for part in parts) + r"\s*"


def main():
    with open(os.path.join(ROOT, "docs/http.md"), encoding="utf-8") as file:
        page = file.read()
    participant = Participant()
    daemon = Daemon("--unary", f"bank={participant.endpoint}")
    faults = commands = 0
    try:
        for command, expected in blocks(page):
            commands += 1
            done = subprocess.run(["bash", "-c", command.replace(ADDRESS, f"127.0.0.1:{daemon.port}")], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=PATIENCE_SECONDS, check=False)
            printed = done.stdout.decode()
            if not re.fullmatch(pattern(expected), " ".join(printed.split()), re.S):
                print(f"$ {command}\n--- the page says\n{expected}\n--- it prints\n{printed}\n")
                faults += 1
    finally:
        daemon.close()
        participant.close()
    print(f"docs/http.md: {commands} commands, {faults} differ")
    return 1 if faults or commands < 10 else 0


if __name__ == "__main__":
    sys.exit(main())
