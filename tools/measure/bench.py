"""Runs assent-bench and works with what it says."""

import json
import os
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("ASSENT_BIN_DIR") or os.path.join(ROOT, "build", "release", "bin")


class Settings:
    """Of one call of measure.sh."""

    def __init__(self, seconds=4.0, rounds=5, scale=1.0):
        self.seconds = seconds  # of one run
        self.rounds = rounds
        self.scale = scale  # of the great numbers: 1 means a million transactions in flight, ten million retained


def bench(*words):
    """What `assent-bench WORDS --json` prints. A run in which something failed is an error: its figures mean nothing."""
    argv = [os.path.join(BIN, "assent-bench"), *[str(w) for w in words], "--json"]
    print("  " + " ".join(argv[1:-1]), file=sys.stderr, flush=True)
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0 or not done.stdout.startswith(b"{"):
        raise RuntimeError(f"{' '.join(argv)}: exit code {done.returncode}: {done.stdout.decode()[:2000]}")
    return json.loads(done.stdout)


def run(settings, *words):
    return bench("run", "--seconds", settings.seconds, *words)


def floor(settings, *words):
    return bench("floor", "--seconds", settings.seconds, *words)


def in_turn(rounds, jobs):
    """Runs the jobs (name to function) one after the other, and again, so that a machine that drifts does so for all. A list of
    results for each name."""
    results = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            results[name].append(job())
    return results


def median(values):
    return statistics.median(values)


def spread(values, form="%.2f"):
    """Median, and lowest to highest."""
    values = list(values)
    return f"{form % median(values)} ({form % min(values)} to {form % max(values)})"


def ms(result, key):
    return result["latency_us"][key] / 1000.0


def cpu(result, process=None):
    """Microseconds of processor time for each transaction, of one kind of process or of all."""
    processes = result["processes"]
    return sum(p["cpu_us_per_transaction"] for name, p in processes.items() if process in (None, name))


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def figure(value):
    """Three digits of it."""
    return f"{value:,.0f}" if value >= 100 else "%.3g" % value
