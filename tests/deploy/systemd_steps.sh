#!/bin/bash
# The packages under a running systemd: what scripts/package-check does in the same root once that
# root is booted in a container. The service of the unit's own making must serve an engine with all
# its hardening, come back when it dies or hangs, reload, and go through an upgrade and a purge.
set -euo pipefail

LOG=/packages/step.log
AT=''

step() { AT=$*; printf '    %3ds  %s\n' "$SECONDS" "$*"; }
fail() { printf '    failed: %s\n' "$*"; exit 1; }
quiet() { "$@" >"$LOG" 2>&1 </dev/null || { tail -n 30 "$LOG"; fail "$AT: $*"; }; }
show() { systemctl show -P "$1" residencyd; }
journal() { journalctl -q -b --no-pager -o cat -u residencyd "$@"; }

finish() {
  local rc=$?
  if [ "$rc" -ne 0 ]; then
    printf '    at: %s\n' "$AT"
    journal -n 25 || true
    systemctl -n 0 --no-pager status residencyd || true
  fi
  echo "$rc" >/packages/systemd.rc
  sync
  systemctl --no-block poweroff 2>/dev/null
}
trap finish EXIT

await() { # await SECONDS COMMAND...
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    if [ "$SECONDS" -ge "$end" ]; then return 1; fi
    sleep 0.2
  done
}
pid_other_than() { local now; now=$(show MainPID); [ "$now" != 0 ] && [ "$now" != "$1" ]; }
serves() { residencyctl health; }
engine() {
  setpriv --reuid engine --regid engine --init-groups timeout 60 /packages/build/residency_example_engine \
    /home/engine/tiny.safetensors /run/residencyd 3
}

step "apt install ./residencyd.deb enables and starts the service"
quiet apt-get -q install -y --no-install-recommends /packages/residencyd_*.deb
[ "$(systemctl is-enabled residencyd)" = enabled ] || fail "not enabled"
await 30 systemctl -q is-active residencyd || fail "not active"
[ "$(show Type) $(show User) $(show NotifyAccess)" = 'notify residencyd main' ] || fail "another unit"
[ "$(show StatusText)" != '' ] || fail "it has notified no status"

step "a lease under the hardened unit, for an engine of another user"
usermod -a -G residency engine
install -o engine -m 600 /packages/tiny.safetensors /home/engine/tiny.safetensors
quiet engine
grep -q 'step 2: bytes sum to 3000000$' "$LOG" || { cat "$LOG"; fail "wrong bytes"; }
forbidden='Operation not permitted|Permission denied'
# A container's own limit may be below what the unit asks for; then nothing can be locked.
if grep -q '^Max locked memory *unlimited' "/proc/$(show MainPID)/limits"; then
  forbidden+='|not locked|RLIMIT_MEMLOCK'
else
  step "this machine does not let a container lock memory: that part is not proved"
fi
if journal | grep -E "$forbidden"; then fail "the unit forbids what the daemon needs"; fi
[ -n "$(journal -g 'io_uring')" ] || fail "the unit forbids io_uring"
journal -g 'I/O by' | sed 's/^/           /'
[ "$(stat -c '%U:%G %a' /run/residencyd/engine.sock)" = 'residencyd:residency 660' ] || fail "engine.sock"
step "locked memory: $(awk '/^VmLck:/ { print $2 " " $3 }' "/proc/$(show MainPID)/status")"

step "systemctl reload reads the policy again"
sed -i '$a [policy]\nhysteresis = 0.07' /etc/residencyd/residencyd.toml
quiet systemctl reload residencyd
await 10 sh -c 'residencyctl policy get hysteresis --no-headers | grep -q 0.07' || fail "not reloaded"

step "killed, it comes back"
pid=$(show MainPID)
kill -KILL "$pid"
await 30 pid_other_than "$pid" || fail "not restarted"
await 30 serves || fail "it does not serve again"

step "hung, the watchdog ends it and it comes back (WatchdogSec=$(show WatchdogUSec), 2s for this)"
mkdir -p /etc/systemd/system/residencyd.service.d
printf '[Service]\nWatchdogSec=2\nTimeoutAbortSec=2\n' >/etc/systemd/system/residencyd.service.d/check.conf
systemctl daemon-reload
quiet systemctl restart residencyd
sleep 5
pid=$(show MainPID)
[ "$(show NRestarts)" = 0 ] || fail "it was restarted although it lives"
kill -STOP "$pid"
await 60 pid_other_than "$pid" || fail "the watchdog has not ended it"
await 30 serves || fail "it does not serve again"
rm -r /etc/systemd/system/residencyd.service.d
systemctl daemon-reload

step "an upgrade restarts it"
pid=$(show MainPID)
quiet apt-get -q -o Dpkg::Options::=--force-confold install -y --no-install-recommends /packages/newer.deb
await 30 pid_other_than "$pid" || fail "not restarted"
await 30 serves || fail "it does not serve again"
[ "$(residencyctl models --no-headers | wc -l)" -eq 1 ] || fail "the model is not known any more"

step "a purge stops it and leaves nothing"
pid=$(show MainPID)
quiet apt-get -q purge -y residencyd
await 20 test ! -e "/proc/$pid" || fail "it still runs"
left=$(find /etc /var/lib /run /usr -xdev -name '*residencyd*' ! -path '/var/lib/dpkg/*' ! -path '/run/log/*')
[ -z "$left" ] || fail "left: $left"
if getent passwd residencyd || getent group residency; then fail "the user is still there"; fi
step "done"
