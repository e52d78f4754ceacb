#!/usr/bin/env bash
# Measures assentd on this machine and prints Markdown tables, one for each section of docs/measured/performance.md.
#
#   tools/measure.sh                      everything, about half an hour
#   tools/measure.sh compare idle         these sections
#   tools/measure.sh --write              also put the tables into docs/measured/performance.md, and draw docs/images/*.svg
#   tools/measure.sh --seconds 1 --rounds 1 --scale 0.01     a rehearsal of all of it, in a few minutes
#
# Build first (tools/build.sh). Leave the machine alone while it runs: coordinator, participants and initiators share its cores.
set -euo pipefail
cd "$(dirname "$0")/.."
code=0
/usr/bin/python3 -B tools/measure/main.py "$@" || code=$?
for argument in "$@"; do
  if [[ $argument == --write && -e build/measured/in-flight.json ]]; then
    /usr/bin/python3 -B tools/measure/plot.py build/measured/in-flight.json docs/images
  fi
done
exit $code
