#!/usr/bin/env bash
# Installs the packages in a fresh, minimal Debian 12, boots it (systemd-nspawn), and looks: the service is up, hardened as its
# unit says, and answers; a participant that was compiled there against libassent-dev works; a kill is followed by a
# restart, wrong settings are not; the log outlives a purge. As root, with debootstrap and systemd-container, and a mirror of
# Debian that apt reaches. Some minutes.
#
#   tools/packaging/test_install.sh [FOLDER WITH PACKAGES]     default: what tools/package.sh makes
#
# The minimal Debian stays in build/bookworm for the next time.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0"; exit 0; fi
step() { echo "test_install: $*" >&2; }
for program in debootstrap systemd-nspawn; do
  command -v "$program" >/dev/null || { step "there is no $program: apt-get install debootstrap systemd-container"; exit 77; }
done
packages=${1:-}
if [[ -z $packages ]]; then
  packages=build/packages
  tools/package.sh "$packages" >&2
fi
packages=$(realpath "$packages")

base=$PWD/build/bookworm
if [[ ! -e $base/made ]]; then
  step "a minimal Debian 12, into $base"
  rm -rf "$base"
  mkdir -p "$base"
  debootstrap --variant=minbase bookworm "$base/root" >"$base/log" 2>&1 || { tail -20 "$base/log" >&2; exit 1; }
  touch "$base/made"
fi

work=$(mktemp -d /var/tmp/assent-install-XXXXXX)
trap 'rm -rf "$work"' EXIT
root=$work/root
cp -a "$base/root" "$root"
cp /etc/resolv.conf "$root/etc/resolv.conf"
mkdir "$root/packages" "$root/consumer"
cp "$packages"/*.deb "$root/packages"
cp examples/minimal/main.cc "$root/consumer/main.cc"
cp tests/install/consumer/CMakeLists.txt "$root/consumer/CMakeLists.txt"
cp tools/packaging/in_container.sh "$root/in_container.sh"
inside() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"; }

step "installing the packages with apt"
inside apt-get update -q >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
inside sh -c 'apt-get install -y -q --no-install-recommends systemd systemd-sysv g++ cmake make pkg-config /packages/*.deb' \
  >"$work/log" 2>&1 || { tail -30 "$work/log" >&2; exit 1; }

step "compiling a participant against libassent-dev"
inside sh -ec 'cmake -S /consumer -B /consumer/build && cmake --build /consumer/build' >"$work/log" 2>&1 ||
  { cat "$work/log" >&2; exit 1; }

step "booting it"
cat >"$root/etc/systemd/system/look.service" <<'UNIT'
[Unit]
After=assentd.service
SuccessAction=exit
FailureAction=exit
FailureActionExitStatus=1
[Service]
Type=oneshot
StandardOutput=file:/result
StandardError=file:/result
ExecStart=/in_container.sh
UNIT
mkdir -p "$root/etc/systemd/system/default.target.wants"
ln -s ../look.service "$root/etc/systemd/system/default.target.wants/look.service"
code=0
timeout 900 systemd-nspawn --quiet --directory="$root" --boot --register=no --keep-unit --console=pipe \
  </dev/null >"$work/console" 2>&1 || code=$?
cat "$root/result" 2>/dev/null || tail -40 "$work/console" >&2
grep -qx 'in_container: as it should be' "$root/result" || { step "FAILED ($code)"; exit 1; }
step "as it should be"
