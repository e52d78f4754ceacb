#!/usr/bin/env bash
# Makes the code of the wire contract, assentv1/*.go, from ../../proto. Needs protoc and Go; the two generators are built
# from the versions that go.mod names.
set -euo pipefail
cd "$(dirname "$0")"
command -v protoc >/dev/null || { echo "generate.sh: protoc is missing: apt-get install protobuf-compiler" >&2; exit 1; }
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
go build -o "$tools/" google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
package=assent.example/sdk/assentv1
options=()
for file in ../../proto/assent/v1/*.proto; do
  options+=("--go_opt=Massent/v1/$(basename "$file")=$package" "--go-grpc_opt=Massent/v1/$(basename "$file")=$package")
done
PATH="$tools:$PATH" protoc -I ../../proto --go_out=. --go_opt=module=assent.example/sdk --go-grpc_out=. \
  --go-grpc_opt=module=assent.example/sdk "${options[@]}" ../../proto/assent/v1/*.proto
