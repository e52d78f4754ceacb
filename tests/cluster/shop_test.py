"""The shop's demonstration through three coordinators on one PostgreSQL: whichever has the order is killed in the middle of it,
another carries it on, and the books are balanced. Which is what tools/cluster.sh shows.

    shop_test.py BIN_FOLDER
"""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import postgresql  # noqa: E402

# Two protocols with a kill, and what an initiator is told when nothing is wrong.
STORIES = "(2pc|tcc)-(commits|no-funds|coordinator-killed)"


def main():
    with postgresql.Server() as server:
        demo = subprocess.run(
            [os.path.join(sys.argv[1], "assent-demo"), "--log", server.url(server.new_database()), "--only", STORIES],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240, check=False)
    print(demo.stdout)
    assert demo.returncode == 0, demo.returncode
    assert demo.stdout.rstrip().endswith("demo: 6 scenarios, 6 as expected, books balanced")
    # Somebody else had it: the one that was killed is not started before the story is over.
    assert demo.stdout.count("Another one has it") == 2
    assert demo.stdout.count("gets kill -9") == 2


main()
