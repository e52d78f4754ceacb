"""Sections `sdk-postgresql` and `sdk-mariadb`: the adapters' groups beside one commit per branch, in turn, on a disk."""

import json
import os
import subprocess
import sys

from bench import BIN, median, spread, table

TARGET = 5


def measured(program):
    argv = [os.path.join(BIN, program), "--json"]
    print("  " + " ".join(argv), file=sys.stderr, flush=True)
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise RuntimeError(f"{program}: exit code {done.returncode}: {done.stdout.decode()[:2000]}")
    return json.loads(done.stdout)


def ratios(ways, connections):
    """Of groups to one commit each, with as many connections: one for each round."""
    rates = {way["name"]: way["rates"] for way in ways}
    pairs = zip(rates[f"tcc, groups, {connections} connections"], rates[f"tcc, one commit each, {connections} connections"])
    return [groups / each for groups, each in pairs]


def section(program):
    def run(_):
        """Groups at least 5 times the rate of one commit per branch."""
        result = measured(program)
        ways = result["ways"]
        rows = [[way["name"], spread(way["rates"], "%.0f"), "%.1f" % way["per_commit"]] for way in ways]
        text = table([f"{result['in_flight']} branches in flight", "branches/s", "operations/commit"], rows)
        text += "\n\nRatio of groups to one commit each: " + ", ".join(
            f"{spread(ratios(ways, count), '%.1f')} with {count} connections" for count in (2, 4))
        lowest = min(median(ratios(ways, count)) for count in (2, 4))
        return result, text + f"; the target is {TARGET} or more: {'reached' if lowest >= TARGET else '**missed**'}."
    return run


postgresql = section("sdk-postgresql-bench")
mariadb = section("sdk-mariadb-bench")
