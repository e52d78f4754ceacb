#!/usr/bin/env bash
# Installs the SDK into an empty prefix, moves the prefix, and uses it as an outsider would: through CMake, through
# pkg-config, and header by header.
#
#   run.sh BUILD_DIR SOURCE_DIR CXX
set -euo pipefail
build=$1 source=$2 cxx=$3
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/moved

step() { echo "install: $*"; }
fail() { echo "install: FAILED: $*" >&2; exit 1; }
outside() { env -u ASSENT_SOURCE_DIR -u ASSENT_BIN_DIR "$@"; }

step "install into an empty prefix, and move it"
cmake --install "$build" --prefix "$work/first" --component sdk >"$work/log" || { cat "$work/log"; fail "cmake --install"; }
mv "$work/first" "$prefix"
libdir=$(dirname "$(find "$prefix" -name libassent_sdk.a)")
[[ -f $libdir/libassent_sdk.a ]] || fail "no libassent_sdk.a in $prefix"

step "nothing installed names this clone"
# Archives hold debug information with relative paths only; the rest is text.
if grep -rlF -e "$source" -e "$build" "$prefix"; then fail "the files above name $source"; fi

step "each public header stands alone, without a warning, with the standard library and its database only"
count=0
while read -r header; do
  [[ $header == *mock_* ]] && continue # needs GoogleMock, which the package does not ask for
  echo "#include <assent/$header>" >"$work/one.cc"
  "$cxx" -std=c++20 -fsyntax-only -Wall -Wextra -Wpedantic -Wshadow -Werror -I "$prefix/include" "$work/one.cc" ||
    fail "assent/$header does not stand alone"
  "$cxx" -std=c++20 -M -I "$prefix/include" "$work/one.cc" | tr ' \\' '\n\n' >"$work/included"
  if grep -E '/(grpc|grpcpp|google|absl)/' "$work/included"; then fail "assent/$header shows the headers above"; fi
  count=$((count + 1))
done < <(cd "$prefix/include/assent" && find . -name '*.h' | sed 's|^\./||' | sort)
((count >= 5)) || fail "only $count headers installed"
echo "install: $count headers"

step "find_package(assent)"
outside cmake -S "$here/consumer" -B "$work/cmake" -G Ninja -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_PREFIX_PATH="$prefix" >"$work/log" 2>&1 || { cat "$work/log"; fail "configure"; }
outside cmake --build "$work/cmake" >"$work/log" 2>&1 || { cat "$work/log"; fail "build"; }
"$work/cmake/consumer" | tee "$work/output"
grep -qx 'committed, stock 9' "$work/output" || fail "the consumer said something else"

step "pkg-config assent"
export PKG_CONFIG_PATH=$libdir/pkgconfig
# The flags are words: no quotes.
# shellcheck disable=SC2046
"$cxx" -std=c++20 "$here/consumer/main.cc" $(pkg-config --cflags --libs assent) -o "$work/consumer"
"$work/consumer" | grep -qx 'committed, stock 9' || fail "the consumer built with pkg-config said something else"

step "a version that is not there is refused"
sed 's/find_package(assent 0.1/find_package(assent 9.0/' "$here/consumer/CMakeLists.txt" >"$work/CMakeLists.txt"
mkdir "$work/wrong" && mv "$work/CMakeLists.txt" "$work/wrong/" && cp "$here/consumer/main.cc" "$work/wrong/"
if outside cmake -S "$work/wrong" -B "$work/wrong/build" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" >"$work/log" 2>&1; then
  fail "find_package(assent 9.0) found 0.1"
fi
grep -q 'version: 0.1.0' "$work/log" || { cat "$work/log"; fail "refused for another reason"; }

echo "install: as it should be"
