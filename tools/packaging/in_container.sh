#!/bin/bash
# What test_install.sh looks at, within the Debian that it has booted.
set -euo pipefail

step() { echo "in_container: $*"; }
fail() {
  echo "in_container: FAILED: $*"
  systemctl status --no-pager --full assentd || true
  journalctl --no-pager -u assentd | tail -40
  exit 1
}
property() { systemctl show --value -p "$1" assentd; }
# At most a minute.
until_true() {
  for _ in $(seq 600); do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  fail "waited in vain for: $*"
}
is() { [[ $(property "$1") == "$2" ]]; }

step "the service runs since the boot, as its own user"
until_true is ActiveState active
is StatusText "serving 127.0.0.1:7400" || fail "it says: $(property StatusText)"
pid=$(property MainPID)
[[ $(stat -c %U "/proc/$pid") == assent ]] || fail "it runs as $(stat -c %U "/proc/$pid")"
[[ $(stat -c '%U %a' /var/lib/assent /var/lib/assent/assent.db | tr '\n' ' ') == "assent 700 assent 600 " ]] ||
  fail "$(ls -la /var/lib/assent)"
grep -q '^NoNewPrivs:[[:space:]]*1$' "/proc/$pid/status" || fail "it may gain privileges"
grep -q '^CapEff:[[:space:]]*0*$' "/proc/$pid/status" || fail "it has capabilities"
grep -q '^Seccomp:[[:space:]]*2$' "/proc/$pid/status" || fail "its system calls are not filtered"
systemd-analyze security --no-pager assentd.service | tail -1

step "assentctl and a participant that was compiled here"
assentctl health
/consumer/build/consumer | grep -q 'committed: sold$' || fail "the participant said something else"
assentctl list --all -o wide

step "kill -9: it is started again, and knows what it knew"
kill -9 "$pid"
until_true test "$(property MainPID)" != "$pid"
until_true assentctl health
[[ $(property NRestarts) == 1 ]] || fail "$(property NRestarts) restarts"
[[ $(assentctl list --all -o id | wc -l) == 1 ]] || fail "it has forgotten"

step "a stop is an orderly one"
systemctl stop assentd
is Result success || fail "the stop: $(property Result)"
journalctl -u assentd | grep -q 'event=stopped' || fail "it did not stop in order"

step "wrong settings: said, and not tried again and again"
echo 'no-setting = 1' >>/etc/assent/assentd.toml
systemctl start assentd 2>/dev/null && fail "it starts with wrong settings"
is ActiveState failed || fail "it is $(property ActiveState)"
is ExecMainStatus 2 || fail "it ended with $(property ExecMainStatus)"
journalctl -u assentd | grep -q 'no-setting is no setting' || fail "the log does not name the setting"
sed -i '/^no-setting/d' /etc/assent/assentd.toml
systemctl reset-failed assentd
systemctl start assentd

step "installed once more, as an upgrade is: restarted, settings untouched"
echo 'shards = 1' >>/etc/assent/assentd.toml
before=$(property MainPID)
DEBIAN_FRONTEND=noninteractive dpkg -i /packages/assentd_*.deb >/dev/null
until_true assentctl health
[[ $(property MainPID) != "$before" ]] || fail "it was not restarted"
grep -q '^shards = 1$' /etc/assent/assentd.toml || fail "the settings are gone"

step "removed and purged: the log stays"
DEBIAN_FRONTEND=noninteractive dpkg --purge assentd 2>&1 | grep 'the log of transactions stays in /var/lib/assent'
[[ ! -e /etc/assent/assentd.toml && -f /var/lib/assent/assent.db ]] || fail "$(ls -la /etc/assent /var/lib/assent)"
systemctl is-active --quiet assentd && fail "it runs still"

echo "in_container: as it should be"
