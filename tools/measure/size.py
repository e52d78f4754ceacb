"""Sections about what grows and what must not: memory, restart, history, checkpoints, idleness, pages of metrics, overload."""

import os
import shutil
import tempfile

from bench import bench, cpu, in_turn, median, ms, run, spread, table


def held(settings):
    """At most 2 KiB per transaction in flight; a million fit in 4 GiB; restart within 3 times SQLite's reading."""
    rows = []
    restarts = []
    results = []
    said = ""
    for count in (int(100_000 * settings.scale), int(1_000_000 * settings.scale)):
        r = bench("hold", "--transactions", count)
        results.append(r)
        rows.append([f"{r['held']:,}", "%.0f" % r["bytes_per_transaction"], "%.0f" % r["bytes_per_transaction_first_tenth"],
                     "%.0f" % (r["resident_kib"] / 1024), "%.0f" % (r["peak_kib"] / 1024), "%.0f" % r["begin_seconds"]])
        restarts.append([f"{r['rows']:,}", "%.2f" % r["sqlite_read_seconds"], "%.2f" % r["ready_seconds"],
                         "%.2f" % r["ready_ratio"], "%.0f" % (r["resident_kib_after_start"] / 1024),
                         "%.0f" % (r["file_bytes"] / 1048576)])
        said = r["said"]
    text = table(["in flight", "bytes each beyond payloads (2,048 or less)", "… of the first tenth", "resident MiB",
                  "at most MiB", "begun in s"], rows)
    text += "\n\n" + table(["unfinished", "SQLite reads the rows in s", "ready after s", "ratio (3 or less)", "resident MiB then",
                            "file MiB"], restarts)
    text += "\n\nWhat the last start said meanwhile:\n\n```\n" + said.strip() + "\n```"
    return results, text


def history(settings):
    """Throughput with ten million finished transactions retained within 10 % of empty."""
    count = int(10_000_000 * settings.scale)
    folder = tempfile.mkdtemp(prefix="assent-history-", dir=os.environ.get("TMPDIR"))
    try:
        filled = bench("fill", "--transactions", count, "--folder", folder)
        words = ("--daemon-argument=--retention-mib=65536",)
        results = in_turn(max(3, settings.rounds), {
            "empty": lambda: run(settings, *words),
            "filled": lambda: run(settings, "--folder", folder, *words),
        })
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    ratios = [f["throughput"] / e["throughput"] for e, f in zip(results["empty"], results["filled"])]
    rows = [[f"{count:,} retained" if name == "filled" else name, spread((r["throughput"] for r in taken), "%.0f"),
             "%.1f" % median(ms(r, "p50") for r in taken), "%.1f" % median(ms(r, "p99") for r in taken),
             "%.1f" % median(cpu(r, "coordinator") for r in taken),
             "%.0f" % (max(r["log_file_bytes"] for r in taken) / 1048576)] for name, taken in results.items()]
    text = table(["", "transactions/s", "p50 ms", "p99 ms", "coordinator CPU µs", "file MiB"], rows)
    text += (f"\n\nRatio {spread(ratios)}; the target is 0.90 or more. Filling took {filled['seconds']:.0f} s, "
             f"{filled['file_bytes'] / count:.0f} bytes a transaction.")
    results["fill"] = filled
    return results, text


def retention(settings):
    """The file stays within its bound, whatever the load."""
    rows = []
    results = []
    for limit in (32, 64):
        for seconds in (2 * settings.seconds, 6 * settings.seconds):
            r = bench("run", "--seconds", seconds, f"--daemon-argument=--retention-mib={limit}")
            results.append(r)
            written = r["committed"] * r["processes"]["coordinator"]["bytes_written_per_transaction"]
            rows.append([limit, "%.0f" % seconds, f"{r['committed']:,}", "%.0f" % (written / 1048576),
                         "%.0f" % (r["log_file_bytes"] / 1048576), "%.0f" % r["throughput"]])
    return results, table(["retention MiB", "seconds", "transactions", "MiB written", "file and WAL, at most MiB", "transactions/s"],
                          rows)


def checkpoints(settings):
    """Checkpoints cause no stall over 20 ms at p99.9. The floor, which makes the same ones, shows what the machine adds."""
    peak = run(settings, "--in-flight", 1024)["throughput"]
    rows = []
    results = []
    for share in (0.25, 0.5):
        for name, command in (("floor", "floor"), ("assentd", "run")):
            r = bench(command, "--seconds", 6 * settings.seconds, "--rate", round(share * peak))
            results.append(r)
            rows.append([name, "%.0f" % (share * peak), "%.0f" % (6 * settings.seconds), r["log_checkpoints"], "%.2f" % ms(r, "p50"),
                         "%.2f" % ms(r, "p99"), "%.2f" % ms(r, "p99.9"), "%.2f" % ms(r, "max"), "%.1f" % r["longest_gap_ms"]])
    return results, table(["", "offered/s", "seconds", "checkpoints", "p50 ms", "p99 ms", "p99.9 ms", "max ms",
                           "longest gap between two answers ms"], rows)


def idle(settings):
    """Idle daemon with 1,000 connected sessions: under 1 % of a core."""
    results = [bench("idle", "--sessions", count, "--seconds", 5 * settings.seconds, "--warmup", 3) for count in (0, 1000)]
    return results, table(["sessions", "seconds", "of a core (under 1 %)", "resident MiB"],
                          [[f"{r['sessions']:,}", "%.0f" % r["seconds"], "%.2f %%" % (100 * r["core_share"]),
                            "%.0f" % (r["resident_kib"] / 1024)] for r in results])


def absent(settings):
    """With 100,000 waiting for a participant that is not there: p99 of healthy ones within 1.5 times, the first page under 20 ms."""
    r = bench("absent", "--transactions", int(100_000 * settings.scale), "--rounds", settings.rounds, "--seconds", settings.seconds)
    names = {"without": "nobody waits", "with": "they wait", "with_and_figures": "they wait, and figures are asked for 100 times a second",
             "with_and_looked_at": "they wait, and somebody looks every 200 ms"}
    times = table(["healthy ones, %d a second" % r["rate"], "p50 ms", "p99 ms", "of p99 without (1.5 or less)", "longest ms"],
                  [[text, *("%.2f" % r[name][key] for key in ("p50_ms", "p99_ms", "p99_ratio", "longest_ms"))]
                   for name, text in names.items()])
    counts = table(["waiting", "records written in 3 s", "first page ms (20 or less)", "all pages ms", "pages"],
                   [[f"{r['waiting']:,}", r["records_while_nothing_happens"], "%.2f" % r["first_page_ms"],
                     "%.0f" % r["all_pages_ms"], r["pages"]]])
    return r, times + "\n\n" + counts


def outbox(settings):
    """A relay beside submitting the same directly: at least half as many a second."""
    r = bench("outbox", "--transactions", int(20_000 * settings.scale), "--rounds", settings.rounds)
    return r, table(["transactions", "published/s", "relayed/s", "submitted directly/s", "relayed of that (0.5 or more)"],
                    [[f"{r['transactions']:,}", *("%.0f" % r[key] for key in ("published_per_second", "relayed_per_second", "submitted_per_second")),
                      "%.2f" % r["ratio"]]])


def ramp(settings):
    """The return of a service that 100,000 wait for: p99 of its answers within twice, all served within 1.3 of what it can."""
    r = bench("ramp", "--transactions", int(100_000 * settings.scale), "--rounds", min(settings.rounds, 3))
    rows = [[words, "%.1f" % r[name]["normal_p99_ms"], "%.1f" % r[name]["p99_ms"], "%.2f" % r[name]["p99_ratio"],
             "%.1f" % r[name]["seconds"], "%.2f" % r[name]["time_ratio"]]
            for name, words in (("with", "`slow-start = 32`, `adaptive = true`"), ("without", "no policy"))]
    return r, table([f"{r['transactions']:,} wait", "p99 of its answers else, ms", "then, ms", "times (2 or less)", "all served in s",
                     f"of the {r['capacity_seconds']:.0f} s that it can (1.3 or less)"], rows)


def metrics(settings):
    """With a million in flight a page of metrics within 50 ms, and others notice nothing of it."""
    r = bench("scrape", "--transactions", int(1_000_000 * settings.scale), "--rounds", settings.rounds, "--seconds", settings.seconds)
    page = r["page"]
    text = table(["in flight", "pages", "bytes of a page", "median ms", "highest ms (50 or less)"],
                 [[f"{r['in_flight']:,}", page["count"], f"{page['bytes']:,}", "%.1f" % page["median_ms"], "%.1f" % page["highest_ms"]]])
    text += "\n\n" + table(["beside them, %d a second" % r["rate"], "p50 ms", "p99 ms"],
                           [[words, "%.2f" % r[name]["p50_ms"], "%.2f" % r[name]["p99_ms"]]
                            for name, words in (("not_scraped", "nobody asks"), ("scraped", "a page is asked for ten times a second"))])
    return r, text


def overload(settings):
    """Twice the capacity offered: throughput within 10 % of peak, the rest refused quickly, latency bounded."""
    limits = {
        # What the coordinator refuses: no more unfinished transactions than this, and nobody repeats.
        "refused by the daemon (max-transactions 8,192)": ("--daemon-argument=--max-transactions=8192", "--no-retry"),
        # What the SDK refuses before it is sent.
        "refused by the client (max-pending 8,192)": ("--max-pending", 8192),
    }
    rows = []
    results = []
    for name, words in limits.items():
        for _ in range(3):
            peak = run(settings, "--in-flight", 1024)["throughput"]
            r = bench("run", "--seconds", 2 * settings.seconds, "--rate", round(2 * peak), *words)
            results.append({"peak": peak, "run": r, "limit": name})
            refusal = r.get("refusal_us", {"p50": 0, "p99": 0})
            rows.append([name, "%.0f" % peak, "%.0f" % (2 * peak), "%.0f" % r["throughput"], "%.2f" % (r["throughput"] / peak),
                         "%.0f" % (r["refused"] / r["seconds"]), "%.2f" % (refusal["p50"] / 1000),
                         "%.2f" % (refusal["p99"] / 1000), "%.0f" % ms(r, "p50"), "%.0f" % ms(r, "p99"),
                         "%.0f" % (r["processes"]["coordinator"]["peak_kib"] / 1024)])
    return results, table(["", "peak/s", "offered/s", "accepted/s", "of peak (0.9 or more)", "refused/s", "refused after p50 ms", "p99 ms",
                           "accepted: p50 ms", "p99 ms", "coordinator MiB"], rows)
