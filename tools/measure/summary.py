"""Every target in one table, from what the other sections have left in build/measured."""

import json
import os

import languages
import stores
from bench import ROOT, cpu, median, ms, table

RESULTS = os.path.join(ROOT, "build", "measured")


def _load(name):
    path = os.path.join(RESULTS, name + ".json")
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        return json.load(file)["result"]


def _compare(r):
    yield "half the floor's throughput", "%.2f" % r["ratio_throughput"], r["ratio_throughput"] >= 0.5
    yield ("30,000 transactions/s where the floor allows it", "%.0f (floor %.0f)" % (r["throughput"], r["floor_throughput"]),
           r["throughput"] >= 30_000 if r["floor_throughput"] >= 30_000 else None)
    yield "one in flight: p50 at most 1.5 times the floor", "%.2f" % r["ratio_latency"], r["ratio_latency"] <= 1.5


def _tls(r):
    yield "mutual TLS: 0.8 of the throughput without", "%.2f" % r["ratio_throughput"], r["ratio_throughput"] >= 0.8


def _one_in_flight(r):
    far = max(median(ms(one, "p99") for one in taken) for name, taken in r.items() if name != "floor")
    yield "no cliffs of 40 or 100 ms: p99 of one in flight", "%.1f ms" % far, far < 40


def _workloads(r):
    for name in ("2pc", "saga"):
        share = median(w["throughput"] / t["throughput"] for w, t in zip(r[name], r["tcc"]))
        yield f"{name} within 20 % of tcc", "%.0f %%" % (100 * share), share >= 0.8


def _branches(r):
    two, eight = (median(cpu(one) / count for one in r[f"tcc {count}"]) for count in (2, 8))
    yield "8 branches: cost per branch no higher than with 2", "%.1f µs against %.1f" % (eight, two), eight <= two


def _steady(r):
    worst = median(ms(one["run"], "p99") / ms(one["run"], "p50") for one in r)
    yield "70 % of peak: p99 under 5 times p50", "%.1f" % worst, worst < 5


def _unary(r):
    ratio = median(e["throughput"] / f["throughput"] for f, e in zip(r["floor"], r["assentd"]))
    yield "unary: 60 % of the same number of echo calls", "%.2f" % ratio, ratio >= 0.6


def _rest(r):
    ratio = median(e["throughput"] / f["throughput"] for f, e in zip(r["turns"]["plain echo"], r["turns"]["REST"]))
    yield "REST: 60 % of plain echo over the same HTTP", "%.2f" % ratio, ratio >= 0.6


def _order(r):
    ratio = median(g["throughput"] / o["throughput"] for g, o in zip(r["group commit"], r["a commit per branch"]))
    yield "order: group commit 5 times one commit per branch", "%.1f" % ratio, ratio >= 5


def _languages(r):
    ratios = {name: median(s["messages"] / e["messages"] for s, e in zip(taken["sdk"], taken["echo"]))
              for name, taken in r["rows"].items() if "session" in name}
    lowest = min(ratios, key=ratios.get)
    yield "sessions of each language: 0.6 of its library's echo", "%.2f (%s)" % (ratios[lowest], lowest), ratios[lowest] >= languages.TARGET


def _store(name):
    def targets(r):
        ratios = [median(stores.ratios(r["ways"], count)) for count in (2, 4)]
        yield (f"{name}: groups 5 times one commit per branch, 2 and 4 connections", ", ".join("%.1f" % ratio for ratio in ratios),
               min(ratios) >= stores.TARGET)
    return targets


def _held(r):
    big = r[-1]
    whole = big["held"] >= 1_000_000
    yield (f"2 KiB per transaction in flight ({big['held']:,})", "%.0f bytes" % big["bytes_per_transaction"],
           big["bytes_per_transaction"] <= 2048 if whole else None)
    yield "a million in flight in 4 GiB", "%.0f MiB for %s" % (big["peak_kib"] / 1024, f"{big['held']:,}"), big["peak_kib"] <= 4 << 20 if whole else None
    yield "restart within 3 times SQLite's reading", "%.1f" % big["ready_ratio"], big["ready_ratio"] <= 3 if whole else None
    lines = [line for line in big["said"].splitlines() if line.strip()]
    yield "a start says how far it is", f"{len(lines)} lines", len(lines) > 1


def _history(r):
    ratio = median(f["throughput"] / e["throughput"] for e, f in zip(r["empty"], r["filled"]))
    count = r["fill"]["transactions"]
    yield f"{count:,} retained: within 10 % of empty", "%.2f" % ratio, ratio >= 0.9 if count >= 10_000_000 else None


def _retention(r):
    most = max(one["log_file_bytes"] for one in r) / 1048576
    yield "file bounded by retention (64 MiB)", "%.0f MiB at most" % most, most <= 64 * 1.25


def _checkpoints(r):
    worst = max(ms(one, "p99.9") for one in r[1::2])
    floor = max(ms(one, "p99.9") for one in r[0::2])
    yield "checkpoints: no stall over 20 ms at p99.9", "%.1f ms (floor %.1f)" % (worst, floor), worst <= 20


def _idle(r):
    share = 100 * r[-1]["core_share"]
    yield "idle with 1,000 sessions: under 1 % of a core", "%.2f %%" % share, share < 1


def _overload(r):
    for limit in dict.fromkeys(one["limit"] for one in r):
        mine = [one for one in r if one["limit"] == limit]
        share = median(one["run"]["throughput"] / one["peak"] for one in mine)
        late = median(ms(one["run"], "p99") for one in mine)
        yield f"overload, {limit.split(' (')[0]}: within 10 % of peak", "%.2f, accepted p99 %.0f ms" % (share, late), share >= 0.9


def _cluster_compare(r):
    for delay, one in r.items():
        longer = f", commits {delay} ms longer" if delay != "0" else ""
        yield "PostgreSQL: half the floor's throughput" + longer, "%.2f" % one["ratio_throughput"], one["ratio_throughput"] >= 0.5
        yield "PostgreSQL, one in flight: p50 at most 1.5 times the floor" + longer, "%.2f" % one["ratio_latency"], one["ratio_latency"] <= 1.5


def _cluster_append(r):
    for delay, one in r.items():
        longer = f", commits {delay} ms longer" if delay != "0" else ""
        yield ("PostgreSQL: groups of 1, 32, 128 rows within 1.25 of unfenced" + longer,
               ", ".join("%.2f" % group["ratio"] for group in one["groups"]), all(group["ratio"] <= 1.25 for group in one["groups"]))


def _cluster_scale(r):
    shares = [row["of_one"]["median"] for row in r["rows"]]
    yield ("1, 2, 3 coordinators: 1, 1.8, 2.5 of one", ", ".join("%.2f" % share for share in shares),
           all(share >= least for share, least in zip(shares, (1, 1.8, 2.5))))


TARGETS = {"compare": _compare, "tls": _tls, "one-in-flight": _one_in_flight, "workloads": _workloads, "branches": _branches, "steady": _steady,
           "unary": _unary, "rest": _rest, "order": _order,
           "languages": _languages, "sdk-postgresql": _store("PostgreSQL"), "sdk-mariadb": _store("MariaDB"), "held": _held, "history": _history, "retention": _retention,
           "cluster-compare": _cluster_compare, "cluster-append": _cluster_append, "cluster-scale": _cluster_scale,
           "checkpoints": _checkpoints, "idle": _idle, "overload": _overload}


def summary(settings):
    """Reads, and measures nothing."""
    del settings
    rows = []
    for name, targets in TARGETS.items():
        result = _load(name)
        if result is None:
            rows.append([f"({name})", "not measured", ""])
            continue
        for target, value, reached in targets(result):
            rows.append([target, value, {True: "yes", False: "**no**", None: "cannot be said here"}[reached]])
    return {"rows": rows}, table(["target", "measured (medians)", "reached"], rows)
