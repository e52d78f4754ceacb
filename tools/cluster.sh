#!/usr/bin/env bash
# Several coordinators that share a PostgreSQL, on this machine alone. Builds what is needed first.
#
#   tools/cluster.sh [arguments of assent-demo…]   the shop's demonstration through three coordinators; one is killed
#                                                  in the middle, again and again; ends with the books
#   tools/cluster.sh up [PORT]                     PostgreSQL and three coordinators on ports 7400 to 7402 (or PORT and the
#                                                  two behind it), until Ctrl-C
#
# PostgreSQL runs in a folder of its own that goes with it; nothing that is installed on this machine is touched.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0"; exit 0; fi

tools/build.sh release assentd assentctl assent-demo >&2
bin=$PWD/build/release/bin

postgresql=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -n | tail -1 || true)
[[ -n $postgresql ]] || postgresql=$(dirname "$(command -v initdb)")

folder=$(mktemp -d "${TMPDIR:-/tmp}/assent-cluster-XXXXXX")
# A server of PostgreSQL does not run as root: the user of its package does it then.
as_server=()
if [[ $(id -u) == 0 ]]; then
  chown postgres "$folder"
  as_server=(setpriv --reuid=postgres --regid=postgres --init-groups)
fi
coordinators=()
cleanup() {
  trap - EXIT
  ((${#coordinators[@]} == 0)) || kill "${coordinators[@]}" 2>/dev/null || true
  wait "${coordinators[@]}" 2>/dev/null || true
  "${as_server[@]}" "$postgresql/pg_ctl" -D "$folder/data" -m immediate stop >/dev/null 2>&1 || true
  rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port)
cd "$folder"
"${as_server[@]}" "$postgresql/initdb" -D data -U assent -A trust --no-locale -E UTF8 >/dev/null
cat >>data/postgresql.conf <<SETTINGS
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$folder'
SETTINGS
"${as_server[@]}" "$postgresql/pg_ctl" -D data -l "$folder/postgresql.log" -w start >/dev/null ||
  { cat postgresql.log >&2; exit 1; }
"${as_server[@]}" "$postgresql/createdb" -h 127.0.0.1 -p "$port" -U assent assent
log=postgresql://assent@127.0.0.1:$port/assent

if [[ "${1:-}" != up ]]; then
  # Not exec: the folder goes when it has ended.
  "$bin/assent-demo" --log "$log" "$@"
  exit
fi

first=${2:-7400}
endpoints=("127.0.0.1:$first" "127.0.0.1:$((first + 1))" "127.0.0.1:$((first + 2))")
for endpoint in "${endpoints[@]}"; do
  "$bin/assentd" --log "$log" --http-listen none --listen "$endpoint" >"card-$endpoint" 2>"log-$endpoint" &
  coordinators+=($!)
done

# Each prints its card once it serves.
for i in 0 1 2; do
  until grep -q '^ *see ' "card-${endpoints[i]}"; do
    if ! kill -0 "${coordinators[i]}" 2>/dev/null; then
      echo "cluster.sh: the coordinator on ${endpoints[i]} does not start:" >&2
      cat "log-${endpoints[i]}" >&2
      exit 1
    fi
    sleep 0.1
  done
done
all=$(IFS=,; echo "${endpoints[*]}")
echo "PostgreSQL     $log"
echo "coordinators   ${endpoints[*]} (logs in $folder)"
echo "see            $bin/assentctl --endpoint $all cluster"
echo "Ctrl-C stops all of it. Kill one, and see what becomes of it."
while wait -n -p ended "${coordinators[@]}"; status=$?; [[ -n ${ended:-} ]]; do
  for i in 0 1 2; do
    [[ ${coordinators[i]:-} == "$ended" ]] || continue
    echo "the coordinator on ${endpoints[i]} has ended with $status; start it again: $bin/assentd --log $log --http-listen none --listen ${endpoints[i]}"
    unset 'coordinators[i]'
  done
  ((${#coordinators[@]} > 0)) || exit 1
done
