#!/usr/bin/env bash
# Builds what the demonstration needs and runs it: an order, an inventory and a payment service, each with its own
# database, through commits, refusals and crashes in every protocol; then the books are checked.
#
#   tools/demo.sh --secure         the same over mutual TLS, a certificate for each program, and what is refused
#   tools/demo.sh --polyglot       one order through payment services in Go, Java, Python, Node and C++; it needs their
#                                  toolchains, and says which is missing (examples/polyglot)
#   tools/demo.sh [arguments of assent-demo…]     see tools/demo.sh --help for those
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ ${1:-} == --polyglot ]]; then
  shift
  source tools/languages.sh
  echo "demo: looking for the toolchains, and fetching what the languages want (minutes, the first time)" >&2
  missing=$(polyglot_missing)
  if [[ -n $missing ]]; then
    echo "demo: five languages need their toolchains, and here is missing:" >&2
    sed 's/^/  /' <<<"$missing" >&2
    exit 3
  fi
  if [[ -z ${ASSENT_BIN_DIR:-} ]]; then
    tools/build.sh release assentd assent-demo-payment >&2
    ASSENT_BIN_DIR=$PWD/build/release/bin
  fi
  polyglot_build build/polyglot >&2
  PYTHONPATH=build/polyglot/python exec /usr/bin/python3 -B examples/polyglot/demo.py \
    --programs "$ASSENT_BIN_DIR" --built "$PWD/build/polyglot" "$@"
fi

tools/build.sh release assent-demo >&2
exec build/release/bin/assent-demo "$@"
