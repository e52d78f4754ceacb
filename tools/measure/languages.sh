#!/usr/bin/env bash
# The program that tools/measure/languages.py measures a language by (participant-sdk/LANGUAGE/bench), as FOLDER/LANGUAGE.
#
#   languages.sh go FOLDER      exit code 3, and why in a line, when there is no toolchain for it here
set -euo pipefail
cd "$(dirname "$0")/../.."
source tools/languages.sh
language=$1
mkdir -p "$2"
built=$(cd "$2" && pwd)
why=$("${language}_missing")
if [[ -n $why ]]; then
  echo "$why"
  exit 3
fi

# program WORDS…: what runs it.
program() {
  printf '#!/bin/sh\nexec %s "$@"\n' "$*" >"$built/$language"
  chmod +x "$built/$language"
}

case $language in
  go)
    go_sdk
    go=$(newest_go)
    (cd participant-sdk/go && "$go" build -o "$built/go" ./bench)
    ;;
  java)
    java_sdk
    timeout "$language_patience" "${maven[@]}" "$java_classpath_goal" -Dmdep.outputFile="$built/java-libraries" >&2
    classpath="$built/java-classes:$PWD/participant-sdk/java/target/classes:$(cat "$built/java-libraries")"
    javac -d "$built/java-classes" -cp "$classpath" participant-sdk/java/bench/Bench.java
    program java -Xmx512m -cp "'$classpath'" Bench
    ;;
  python)
    rm -rf "$built/python-sdk"
    python_sdk "$built/python-sdk"
    program env "PYTHONPATH='$built/python-sdk'" /usr/bin/python3 -B "'$PWD/participant-sdk/python/bench/bench.py'"
    ;;
  node)
    node_sdk
    mkdir -p "$built/node-program/node_modules/@grpc"
    ln -sfn "$PWD/participant-sdk/node" "$built/node-program/node_modules/assent-sdk"
    ln -sfn "$PWD/participant-sdk/node/node_modules/@grpc/grpc-js" "$built/node-program/node_modules/@grpc/grpc-js"
    cp participant-sdk/node/bench/bench.mjs "$built/node-program/"
    program node "'$built/node-program/bench.mjs'"
    ;;
esac
