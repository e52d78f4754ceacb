"""Sections of several coordinators on a PostgreSQL, which is started for them, in memory, and gone afterwards. What a disk takes to
commit is PostgreSQL's commit_delay here: the same at each commit, and the same on every machine."""

import os
import sys

from bench import ROOT, bench, cpu, figure, in_turn, median, ms, run, spread, table

sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import postgresql  # noqa: E402

COMMIT_DELAYS_MS = (0, 2)
IN_FLIGHT = (16, 64, 256, 1024, 4096)
SERVER = {"shared_buffers": "256MB", "max_wal_size": "2GB", "wal_keep_size": "0"}


def _on_server(*words):
    with postgresql.Server(SERVER) as server:
        return bench(*words, "--log", server.url("postgres"))


def compare(settings):
    """Half the floor's throughput, 1.5 times its latency; the floor writes the same groups through the same lane."""
    results = {delay: _on_server("compare", "--seconds", settings.seconds, "--rounds", settings.rounds, "--commit-delay", delay)
               for delay in COMMIT_DELAYS_MS}
    rows = []
    for delay, result in results.items():
        column = lambda key, form="%.0f", result=result: spread((r[key] for r in result["rounds"]), form)
        longer = f", commits {delay} ms longer" if delay else ""
        rows.append(["1,024 in flight, transactions/s" + longer, column("floor_throughput"), column("throughput"),
                     column("ratio_throughput", "%.2f"), "0.50 or more"])
        rows.append(["one in flight, p50 to the decision, µs" + longer, column("floor_p50_us"), column("p50_us"),
                     column("ratio_latency", "%.2f"), "1.50 or less"])
    text = table(["tcc, 2 branches", "floor", "assentd", "ratio", "target"], rows)
    text += "\n\nWhat both did for a transaction (medians, commits as they are):\n\n"
    first = results[COMMIT_DELAYS_MS[0]]
    one = {w["what"]: w for w in first["work_one_in_flight"]}
    text += table(["", "floor, 1,024", "assentd, 1,024", "floor, 1", "assentd, 1"],
                  [[w["what"], *(figure(v) for v in (w["floor"], w["engine"], one[w["what"]]["floor"], one[w["what"]]["engine"]))]
                   for w in first["work"]])
    return {str(delay): result for delay, result in results.items()}, text


def append(settings):
    """Group append within 1.25 of the unfenced."""
    results = {delay: _on_server("append", "--seconds", settings.seconds / 8, "--rounds", settings.rounds, "--commit-delay", delay)
               for delay in COMMIT_DELAYS_MS}
    rows = [[group["rows"], delay, "%.0f" % group["fenced_per_second"], "%.0f" % group["alone_per_second"],
             "%.2f (%.2f to %.2f)" % (group["ratio"], group["ratio_low"], group["ratio_high"])]
            for delay, result in results.items() for group in result["groups"]]
    return {str(delay): result for delay, result in results.items()}, table(
        ["rows a group", "commits longer by, ms", "rows/s, fenced", "rows/s, unfenced", "fenced takes, of unfenced (1.25 or less)"], rows)


def sizing(settings):
    """Processor time of each kind of process, by how much shares a commit."""
    rows = []
    results = {}
    with postgresql.Server(SERVER) as server:
        words = ("--commit-delay", 2, "--log", server.url("postgres"))
        taken = in_turn(2, {count: lambda count=count: run(settings, "--in-flight", count, *words) for count in IN_FLIGHT})
    for count, runs in taken.items():
        results[str(count)] = runs
        middle = lambda value, runs=runs: median(value(one) for one in runs)
        rows.append([count, "%.0f" % middle(lambda r: r["throughput"]), "%.1f" % middle(lambda r: ms(r, "p50")),
                     "%.1f" % middle(lambda r: ms(r, "p99")), "%.0f" % middle(lambda r: r["group_commit_records"]),
                     *("%.1f" % middle(lambda r, name=name: cpu(r, name))
                       for name in ("coordinator", "postgresql", "participants", "initiators"))])
    return results, table(["in flight", "transactions/s", "p50 ms", "p99 ms", "records/commit", "CPU µs: coordinator", "PostgreSQL",
                           "participants", "initiator"], rows)


def scale(settings):
    """1, 2 and 3 coordinators while the database's commits are the limit: 1, 1.8, 2.5."""
    result = _on_server("scale", "--coordinators", 3, "--seconds", settings.seconds, "--rounds", settings.rounds)
    rows = []
    for row in result["rows"]:
        value = lambda key, form, row=row: form % row[key]["median"]
        used = row["cpu_us"]
        rows.append([row["coordinators"], value("throughput", "%.0f"),
                     "%.2f (%.2f to %.2f)" % tuple(row["of_one"][key] for key in ("median", "low", "high")),
                     value("p50_ms", "%.1f"), value("p99_ms", "%.1f"), value("records_per_commit", "%.0f"),
                     " + ".join("%.1f" % us for name, us in sorted(used.items()) if name.startswith("coordinator")),
                     *("%.1f" % used[name] for name in ("postgresql", "participants", "initiators")), value("cores", "%.2f")])
    text = table(["coordinators", "transactions/s", "of one (1, 1.8, 2.5)", "p50 ms", "p99 ms", "records/commit", "CPU µs: coordinators",
                  "PostgreSQL", "participants", "initiator", "cores in use"], rows)
    return result, text + (f"\n\n{result['in_flight_each']} transactions in flight at each coordinator, each commit of the database "
                           f"{result['commit_delay_ms']:.0f} ms longer.")
