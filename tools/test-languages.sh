#!/usr/bin/env bash
# Tests the SDKs of other languages than C++ against the built coordinator, each with its own runner, and says at the end
# what was left out, and why.
#
#   tools/test-languages.sh             all that this machine has a toolchain for
#   tools/test-languages.sh go node     these
#   tools/test-languages.sh --short     of Node and Java without the suites that kill servers and services for minutes
#
# Needs tools/build.sh first. Packages of a language come by its ordinary client, in the versions of its lock file.
set -euo pipefail
cd "$(dirname "$0")/.."
export ASSENT_BIN_DIR=${ASSENT_BIN_DIR:-$PWD/build/release/bin}
[[ -x $ASSENT_BIN_DIR/assentd ]] || { echo "test-languages: there is no assentd in $ASSENT_BIN_DIR: tools/build.sh first" >&2; exit 1; }

short=
if [[ ${1:-} == --short ]]; then
  short=1
  shift
fi

tested=()
skipped=()
failed=()

# Of the version that go.mod names, or a later one.
newest_go() {
  local wanted go
  wanted=$(sed -n 's/^go //p' participant-sdk/go/go.mod)
  for go in "$(command -v go || true)" /usr/local/go/bin/go; do
    [[ -x $go ]] || continue
    if printf '%s\n%s\n' "$wanted" "$(GOTOOLCHAIN=local "$go" env GOVERSION | sed 's/^go//')" | sort -C -V; then
      echo "$go"
      return
    fi
  done
}

test_go() {
  local go
  go=$(newest_go)
  if [[ -z $go ]]; then
    skipped+=("go: no Go $(sed -n 's/^go //p' participant-sdk/go/go.mod) or later is here (Debian 12 has 1.19)")
    return
  fi
  if ! (cd participant-sdk/go && "$go" mod download); then
    skipped+=("go: its modules cannot be fetched here")
    return
  fi
  if (cd participant-sdk/go && export PATH="$(dirname "$go"):$PATH" && ./generate.sh && go vet ./... && go test -count=1 ./...); then
    tested+=("go")
  else
    failed+=("go")
  fi
}

# By the distribution's grpcio and protobuf: its tests are among those of tools/test.sh, and say what they skip.
test_python() {
  if ! /usr/bin/python3 -c "import grpc, google.protobuf" 2>/dev/null; then
    skipped+=("python: grpcio and protobuf are not here (tools/install-deps.sh)")
    return
  fi
  local test
  for test in tests/sdk_python/*_test.py; do
    if ! /usr/bin/python3 -B "$test"; then
      failed+=("python: $test")
      return
    fi
  done
  tested+=("python")
}

# node_modules is kept until the lock file changes: better-sqlite3 may have to be compiled for it, which takes minutes.
test_node() {
  local wanted
  wanted=$(sed -n 's/.*"node": ">=\([0-9]*\)".*/\1/p' participant-sdk/node/package.json)
  if ! command -v npm >/dev/null || (($(node -p 'process.versions.node.split(".")[0]') < wanted)); then
    skipped+=("node: no Node $wanted or later with npm is here (Debian 12 has 18)")
    return
  fi
  if ! (cd participant-sdk/node && { cmp -s package-lock.json node_modules/.installed-lock.json ||
      { npm ci --no-audit --no-fund && cp package-lock.json node_modules/.installed-lock.json; }; }); then
    skipped+=("node: its packages cannot be fetched, or better-sqlite3 not compiled, here")
    return
  fi
  local suite=(npm test)
  [[ -z $short ]] || suite=(node --test test/{rules,types,testkit,readme,tls,contract}.test.mjs)
  if (cd participant-sdk/node && npm run build && "${suite[@]}"); then
    tested+=("node${short:+ (short)}")
  else
    failed+=("node")
  fi
}

# Maven keeps what it has fetched in the user's local repository; every version is in pom.xml.
test_java() {
  local wanted
  wanted=$(sed -n 's/.*<maven.compiler.release>\([0-9]*\)<.*/\1/p' participant-sdk/java/pom.xml)
  if ! command -v mvn >/dev/null || ! command -v javac >/dev/null ||
    (($(javac -version 2>&1 | sed -n 's/^javac \([0-9]*\).*/\1/p') < wanted)); then
    skipped+=("java: no JDK $wanted or later with Maven is here (openjdk-17-jdk-headless and maven)")
    return
  fi
  local mvn=(mvn -B -q -f participant-sdk/java/pom.xml) log
  log=$(mktemp)
  # All that it takes is fetched by this: the runner of tests comes with the first that is run.
  if ! "${mvn[@]}" test-compile surefire:test -Dtest=RulesTest 2>&1 | tee "$log"; then
    if grep -qE 'Could not (resolve|transfer|find)' "$log"; then
      skipped+=("java: its packages cannot be fetched here")
    else
      failed+=("java")
    fi
  elif "${mvn[@]}" test ${short:+-Dtest='RulesTest,BarrierRulesTest,TestKitTest,ReadmeTest,SecurityTest,ContractTest'}; then
    tested+=("java${short:+ (short)}")
  else
    failed+=("java")
  fi
  rm -f "$log"
}

languages=("$@")
# Those of Python are among what tools/test.sh runs.
((${#languages[@]})) || languages=(go node java)
for language in "${languages[@]}"; do
  declare -F "test_$language" >/dev/null || { echo "test-languages: no SDK for $language" >&2; exit 2; }
  "test_$language"
done

echo "languages tested: ${tested[*]:-none}"
for line in "${skipped[@]}"; do echo "skipped: $line"; done
((${#failed[@]} == 0)) || { echo "languages that failed: ${failed[*]}" >&2; exit 1; }
