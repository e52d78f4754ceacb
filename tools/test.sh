#!/usr/bin/env bash
# Installs what is missing, builds and runs every test, the check of the formatting among them; ends with ctest's own
# summary and has its exit code.
#
#   tools/test.sh [OPTIONS] [arguments of ctest…]
#
#   --asan       build and test under AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer
#   --tsan       build and test under ThreadSanitizer (only what does not link gRPC)
#   --preset P   build and test another preset
#   --quick      only the tests labelled unit and tidy
#
# Examples: tools/test.sh -R log        tools/test.sh --asan -L unit        tools/test.sh -L crash --verbose
# ASSENT_JOBS sets how many compilers and how many tests run at once (default: one per processor).
set -euo pipefail
cd "$(dirname "$0")/.."

preset=release
selection=()
while (($#)); do
  case "$1" in
    --asan) preset=asan ;;
    --tsan) preset=tsan ;;
    --preset) preset=${2:?--preset needs a name}; shift ;;
    --quick) selection=(-L '^(unit|tidy)$') ;;
    -h | --help) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) break ;;
  esac
  shift
done

tools/build.sh "$preset"

exec ctest --test-dir "build/$preset" --output-on-failure --no-tests=error \
  --parallel "${ASSENT_JOBS:-$(nproc)}" "${selection[@]}" "$@" </dev/null
