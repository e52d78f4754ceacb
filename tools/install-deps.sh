#!/usr/bin/env bash
# Installs what building and testing Assent needs, from the distribution alone (Debian 12, Ubuntu 24.04).
#
#   tools/install-deps.sh            install what is missing; does nothing, and needs no root, when all is there
#   tools/install-deps.sh --tidy     also clang-tidy, for the preset `tidy`
#   tools/install-deps.sh --fuzz     also clang's run-time libraries (libFuzzer), for tools/fuzz.sh
#   tools/install-deps.sh --list     print the package names
#   tools/install-deps.sh --missing  print those that are not installed; exit code 1 when there are any
set -euo pipefail

packages=(
  # Build.
  cmake ninja-build g++ ccache lld pkg-config git
  # Libraries. gRPC's development package brings what its CMake package looks for (absl, c-ares, re2, OpenSSL).
  libgrpc++-dev libgrpc-dev libc-ares-dev libabsl-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc
  libsqlite3-dev libpq-dev libmariadb-dev libspdlog-dev libcli11-dev nlohmann-json3-dev libtomlplusplus-dev libjemalloc-dev libboost-dev libssl-dev libcurl4-openssl-dev prometheus-cpp-dev
  # Tests.
  libgtest-dev libgmock-dev libbenchmark-dev python3 python3-grpcio python3-protobuf python3-yaml python3-hypothesis python3-jsonschema curl sqlite3 postgresql pgbouncer strace procps spin openssl
  valgrind clang
  # Completion in real shells; manual pages.
  zsh bash-completion man-db mandoc
  # Packages, looked at.
  dpkg-dev lintian systemd
  # The tests start servers of their own, on ports and folders of their own; what these bring up as services is not used.
  patroni etcd-server prometheus
  # The Python SDK, with the databases that it has adapters for.
  python3-psycopg python3-psycopg2 python3-pymysql mariadb-server-core mariadb-client-core python3-pip python3-setuptools python3-wheel
  # A participant over HTTP in Flask; Apache before one, for HTTP/2 (without the service).
  python3-flask apache2-bin
  # A server of the DNS (without the service).
  dnsmasq-base
  # The console is looked at in a browser without a screen.
  chromium chromium-driver python3-selenium fonts-dejavu-core
)
# The code is laid out by version 14: Debian 12 calls it clang-format, newer releases keep it under its number.
if [[ "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" == bookworm ]]; then
  packages+=(clang-format)
else
  packages+=(clang-format-14)
fi

mode=install
for argument in "$@"; do
  case "$argument" in
    --tidy) packages+=(clang-tidy) ;;
    # Of the version that `clang` is here.
    --fuzz)
      version=$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p')
      packages+=("libclang-rt-${version:-14}-dev")
      ;;
    --list) mode=list ;;
    --missing) mode=missing ;;
    -h | --help) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) echo "install-deps: unknown argument '$argument' (try --help)" >&2; exit 2 ;;
  esac
done

if [[ $mode == list ]]; then
  printf '%s\n' "${packages[@]}"
  exit 0
fi

if ! command -v dpkg-query >/dev/null; then
  echo "install-deps: this is not Debian or Ubuntu; install by hand what 'tools/install-deps.sh --list' prints" >&2
  exit 1
fi

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ $status == installed ]] || missing+=("$package")
done

if [[ $mode == missing ]]; then
  ((${#missing[@]})) || exit 0
  printf '%s\n' "${missing[@]}"
  exit 1
fi
((${#missing[@]})) || exit 0

as_root=()
if [[ $(id -u) != 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo "install-deps: missing: ${missing[*]}" >&2
    echo "install-deps: run this script as root, or install sudo" >&2
    exit 1
  fi
  as_root=(sudo)
fi

echo "install-deps: installing ${missing[*]}" >&2
apt_install() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends "$@" "${missing[@]}" </dev/null >&2
}
apt_update() { "${as_root[@]}" apt-get update -q </dev/null >&2; }
# The package lists may be absent, which a simulation shows, or stale, which the download does: refresh them only then.
apt_install --simulate >/dev/null 2>&1 || apt_update
apt_install || { apt_update && apt_install; }
