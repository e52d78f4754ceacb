"""Sections that put load on assentd: throughput, latency, and how both grow."""

import os
import subprocess
import tempfile

from bench import BIN, bench, cpu, figure, floor, in_turn, median, ms, run, spread, table


def compare(settings):
    """Half the floor's throughput, 1.5 times its latency."""
    result = bench("compare", "--seconds", settings.seconds, "--rounds", settings.rounds)
    rounds = result["rounds"]
    column = lambda key, form="%.0f": spread((r[key] for r in rounds), form)
    rows = [
        ["tcc, 2 branches, 1,024 in flight, transactions/s", column("floor_throughput"), column("throughput"),
         column("ratio_throughput", "%.2f"), "0.50 or more"],
        ["one in flight, p50 to the decision, µs", column("floor_p50_us"), column("p50_us"), column("ratio_latency", "%.2f"),
         "1.50 or less"],
    ]
    text = table(["", "floor", "assentd", "ratio", "target"], rows)
    text += "\n\nWhat both did for a transaction (medians):\n\n"
    one = {w["what"]: w for w in result["work_one_in_flight"]}
    text += table(["", "floor, 1,024", "assentd, 1,024", "floor, 1", "assentd, 1"],
                  [[w["what"], *(figure(v) for v in (w["floor"], w["engine"], one[w["what"]]["floor"],
                                                           one[w["what"]]["engine"]))] for w in result["work"]])
    return result, text


def tls(settings):
    """At least 0.8 of the throughput without. Ratios are of medians."""
    result = bench("compare", "--tls", "--seconds", settings.seconds, "--rounds", settings.rounds)
    rounds = result["rounds"]
    column = lambda key, form="%.0f": spread((r[key] for r in rounds), form)
    of = lambda name: f'{result["ratio_" + name]:.2f} ({result[f"ratio_{name}_spread"][0]:.2f} to {result[f"ratio_{name}_spread"][1]:.2f})'
    rows = [
        ["tcc, 2 branches, 1,024 in flight, transactions/s", column("plain_throughput"), column("tls_throughput"), of("throughput"), "0.80 or more"],
        ["the same, processor time of all processes, µs", figure(result["plain_cpu_us"]), figure(result["tls_cpu_us"]), of("cpu"), ""],
        ["one in flight, p50 to the decision, µs", column("plain_p50_us"), column("tls_p50_us"), of("latency"), ""],
    ]
    text = table(["", "plain", "mutual TLS", "ratio", "target"], rows)
    text += "\n\nWhat both did for a transaction (medians):\n\n"
    one = {w["what"]: w for w in result["work_one_in_flight"]}
    text += table(["", "plain, 1,024", "TLS, 1,024", "plain, 1", "TLS, 1"],
                  [[w["what"], *(figure(v) for v in (w["plain"], w["tls"], one[w["what"]]["plain"], one[w["what"]]["tls"]))] for w in result["work"]])
    return result, text


def one_in_flight(settings):
    """Latency with nothing else going on, and its far end: cliffs would show there."""
    results = in_turn(3, {
        "floor": lambda: floor(settings, "--in-flight", 1),
        "assentd, decided": lambda: run(settings, "--in-flight", 1),
        "assentd, completed": lambda: run(settings, "--in-flight", 1, "--wait", "completed"),
        "assentd, 100/s in open loop": lambda: run(settings, "--rate", 100),
    })
    rows = []
    for name, taken in results.items():
        rows.append([name] + ["%.2f" % median(ms(r, key) for r in taken) for key in ("p50", "p90", "p99", "p99.9")]
                    + ["%.1f" % max(ms(r, "max") for r in taken)])
    return results, table(["one in flight", "p50 ms", "p90", "p99", "p99.9", "longest of all rounds"], rows)


def workloads(settings):
    """2PC and Saga within 20 % of TCC."""
    jobs = {w: (lambda w=w: run(settings, "--workload", w)) for w in ("tcc", "2pc", "saga", "mixed-faults")}
    jobs["interactive"] = lambda: run(settings, "--workload", "interactive", "--in-flight", 64)
    results = in_turn(max(3, settings.rounds - 2), jobs)
    rows = []
    for name, taken in results.items():
        shares = [r["throughput"] / t["throughput"] for r, t in zip(taken, results["tcc"])]
        rows.append([name + (", 64 in flight" if name == "interactive" else ""), spread((r["throughput"] for r in taken), "%.0f"),
                     "%.0f %%" % (100 * median(shares)), "%.1f" % median(ms(r, "p50") for r in taken),
                     "%.1f" % median(ms(r, "p99") for r in taken), "%.1f" % median(cpu(r, "coordinator") for r in taken),
                     "%.1f" % median(cpu(r) for r in taken), "%.2f" % median(r["log_records_per_transaction"] for r in taken),
                     "%.0f" % median(r["group_commit_records"] for r in taken)])
    return results, table(["2 branches, 1,024 in flight", "transactions/s", "of tcc", "p50 ms", "p99 ms", "coordinator CPU µs",
                           "all CPU µs", "records", "records/commit"], rows)


def branches(settings):
    """8 branches: cost per branch no higher than with 2."""
    jobs = {}
    for count in (1, 2, 4, 8):
        jobs[("tcc", count)] = lambda count=count: run(settings, "--branches", count)
    for workload in ("2pc", "saga"):
        jobs[(workload, 8)] = lambda workload=workload: run(settings, "--workload", workload, "--branches", 8)
    for count in (2, 8):
        jobs[("floor", count)] = lambda count=count: floor(settings, "--branches", count)
    results = in_turn(3, jobs)
    rows = []
    for (name, count), taken in results.items():
        rows.append([name, count, spread((r["throughput"] for r in taken), "%.0f"),
                     "%.0f" % median(count * r["throughput"] for r in taken),
                     "%.1f" % median(cpu(r) / count for r in taken),
                     "%.1f" % median(cpu(r, "coordinator") / count for r in taken),
                     "%.1f" % median(ms(r, "p50") for r in taken)])
    return {f"{n} {c}": t for (n, c), t in results.items()}, table(
        ["", "branches", "transactions/s", "branches/s", "all CPU µs per branch", "coordinator CPU µs per branch", "p50 ms"], rows)


def payload(settings):
    """How cost grows with the payload of each of 2 branches."""
    jobs = {}
    for size in (16, 256, 1024, 4096, 16384):
        jobs[("floor", size)] = lambda size=size: floor(settings, "--payload", size, "--in-flight", 256)
        jobs[("assentd", size)] = lambda size=size: run(settings, "--payload", size, "--in-flight", 256)
    results = in_turn(2, jobs)
    rows = []
    for size in (16, 256, 1024, 4096, 16384):
        f, e = results[("floor", size)], results[("assentd", size)]
        rows.append([size, "%.0f" % median(r["throughput"] for r in f), "%.0f" % median(r["throughput"] for r in e),
                     "%.2f" % median(b["throughput"] / max(1, a["throughput"]) for a, b in zip(f, e)),
                     "%.1f" % median(cpu(r, "coordinator") for r in e), "%.0f" % median(r["tcp_bytes_per_transaction"] for r in e),
                     "%.0f" % median(r["processes"]["coordinator"]["bytes_written_per_transaction"] for r in e)])
    return {f"{n} {c}": t for (n, c), t in results.items()}, table(
        ["payload bytes, 256 in flight", "floor/s", "assentd/s", "ratio", "coordinator CPU µs", "TCP bytes", "bytes to the log"], rows)


def in_flight(settings):
    """Throughput and latency against in-flight: the plot."""
    counts = (1, 4, 16, 64, 256, 1024, 4096)
    jobs = {}
    for count in counts:
        jobs[("floor", count)] = lambda count=count: floor(settings, "--in-flight", count)
        jobs[("assentd", count)] = lambda count=count: run(settings, "--in-flight", count)
    results = in_turn(2, jobs)
    rows = []
    points = []
    for count in counts:
        point = {"in_flight": count}
        row = [count]
        for name in ("floor", "assentd"):
            taken = results[(name, count)]
            point[name] = {"throughput": median(r["throughput"] for r in taken), "p50_ms": median(ms(r, "p50") for r in taken),
                           "p99_ms": median(ms(r, "p99") for r in taken)}
            row += ["%.0f" % point[name]["throughput"], "%.2f" % point[name]["p50_ms"], "%.2f" % point[name]["p99_ms"]]
        taken = results[("assentd", count)]
        row += ["%.1f" % median(cpu(r, "coordinator") for r in taken), "%.0f" % median(r["group_commit_records"] for r in taken)]
        points.append(point)
        rows.append(row)
    return {"points": points}, table(
        ["in flight", "floor/s", "floor p50 ms", "floor p99 ms", "assentd/s", "assentd p50 ms", "assentd p99 ms",
         "coordinator CPU µs", "records/commit"], rows)


def steady(settings):
    """70 % of peak in open loop: p99 under 5 times p50."""
    rows = []
    results = []
    for _ in range(3):
        peak = run(settings, "--in-flight", 1024)["throughput"]
        taken = bench("run", "--seconds", 2 * settings.seconds, "--rate", round(0.7 * peak))
        results.append({"peak": peak, "run": taken})
        rows.append(["%.0f" % peak, "%.0f" % (0.7 * peak), "%.0f" % taken["throughput"], "%.2f" % ms(taken, "p50"),
                     "%.2f" % ms(taken, "p99"), "%.2f" % ms(taken, "p99.9"), "%.2f" % ms(taken, "max"),
                     "%.1f" % (ms(taken, "p99") / ms(taken, "p50"))])
    text = table(["peak/s", "offered/s", "done/s", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "p99 / p50 (under 5)"], rows)
    return results, text


def unary(settings):
    """Plain unary initiators and participants: at least 60 % of an equal number of plain unary echo calls."""
    words = ("--workload", "unary", "--in-flight", 256)
    results = in_turn(settings.rounds, {"floor": lambda: floor(settings, *words), "assentd": lambda: run(settings, *words)})
    ratios = [e["throughput"] / f["throughput"] for f, e in zip(results["floor"], results["assentd"])]
    rows = []
    for name, taken in results.items():
        rows.append(["echo calls" if name == "floor" else name, spread((r["throughput"] for r in taken), "%.0f"),
                     "%.0f" % median(5 * r["throughput"] for r in taken), "%.2f" % median(ms(r, "p50") for r in taken),
                     "%.1f" % median(cpu(r, "coordinator") for r in taken), "%.1f" % median(cpu(r) for r in taken)])
    text = table(["2 branches, 256 in flight", "transactions/s", "calls/s", "p50 ms", "coordinator CPU µs", "all CPU µs"], rows)
    return results, text + f"\n\nRatio {spread(ratios)}; the target is 0.60 or more."


def rest(settings):
    """Initiators of HTTP: at least 60 % of what the same server and client do as plain echo. gRPC's unary Submit and its stream beside it."""
    words = ("--workload", "rest", "--in-flight", 512)
    results = in_turn(settings.rounds, {
        "plain echo": lambda: floor(settings, *words),
        "REST": lambda: run(settings, *words),
        "gRPC, unary (256 in flight)": lambda: run(settings, "--workload", "submit", "--in-flight", 256),
        "gRPC, stream": lambda: run(settings, "--in-flight", 512),
    })
    rows = [[name, spread((r["throughput"] for r in taken), "%.0f"), "%.1f" % median(ms(r, "p50") for r in taken),
             *("%.1f" % median(cpu(r, who) for r in taken) for who in ("coordinator", "participants", "initiators")),
             "%.1f" % median(cpu(r) for r in taken)] for name, taken in results.items()]
    text = table(["2 branches, 512 in flight", "transactions/s", "p50 ms", "coordinator CPU µs", "participants", "initiators", "all CPU µs"], rows)
    echo, ours, unary_calls, stream = results.values()
    to_echo = [e["throughput"] / f["throughput"] for f, e in zip(echo, ours)]
    to_unary = [e["throughput"] / f["throughput"] for f, e in zip(unary_calls, ours)]
    least = median(cpu(r) for r in echo) + median(cpu(r, "coordinator") + cpu(r, "participants") for r in stream)
    text += (f"\n\nThroughput: {spread(to_echo)} of plain echo (the target is 0.60 or more), {spread(to_unary)} of gRPC's unary calls. By processor time "
             f"{median(cpu(r) for r in echo) / median(cpu(r) for r in ours):.2f} of plain echo. With an HTTP that costs what plain echo does, beside an engine, a log and "
             f"participants that cost what they do behind the stream, it would be {median(cpu(r) for r in echo) / least:.2f}.")
    waiting = {factor: bench("run", "--seconds", factor * settings.seconds, "--workload", "rest", "--in-flight", 2000) for factor in (1, 4)}
    text += "\n\n2,000 in flight, each a connection: " + ", ".join(
        f"{r['processes']['coordinator']['resident_kib'] / 1024:.0f} MiB resident after {factor * settings.seconds:g} s ({r['ended_in_whole_run']} transactions)"
        for factor, r in waiting.items()) + "."
    return {"turns": results, "waiting": list(waiting.values())}, text


def sealed(settings):
    """A log under a key beside one in the clear."""
    with tempfile.TemporaryDirectory(prefix="assent-measure-") as folder:
        keys = os.path.join(folder, "keys")
        subprocess.run([os.path.join(BIN, "assentctl"), "keys", "init", keys, "k1"], check=True, capture_output=True)
        under = f"--daemon-argument=--encryption-keys={keys}"
        jobs = {}
        for size, count in ((64, 1024), (4096, 256), (64, 1)):
            words = ("--payload", size, "--in-flight", count)
            jobs[(size, count, "in the clear")] = lambda words=words: run(settings, *words)
            jobs[(size, count, "sealed")] = lambda words=words: run(settings, *words, under)
        results = in_turn(settings.rounds, jobs)
    rows = []
    for (size, count, name), taken in results.items():
        pairs = zip(taken, results[(size, count, "in the clear")])
        rows.append([f"{size} bytes, {count:,} in flight, {name}", spread((r["throughput"] for r in taken), "%.0f"),
                     spread(r["throughput"] / c["throughput"] for r, c in pairs), "%.2f" % median(ms(r, "p50") for r in taken),
                     "%.2f" % median(ms(r, "p99") for r in taken), "%.1f" % median(cpu(r, "coordinator") for r in taken),
                     "%.0f" % median(r["processes"]["coordinator"]["bytes_written_per_transaction"] for r in taken)])
    return {f"{s} {c} {n}": t for (s, c, n), t in results.items()}, table(
        ["tcc, 2 branches", "transactions/s", "of in the clear", "p50 ms", "p99 ms", "coordinator CPU µs", "bytes to the log"], rows)


def order(settings):
    """Real SQLite participants: group commit at least 5 times the rate of one commit per branch."""
    results = in_turn(3, {
        "group commit": lambda: run(settings, "--workload", "order"),
        "a commit per branch": lambda: run(settings, "--workload", "order", "--group", 1, "--max-pending", 500000),
    })
    ratios = [g["throughput"] / o["throughput"] for g, o in zip(results["group commit"], results["a commit per branch"])]
    rows = [[name, spread((r["throughput"] for r in taken), "%.0f"), "%.1f" % median(r["operations_per_local_commit"] for r in taken),
             "%.1f" % median(ms(r, "p50") for r in taken), "%.1f" % median(ms(r, "p99") for r in taken),
             "%.1f" % median(cpu(r, "participants") for r in taken), "%.1f" % median(cpu(r) for r in taken)]
            for name, taken in results.items()]
    text = table(["order, 3 branches, 1,024 in flight", "transactions/s", "operations/commit", "p50 ms", "p99 ms",
                  "participants CPU µs", "all CPU µs"], rows)
    return results, text + f"\n\nRatio {spread(ratios)}; the target is 5 or more."
