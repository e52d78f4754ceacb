#!/usr/bin/env bash
# Tests the SDKs of other languages than C++ against the built coordinator, each with its own runner; and the demonstration
# that runs through all of them. Says at the end what was tested, in how many seconds, and what was left out, and why.
#
#   tools/test-languages.sh             all that this machine has a toolchain for
#   tools/test-languages.sh go node     these: go, java, python, node, polyglot
#   tools/test-languages.sh --short     without the suites that kill servers and services for minutes, and without Spring Boot
#
# Needs tools/build.sh first. Where toolchains are looked for, and how packages come: tools/languages.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
export ASSENT_BIN_DIR=${ASSENT_BIN_DIR:-$PWD/build/release/bin}
[[ -x $ASSENT_BIN_DIR/assentd ]] || { echo "test-languages: there is no assentd in $ASSENT_BIN_DIR: tools/build.sh first" >&2; exit 1; }
source tools/languages.sh

short=
if [[ ${1:-} == --short ]]; then
  short=1
  shift
fi

# A suite that hangs must not hold up the others. None takes half of it on two processors that others use, too.
suite_patience=${ASSENT_SUITE_PATIENCE:-1800}

tested=()
skipped=()
failed=()

# suite NAME COMMAND…: runs it, and notes what came of it.
suite() {
  local name=$1 began=$SECONDS ended=0
  shift
  echo "---- $name" >&2
  timeout --kill-after=20 "$suite_patience" "$@" </dev/null || ended=$?
  if ((ended == 0)); then
    tested+=("$name ($((SECONDS - began)) s)")
  elif ((ended == 124 || ended == 137)); then
    failed+=("$name: it did not end within $suite_patience s")
  else
    failed+=("$name")
  fi
}

# ready LANGUAGE: whether it can be tested here. Why not is noted.
ready() {
  local why line
  why=$("$1_missing") || true
  [[ -z $why ]] && return
  while read -r line; do skipped+=("$1: $line"); done <<<"$why"
  return 1
}

test_go() {
  ready go || return 0
  go_sdk || { failed+=("go: its code cannot be made"); return 0; }
  PATH="$(dirname "$(newest_go)"):$PATH" suite "go${short:+, short}" bash -c \
    "cd participant-sdk/go && go vet ./... && go test -count=1 -timeout=25m ${short:+-short} ./..."
}

# By the distribution's grpcio and protobuf: its tests are among those of tools/test.sh, and say what they skip.
test_python() {
  ready python || return 0
  local test
  for test in tests/sdk_python/*_test.py; do
    suite "python, $(basename "$test" _test.py)" /usr/bin/python3 -B "$test"
  done
}

test_node() {
  ready node || return 0
  node_sdk || { failed+=("node: it cannot be built"); return 0; }
  local words="npm test"
  [[ -z $short ]] || words="node --test test/{rules,types,testkit,readme,why,tls,contract}.test.mjs"
  suite "node${short:+, short}" bash -c "cd participant-sdk/node && $words"
  test_express
}

# A participant over HTTP, on the SDK as it stands beside it.
test_express() {
  if ! (cd examples/http/express && npm ci --no-audit --no-fund); then
    skipped+=("express: its packages cannot be fetched here")
    return 0
  fi
  suite "express" bash -c "cd examples/http/express && node --test --test-timeout=600000 test.mjs"
}

test_java() {
  ready java || return 0
  local log
  log=$(mktemp)
  # All that it takes is fetched by this: the runner of tests comes with the first that is run.
  if timeout "$language_patience" "${maven[@]}" test-compile surefire:test -Dtest=RulesTest </dev/null 2>&1 | tee "$log"; then
    suite "java${short:+, short}" "${maven[@]}" test \
      ${short:+-Dtest='RulesTest,BarrierRulesTest,TestKitTest,ReadmeTest,WhyTest,SecurityTest,ContractTest'}
    [[ -n $short ]] || test_spring
  elif grep -qE 'Could not (resolve|transfer|find)' "$log"; then
    skipped+=("java: its packages cannot be fetched here")
  else
    failed+=("java: it cannot be built")
  fi
  rm -f "$log"
}

# The starter of Spring Boot, on the SDK as it stands beside it.
test_spring() {
  local log spring=(mvn -B -q -f participant-sdk/java/spring-boot/pom.xml)
  log=$(mktemp)
  if timeout "$language_patience" "${maven[@]}" install -DskipTests </dev/null >&2 &&
    timeout "$language_patience" "${spring[@]}" test -Dtest='AssentAutoConfigurationTest#withoutActions*' </dev/null 2>&1 | tee "$log"; then
    suite "spring boot" "${spring[@]}" test
  elif grep -qE 'Could not (resolve|transfer|find)' "$log"; then
    skipped+=("spring boot: its packages cannot be fetched here")
  else
    failed+=("spring boot: it cannot be built")
  fi
  rm -f "$log"
}

# examples/polyglot: an order through all of them.
test_polyglot() {
  ready polyglot || return 0
  suite polyglot /usr/bin/python3 -B tests/polyglot/demo_test.py
  suite "polyglot, outbox" /usr/bin/python3 -B tests/polyglot/outbox_test.py
}

languages=("$@")
# Those of Python are among what tools/test.sh runs.
((${#languages[@]})) || languages=(go node java polyglot)
for language in "${languages[@]}"; do
  declare -F "test_$language" >/dev/null || { echo "test-languages: no SDK for $language" >&2; exit 2; }
  "test_$language"
done

echo "languages, tested in $SECONDS s:"
for line in "${tested[@]}"; do echo "  tested   $line"; done
for line in "${skipped[@]}"; do echo "  skipped  $line"; done
for line in "${failed[@]}"; do echo "  FAILED   $line"; done
((${#failed[@]} == 0))
