#!/usr/bin/env bash
# Builds what the demonstration needs and runs it: an order, an inventory and a payment service, each with its own
# database, through commits, refusals and crashes in every protocol; then the books are checked.
#
#   tools/demo.sh --secure         the same over mutual TLS, a certificate for each program, and what is refused
#   tools/demo.sh [arguments of assent-demo…]     see tools/demo.sh --help for those
set -euo pipefail
cd "$(dirname "$0")/.."

tools/build.sh release assent-demo >&2
exec build/release/bin/assent-demo "$@"
