"""The micro-benchmarks as a table."""

import json
import os
import subprocess

from bench import BIN, table


def micro(settings):
    """What the parts cost alone, on one core."""
    argv = [os.path.join(BIN, "assent-microbench"), "--benchmark_format=json",
            f"--benchmark_min_time={settings.seconds / 8}", "--benchmark_filter=^(Apply|Encode|Decode|Group|Frame|Barrier)"]
    result = json.loads(subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout)
    rows = []
    for b in result["benchmarks"]:
        per = b.get("items_per_second")
        rows.append([f"`{b['name']}`", "%.2f" % (1e6 / per) if per else "", "%.0f" % per if per else "", b.get("label", "")])
    return result, table(["", "µs for one", "per second", ""], rows)
