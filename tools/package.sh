#!/usr/bin/env bash
# Builds what is needed and makes the Debian packages of it: assentd, assentctl, libassent-dev.
#
#   tools/package.sh [FOLDER]     default: build/packages
#
# DEBFULLNAME and DEBEMAIL say who is named as their maintainer; without them it is an address that reaches nobody.
# SOURCE_DATE_EPOCH is the last commit's time unless it is given: the same commit makes the same packages.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0"; exit 0; fi
folder=$(realpath -m "${1:-build/packages}")

tools/build.sh release assent_packaged >&2
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
cpack --config build/release/CPackConfig.cmake -B "$folder" >&2
rm -rf "${folder:?}/_CPack_Packages"
ls "$folder"/*.deb
