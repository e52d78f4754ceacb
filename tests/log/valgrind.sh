#!/usr/bin/env bash
# Runs a test under valgrind: no invalid or uninitialised access, nothing lost. Exit code 77 (skipped) where it cannot be.
set -euo pipefail
if [[ ${1:-} == --skip ]]; then echo "skipped: $2"; exit 77; fi
if ! command -v valgrind >/dev/null; then
  echo "skipped: valgrind is not installed (tools/install-deps.sh brings it)"
  exit 77
fi
exec valgrind --quiet --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite --track-origins=yes \
  --num-callers=30 "$@"
