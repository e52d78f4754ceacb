#!/usr/bin/env bash
# Fuzzes one target of tests/fuzz with clang's libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer.
#
#   tools/fuzz.sh TARGET [SECONDS] [more of libFuzzer's options]   default 60 seconds
#   tools/fuzz.sh --list             the targets
#   tools/fuzz.sh --merge TARGET [FOLDER...]
#                                    keeps of what was found (there, too) a small set that covers the same code: rewrites
#                                    tests/fuzz/corpus/TARGET, but for files whose names have a dash (bug-*, seed-*)
#   tools/fuzz.sh --coverage TARGET  what the target's corpus covers: features and edges
#
# New inputs gather in build/fuzz/corpus/TARGET, those that fail in build/fuzz/findings. To see one fail again:
# build/fuzz/bin/fuzz-TARGET FILE. First seeds, from runs of a real shard: build/fuzz/bin/fuzz-seeds FOLDER. Needs clang and its run-time libraries: tools/install-deps.sh --fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."

targets() { sed -n 's/^assent_fuzz_target(\([a-z_]*\).*/\1/p' tests/fuzz/CMakeLists.txt; }
usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0"; }

mode=run
case "${1:-}" in
  --list) targets; exit 0 ;;
  --merge) mode=merge; shift ;;
  --coverage) mode=coverage; shift ;;
  -h | --help) usage; exit 0 ;;
esac
target=${1:-}
if ! targets | grep -qxF -- "$target"; then
  echo "fuzz: '$target' is no target; there are: $(targets | tr '\n' ' ')" >&2
  exit 2
fi
shift

tools/install-deps.sh --fuzz
[[ -f build/fuzz/build.ninja ]] || cmake --preset fuzz >/dev/null
cmake --build build/fuzz --target "fuzz-$target" -- ${ASSENT_JOBS:+-j "$ASSENT_JOBS"} >&2

program=build/fuzz/bin/fuzz-$target
checked_in=tests/fuzz/corpus/$target
found=build/fuzz/corpus/$target
mkdir -p "$found" build/fuzz/findings
# Some inputs are made of words that nobody would guess.
dictionary=()
[[ -f tests/fuzz/dictionaries/$target ]] && dictionary=("-dict=tests/fuzz/dictionaries/$target")
# Without the entropic schedule: its book-keeping took two thirds of the time. A minute per input, because of busy machines.
common=(-entropic=0 -timeout=60 -rss_limit_mb=2048 -max_len=4096 -artifact_prefix="build/fuzz/findings/$target-" "${dictionary[@]}")

case $mode in
  run)
    seconds=60
    if [[ "${1:-}" =~ ^[0-9]+$ ]]; then seconds=$1; shift; fi
    exec nice -n 19 "$program" "${common[@]}" -max_total_time="$seconds" -print_final_stats=1 "$@" "$found" "$checked_in"
    ;;
  merge)
    kept=$(mktemp -d)
    trap 'rm -rf "$kept"' EXIT
    nice -n 19 "$program" "${common[@]}" -set_cover_merge=1 -use_counters=0 "$kept" "$checked_in" "$found" "$@"
    find "$checked_in" -type f ! -name '*-*' -delete
    for file in "$kept"/*; do
      # The same bytes may be there under a better name.
      same=
      for named in "$checked_in"/*-*; do
        ! cmp -s "$file" "$named" || same=yes
      done
      name=$(basename "$file")
      [[ -n $same ]] || cp "$file" "$checked_in/${name:0:12}"
    done
    du -sh "$checked_in"
    ;;
  coverage)
    "$program" "${common[@]}" -runs=0 "$checked_in" 2>&1 | grep -E 'INITED|cov:' | tail -1
    ;;
esac
