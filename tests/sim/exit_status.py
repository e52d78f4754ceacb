#!/usr/bin/python3
"""assent-sim says with its exit status what it found.

    exit_status.py BIN
"""

import json
import os
import subprocess
import sys


def run(bin_dir, *arguments):
    done = subprocess.run([os.path.join(bin_dir, arguments[0]), *arguments[1:], "--json"], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=100)
    return done.returncode, json.loads(done.stdout)


def main(bin_dir):
    faults = []

    def expect(what, good):
        print(("ok   " if good else "FAIL ") + what)
        if not good:
            faults.append(what)

    status, found = run(bin_dir, "assent-sim", "random", "--schedules", "50")
    expect("50 clean schedules: status 0", status == 0 and found["violations"] == 0)

    status, found = run(bin_dir, "assent-sim", "mutants", "--plant", "canary", "--schedules", "50")
    expect("a campaign with the canary in it: status 1", status == 1 and found["violations"] > 0)

    def replay(where):
        return subprocess.run([os.path.join(bin_dir, "assent-sim"), "exhaustive", "--replay", where], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=100).returncode

    expect("a death replayed, nothing found: status 0", replay("crash:2pc x2:17/1:44/0") == 0)
    expect("no such place: status 2", replay("crash:2pc x99:17/1") == 2)

    # One schedule, and a bug that takes a restored log to show: it goes unnoticed, and that is a failure.
    status, found = run(bin_dir, "assent-sim", "mutants", "--only", "presume-outside-horizon", "--schedules", "1")
    expect("a planted bug that is not noticed: status 1", status == 1 and found["caught"] == 0 and found["mutants"] == 1)

    status, found = run(bin_dir, "assent-sim", "mutants", "--only", "deposit-lost", "--schedules", "2000")
    row = found["table"][0]
    expect("a lost deposit is noticed by the constant total alone: status 0",
           status == 0 and row["found_by"].startswith("W1") and row["found_without_business_checks"] is False)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
