"""Instructions of the coordinator for each transaction, by callgrind (Debian's valgrind; nothing else here needs it): the same on a
busy machine as on a quiet one."""

import os
import re
import shutil
import subprocess
import tempfile

from bench import bench, table
from profile_daemon import short


def count(command, seconds, out):
    """Transactions, and instructions from start to end."""
    result = bench(command, "--in-flight", 256, "--warmup", 3, "--seconds", seconds, "--under",
                   f"valgrind --tool=callgrind --callgrind-out-file={out}")
    with open(out, encoding="utf-8", errors="replace") as file:
        total = re.search(r"^(?:summary|totals): (\d+)", file.read(), re.MULTILINE)
    return result["ended_in_whole_run"], int(total.group(1))


def inclusive(out, transactions):
    """What is spent in and below each of our functions, and in SQLite's step."""
    text = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--threshold=100", out], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=True).stdout.decode(errors="replace")
    found = {}
    for line in text.splitlines():
        match = re.match(r"\s*([\d,]+) \([ \d.]+%\)\s+(\S+?):(assent::.*|sqlite3_step.*)$", line)
        if not match:
            continue
        name = short(match.group(3).split(" [")[0])
        found[name] = max(found.get(name, 0), int(match.group(1).replace(",", "")))
    rows = sorted(found.items(), key=lambda item: -item[1])
    return [(name, instructions / transactions) for name, instructions in rows]


def instructions(settings):
    """TCC, 2 branches, 256 in flight."""
    if shutil.which("valgrind") is None:
        raise RuntimeError("there is no valgrind here: install it")
    folder = tempfile.mkdtemp(prefix="assent-callgrind-")
    try:
        rows = []
        results = {}
        for name, command in (("floor", "floor"), ("assentd", "run")):
            few, begun = count(command, 1, os.path.join(folder, "few"))
            many, total = count(command, 2 + 2 * settings.seconds, os.path.join(folder, "many"))
            results[name] = {"transactions": many - few, "instructions": total - begun}
            rows.append([name, "%.0f" % ((total - begun) / max(1, many - few)), f"{many - few:,}"])
        functions = [f for f in inclusive(os.path.join(folder, "many"), many) if f[1] >= 1000][:40]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    results["functions"] = functions
    text = table(["coordinator", "instructions for a transaction", "counted over transactions"], rows)
    text += "\n\nIn and below (a start's share is in it):\n\n"
    return results, text + table(["instructions for a transaction", "function"], [["%.0f" % n, f"`{name}`"] for name, n in functions])
