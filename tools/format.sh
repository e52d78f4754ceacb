#!/usr/bin/env bash
# Lays out the C++ files of the repository with clang-format 14.
#
#   tools/format.sh                  rewrite
#   tools/format.sh --check          change nothing; print what differs and exit 1 when anything does
#   tools/format.sh [--check] FILE…  only these files
#
# Exit code 77 ("skipped" to ctest): there is no clang-format 14 here.
set -euo pipefail
cd "$(dirname "$0")/.."

check=no
if [[ "${1:-}" == --check ]]; then check=yes; shift; fi
if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0"; exit 0; fi

formatter=
for candidate in clang-format-14 clang-format; do
  if command -v "$candidate" >/dev/null && "$candidate" --version | grep -q 'version 14\.'; then
    formatter=$candidate
    break
  fi
done
if [[ -z $formatter ]]; then
  echo "format: clang-format 14 not found (other versions lay code out differently); see tools/install-deps.sh" >&2
  exit 77
fi

if (($#)); then
  files=("$@")
else
  # What git tracks, and what is new and not ignored.
  mapfile -t files < <(git ls-files --cached --others --exclude-standard -- '*.h' '*.cc' | sort -u)
fi
existing=()
for file in "${files[@]}"; do [[ -f $file ]] && existing+=("$file"); done
((${#existing[@]})) || exit 0

if [[ $check == no ]]; then
  printf '%s\0' "${existing[@]}" | xargs -0 "$formatter" -i
  exit 0
fi
if printf '%s\0' "${existing[@]}" | xargs -0 "$formatter" --dry-run --Werror --ferror-limit=1; then
  echo "format: ${#existing[@]} files as they should be"
else
  echo "format: run tools/format.sh" >&2
  exit 1
fi
