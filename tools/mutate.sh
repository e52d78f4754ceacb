#!/usr/bin/env bash
# Plants small bugs in a copy of the tree, one at a time, and sees which tests notice: the tests of the tests.
#
#   tools/mutate.sh run --sample 40                 40 mutants of each part; hours
#   tools/mutate.sh run --part core                 all of one part; the better part of a day
#   tools/mutate.sh run --since main --part log     files that differ from main
#   tools/mutate.sh report build/mutate/results.jsonl    the table, and the survivors that nobody has judged
#   tools/mutate.sh judged                          does each judged survivor still apply?
#
# tools/mutate.sh run --help has the rest; CONTRIBUTING.md says what to do with a survivor.
set -euo pipefail
if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0"; exit 0; fi
exec /usr/bin/python3 -B "$(dirname "$0")/mutate/main.py" "$@"
