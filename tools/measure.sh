#!/usr/bin/env bash
# Measures assentd on this machine with assent-bench and prints Markdown tables, as docs/performance.md shows them.
#
#   tools/measure.sh [SECONDS]     seconds per measurement, default 4; the whole takes about SECONDS x 45
#
# Build first (tools/build.sh). Leave the machine alone while it runs: coordinator, participants and initiators share its cores.
set -euo pipefail
cd "$(dirname "$0")/.."
bench=build/release/bin/assent-bench
seconds=${1:-4}

# Runs assent-bench and prints one table row: NAME, then what jq-like Python picks from its JSON.
row() {
  local name=$1
  shift
  "$bench" "$@" --seconds "$seconds" --json | /usr/bin/python3 -c '
import json, sys
m = json.load(sys.stdin)
ms = lambda key: "%.2f" % (m["latency_us"][key] / 1000)
cpu = m["processes"]["coordinator"]["cpu_us_per_transaction"]
print("| %s | %d | %s | %s | %s | %.0f | %.2f | %.0f |" % (sys.argv[1], m["throughput"], ms("p50"), ms("p99"), ms("p99.9"), cpu,
      m["log_records_per_transaction"], m["group_commit_records"]))' "$name"
}

echo "$(nproc) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), load average before: $(cut -d' ' -f1 /proc/loadavg)"
echo
echo "| workload | transactions/s | p50 ms | p99 ms | p99.9 ms | coordinator CPU us | records/transaction | records/commit |"
echo "|---|---|---|---|---|---|---|---|"
for workload in tcc 2pc saga mixed-faults; do
  row "$workload, 2 branches, 1024 in flight" run --workload "$workload"
done
for workload in tcc 2pc saga; do
  row "$workload, 8 branches, 1024 in flight" run --workload "$workload" --branches 8
done
for in_flight in 1 8 64 256 4096; do
  row "tcc, 2 branches, $in_flight in flight" run --in-flight "$in_flight"
done
row "order (SQLite participants), 1024 in flight" run --workload order
row "interactive, 64 in flight" run --workload interactive --in-flight 64
row "unary initiators and participants, 64 in flight" run --workload unary --in-flight 64
row "floor of tcc, 1024 in flight" floor
row "floor of tcc, 1 in flight" floor --in-flight 1
echo
echo '```'
"$bench" compare --rounds 5 --seconds "$seconds"
echo '```'
