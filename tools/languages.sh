# Where the toolchains of the SDKs are, and how those are put together. Sourced, from the top of the tree, by
# tools/test-languages.sh and tools/demo.sh; runs nothing by itself.
#
# LANGUAGE_missing   prints what keeps that SDK from being built here, in one line; nothing when there is nothing
# LANGUAGE_sdk       builds it; what goes wrong goes to standard error, and the exit status says so
# polyglot_build     the payment service in each language (examples/polyglot), into the folder $1
#
# Packages of a language come by its ordinary client, in the versions of its lock file.

# A registry that does not answer must not hold everything up, nor a compiler that has no memory.
language_patience=${ASSENT_LANGUAGE_PATIENCE:-600}

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

go_missing() {
  local go
  go=$(newest_go)
  if [[ -z $go ]]; then
    echo "no Go $(sed -n 's/^go //p' participant-sdk/go/go.mod) or later is here (Debian 12 has 1.19)"
  elif ! command -v protoc >/dev/null; then
    echo "protoc is not here (protobuf-compiler)"
  elif ! (cd participant-sdk/go && timeout "$language_patience" "$go" mod download); then
    echo "its modules cannot be fetched here"
  fi
}

go_sdk() {
  local go
  go=$(newest_go)
  (cd participant-sdk/go && PATH="$(dirname "$go"):$PATH" ./generate.sh)
}

python_missing() {
  /usr/bin/python3 -c "import grpc, google.protobuf" 2>/dev/null || echo "grpcio and protobuf are not here (tools/install-deps.sh)"
}

# Into the folder $1.
python_sdk() { /usr/bin/python3 -B participant-sdk/python/generate.py "$1"; }

node_missing() {
  local wanted
  wanted=$(sed -n 's/.*"node": ">=\([0-9]*\)".*/\1/p' participant-sdk/node/package.json)
  if ! command -v npm >/dev/null || (($(node -p 'process.versions.node.split(".")[0]') < wanted)); then
    echo "no Node $wanted or later with npm is here (Debian 12 has 18)"
  elif ! node_packages; then
    echo "its packages cannot be fetched, or better-sqlite3 not compiled, here"
  fi
}

# Kept until the lock file changes, in this clone and beside npm's own cache for all clones: where nobody offers
# better-sqlite3 as a binary for this Node it is compiled, which takes minutes.
node_packages() {
  local sdk=participant-sdk/node kept key
  cmp -s "$sdk/package-lock.json" "$sdk/node_modules/.installed-lock.json" && return
  key=$(cat "$sdk/package-lock.json" <(node -p 'process.platform + process.arch + process.versions.modules') | sha256sum | cut -c1-24)
  kept=${XDG_CACHE_HOME:-$HOME/.cache}/assent/node-$key.tar
  rm -rf "$sdk/node_modules"
  if [[ -f $kept ]] && tar -C "$sdk" -xf "$kept"; then return; fi
  rm -rf "$sdk/node_modules"
  (cd "$sdk" && timeout "$language_patience" npm ci --ignore-scripts --no-audit --no-fund &&
    timeout "$language_patience" npm rebuild better-sqlite3 --no-audit --no-fund) >&2 || return 1
  cp "$sdk/package-lock.json" "$sdk/node_modules/.installed-lock.json"
  # Another run that does the same at this moment must not read half of it. Without a cache it is as good, but slower.
  mkdir -p "$(dirname "$kept")" 2>/dev/null && tar -C "$sdk" -cf "$kept.$$" node_modules 2>/dev/null && mv "$kept.$$" "$kept" ||
    rm -f "$kept.$$"
}

node_sdk() { (cd participant-sdk/node && npm run --silent build); }

maven=(mvn -B -q -f participant-sdk/java/pom.xml)
# For java -cp of what is built on the SDK: by the version that is in no pom, since no build of the SDK needs it.
java_classpath_goal=org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath

java_missing() {
  local wanted
  wanted=$(sed -n 's/.*<maven.compiler.release>\([0-9]*\)<.*/\1/p' participant-sdk/java/pom.xml)
  if ! command -v mvn >/dev/null || ! command -v javac >/dev/null ||
    (($(javac -version 2>&1 | sed -n 's/^javac \([0-9]*\).*/\1/p') < wanted)); then
    echo "no JDK $wanted or later with Maven is here (openjdk-17-jdk-headless and maven)"
  fi
}

java_sdk() { timeout "$language_patience" "${maven[@]}" compile >&2; }

polyglot_missing() {
  local language why
  for language in go java python node; do
    why=$("${language}_missing")
    [[ -z $why ]] || echo "$language: $why"
  done
}

polyglot_build() {
  local built go
  mkdir -p "$1"/{go,java,node}
  built=$(cd "$1" && pwd)
  go=$(newest_go)
  echo "polyglot: building for Go" >&2
  go_sdk && (cd examples/polyglot/go && "$go" build -o "$built/go/payment" .) || return 1
  echo "polyglot: building for Java" >&2
  java_sdk && timeout "$language_patience" "${maven[@]}" "$java_classpath_goal" -Dmdep.includeScope=test \
    -Dmdep.outputFile="$built/java/libraries" >&2 || return 1
  echo "$built/java:$PWD/participant-sdk/java/target/classes:$(cat "$built/java/libraries")" >"$built/java/classpath"
  javac -d "$built/java" -cp "$(cat "$built/java/classpath")" examples/polyglot/java/Payment.java || return 1
  echo "polyglot: building for Python and Node" >&2
  rm -rf "$built/python" && python_sdk "$built/python" || return 1
  node_sdk || return 1
  mkdir -p "$built/node/node_modules"
  ln -sfn "$PWD/participant-sdk/node" "$built/node/node_modules/assent-sdk"
  cp examples/polyglot/node/payment.mjs "$built/node/"
}
