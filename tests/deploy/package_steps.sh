#!/bin/bash
# What scripts/package-check does within a bare Debian root. The packages lie in /packages. Each step
# says what it proves; the first that fails ends it, with the end of its log.
set -euo pipefail

LOG=/packages/step.log
DAEMON_LOG=/packages/residencyd.log
DAEMON=''
FAILED_AT=''

step() { FAILED_AT=$*; printf '    %3ds  %s\n' "$SECONDS" "$*"; }
fail() { printf '    failed: %s\n' "$*"; exit 1; }
quiet() { "$@" >"$LOG" 2>&1 </dev/null || { tail -n 30 "$LOG"; fail "$FAILED_AT: $*"; }; }

finish() {
  local rc=$?
  if [ "$rc" -ne 0 ]; then
    printf '    at: %s\n' "$FAILED_AT"
    if [ -s "$DAEMON_LOG" ]; then tail -n 15 "$DAEMON_LOG"; fi
  fi
  exit "$rc"
}
trap finish EXIT

await() { # await SECONDS COMMAND...: until it succeeds
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    if [ "$SECONDS" -ge "$end" ]; then return 1; fi
    sleep 0.1
  done
}

# Everything that a package could leave: name, kind, owner and mode of every file, and what is in
# /etc. Left out: records that apt, dpkg and systemctl keep of all they do, and backups of /etc/passwd
# and the like.
snapshot() { # snapshot FILE
  {
    find / -xdev \( -path /packages -o -path /proc -o -path /sys -o -path /dev -o -path /tmp \
      -o -path /run/systemd -o -path /var/cache -o -path /var/log -o -path /var/lib/apt -o -path /var/lib/dpkg \) -prune \
      -o -printf '%p %y %m %U:%G\n' | grep -v '^/etc/[a-z]*- ' | sort
    find /etc -type f ! -name '*-' ! -name 'ld.so.cache' -exec sha256sum {} + | sort -k 2
  } >"$1"
}

start_daemon() {
  setpriv --reuid residencyd --regid residencyd --init-groups residencyd >>"$DAEMON_LOG" 2>&1 </dev/null &
  DAEMON=$!
  await 20 residencyctl health || fail "residencyd does not serve"
}

stop_daemon() {
  kill -TERM "$DAEMON"
  wait "$DAEMON" || fail "residencyd ended with status $?"
  DAEMON=''
}

# One dense tensor of bytes that are all 3: what an engine that reads each byte sums up is known.
write_checkpoint() { # write_checkpoint FILE BYTES
  local header='{"model.layers.0.mlp.up_proj.weight":{"dtype":"U8","shape":['$2'],"data_offsets":[0,'$2']}}'
  local length=${#header} i
  {
    for ((i = 0; i < 8; i++)); do
      # shellcheck disable=SC2059  # the format is the byte
      printf "\\x$(printf %02x $((length >> (8 * i) & 255)))"
    done
    printf %s "$header"
    head -c "$2" /dev/zero | tr '\0' '\3'
  } >"$1"
}

# The package as it is, with a higher version.
make_newer() { # make_newer DEB OUT
  local work=/packages/newer
  rm -rf "$work"
  dpkg-deb -R "$1" "$work"
  sed -i 's/^Version: .*/&+newer/' "$work/DEBIAN/control"
  dpkg-deb -b --root-owner-group "$work" "$2"
  rm -rf "$work"
}

step "apt-get update"
quiet apt-get -q update
step "installing what the packages depend on, a compiler and CMake"
depends=$(dpkg-deb -f /packages/residencyd_*.deb Depends),
depends+=$(dpkg-deb -f /packages/residency-dev_*.deb Depends)
quiet apt-get -q satisfy -y --no-install-recommends "$depends"
quiet apt-get -q install -y --no-install-recommends cmake g++ make
quiet useradd --system --create-home engine
snapshot /packages/before

step "apt install ./residencyd.deb ./residency-dev.deb"
quiet apt-get -q install -y --no-install-recommends /packages/residencyd_*.deb /packages/residency-dev_*.deb
[ "$(stat -c '%U:%G %a' /var/lib/residencyd)" = 'residencyd:residencyd 700' ] || fail "state directory"
id -nG residencyd | grep -qw residency || fail "residencyd is no member of residency"
dpkg -V residencyd residency-dev | grep . && fail "installed files differ from the packages'"
step "residencyd --check-config: $(residencyd --check-config)"
if command -v systemd-analyze >/dev/null; then
  quiet systemd-analyze verify --man=no /usr/lib/systemd/system/residencyd.service
  step "systemd-analyze security: $(systemd-analyze security --offline=true residencyd.service 2>/dev/null |
    sed -n 's/^.*Overall exposure level.*: \([0-9.]*\).*/\1/p')"
fi

step "starting residencyd as its own user; no service manager runs here"
start_daemon
step "building the example engine against find_package(residency)"
quiet cmake -S /usr/share/doc/residency-dev/examples -B /packages/build
quiet cmake --build /packages/build
write_checkpoint /home/engine/tiny.safetensors 1000000
chown engine /home/engine/tiny.safetensors && chmod 600 /home/engine/tiny.safetensors

step "an engine outside the group residency is turned away"
if setpriv --reuid engine --regid engine --clear-groups timeout 20 /packages/build/residency_example_engine \
  /home/engine/tiny.safetensors /run/residencyd 1 >"$LOG" 2>&1; then fail "it was served"; fi
step "first leases, as another user, of a file that only that user may read"
usermod -a -G residency engine
setpriv --reuid engine --regid engine --init-groups timeout 60 /packages/build/residency_example_engine \
  /home/engine/tiny.safetensors /run/residencyd 3 >"$LOG" 2>&1 || { cat "$LOG"; fail "no lease"; }
grep -q 'step 2: bytes sum to 3000000$' "$LOG" || { cat "$LOG"; fail "wrong bytes"; }
sed 's/^/           /' "$LOG"
residencyctl status >"$LOG" || fail "residencyctl status"
step "the daemon drains on SIGTERM"
stop_daemon

step "an upgrade keeps configuration and catalogue"
printf '\n# changed by the operator\n' >>/etc/residencyd/residencyd.toml
make_newer /packages/residencyd_*.deb /packages/newer.deb >/dev/null
quiet apt-get -q install -y --no-install-recommends /packages/newer.deb
dpkg-query -W -f '${Version}\n' residencyd | grep -q '+newer$' || fail "the version has not changed"
tail -n 1 /etc/residencyd/residencyd.toml | grep -q 'changed by the operator' || fail "configuration lost"
start_daemon
[ "$(residencyctl models --no-headers | wc -l)" -eq 1 ] || fail "the model is not known any more"
stop_daemon

step "removing keeps configuration and state"
quiet apt-get -q remove -y residencyd
for file in /etc/residencyd/residencyd.toml /var/lib/residencyd/catalogue.sqlite; do
  [ -e "$file" ] || fail "$file is gone already"
done
[ ! -e /usr/bin/residencyd ] || fail "the program is still there"
step "purging leaves nothing"
mv /home/engine/tiny.safetensors /packages/
quiet apt-get -q purge -y residencyd residency-dev
gpasswd -d engine residency >/dev/null 2>&1 && fail "the group is still there"
for name in residencyd residency; do
  if getent passwd "$name" || getent group "$name"; then fail "$name is still there"; fi
done
if dpkg-query -W -f '${Package} ${db:Status-Abbrev}\n' 'residenc*' 2>/dev/null | grep -v ' un'; then
  fail "dpkg still knows the packages"
fi
snapshot /packages/after
if ! diff /packages/before /packages/after >"$LOG"; then cat "$LOG"; fail "files differ from before"; fi
if find / -xdev -path /packages -prune -o -path /proc -prune -o -path /var/log -prune \
  -o -name '*residenc*' -print | grep .; then fail "files are left"; fi
step "$(wc -l </packages/after) records of files and contents compared: equal to before"
