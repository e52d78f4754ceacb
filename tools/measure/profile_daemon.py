"""Where the coordinator's time goes, by perf (Debian's linux-perf; nothing else here needs it)."""

import os
import re
import shutil
import subprocess
import tempfile
import time

from bench import BIN, table

WARM_SECONDS = 3


def find_daemon(folder):
    """The assentd that lives in this folder."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"/assentd") and any(w.startswith(folder.encode()) for w in words):
            return pid
    raise RuntimeError("no assentd runs")


def report(data, *sort):
    """Shares of what perf has seen, as (percent, columns...)."""
    argv = ["perf", "report", "-i", data, "--no-children", "-g", "none", "--stdio", "-F", "overhead," + ",".join(sort),
            "-t", "|", "--percent-limit", "0.7"]
    text = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout.decode()
    rows = []
    for line in text.splitlines():
        if line.startswith("#") or "|" not in line:
            continue
        cells = [cell.strip() for cell in line.split("|")]
        rows.append((float(cells[0].rstrip("%")), *cells[1:1 + len(sort)]))
    return rows


def short(symbol):
    """A C++ name without the templates' innards."""
    symbol = re.sub(r"^\[[.k]\]\s*", "", symbol).replace("(anonymous namespace)::", "").replace("[abi:cxx11]", "")
    while True:
        less = re.sub(r"<[^<>]*>", "", symbol)
        if less == symbol:
            break
        symbol = less
    symbol = symbol.split("(")[0] if not symbol.startswith("(") else symbol
    return symbol[:90]


def profile(settings):
    """TCC, 2 branches, 1,024 in flight."""
    if shutil.which("perf") is None:
        raise RuntimeError("there is no perf here: install linux-perf")
    folder = tempfile.mkdtemp(prefix="assent-profile-")
    try:
        seconds = max(4.0, 2 * settings.seconds)
        load = subprocess.Popen([os.path.join(BIN, "assent-bench"), "run", "--seconds", str(seconds + WARM_SECONDS + 1), "--folder", folder],
                                stdout=subprocess.DEVNULL)
        time.sleep(WARM_SECONDS)
        data = os.path.join(folder, "perf")
        subprocess.run(["perf", "record", "-F", "999", "-p", find_daemon(folder), "-o", data, "--", "sleep", str(seconds)],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        load.wait()
        threads = report(data, "comm", "dso")
        symbols = report(data, "symbol")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    merged = {}
    for share, symbol in symbols:
        merged[short(symbol)] = merged.get(short(symbol), 0) + share
    by_share = sorted(merged.items(), key=lambda item: -item[1])[:25]
    text = "By thread and library:\n\n" + table(["%", "thread", "library"], [["%.1f" % s, c, d] for s, c, d in threads[:16]])
    text += "\n\nBy function:\n\n" + table(["%", "function"], [["%.1f" % s, f"`{name}`"] for name, s in by_share])
    return {"threads": threads, "symbols": symbols}, text
