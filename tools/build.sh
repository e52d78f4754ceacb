#!/usr/bin/env bash
# Installs what is missing, configures and builds.
#
#   tools/build.sh [PRESET] [TARGET…]     PRESET: release (default), dev, asan, tsan, tidy
#
# Executables: build/PRESET/bin. ASSENT_JOBS sets how many compilers run at once (default: one per processor, fewer when
# memory is short: a gRPC translation unit takes about 1 GB).
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0"; exit 0; fi
preset=${1:-release}
if (($#)); then shift; fi

if [[ $preset == tidy ]]; then tools/install-deps.sh --tidy; else tools/install-deps.sh; fi

jobs=${ASSENT_JOBS:-}
if [[ -z $jobs ]]; then
  jobs=$(nproc)
  memory_gb=$(($(awk '/^MemAvailable:/ {print $2}' /proc/meminfo 2>/dev/null || echo 4194304) / 1048576))
  ((jobs > memory_gb)) && jobs=$((memory_gb > 0 ? memory_gb : 1))
fi

echo "build: preset $preset, $jobs at a time" >&2
if ! log=$(cmake --preset "$preset" 2>&1); then
  printf '%s\n' "$log" >&2
  exit 1
fi
exec cmake --build "build/$preset" --parallel "$jobs" ${1:+--target "$@"}
