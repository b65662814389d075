#!/usr/bin/env bash
# check_files.sh CHECK SOURCE_DIR BUILD_DIR
#
# Holds files of deploy/ against the tools that will read them. CHECK is rules, dashboard, unit,
# manuals, completions or help. Exits 77, which ctest shows as skipped, if a tool is missing.
set -euo pipefail

CHECK=$1 SOURCE=$2 BUILD=$3
DEPLOY=$SOURCE/deploy
PATH=$PATH:$SOURCE/build/tools/bin:/usr/sbin
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
# A service that is worse than this is not hardened; systemd-analyze rates from 0 (best) to 10.
EXPOSURE_MAX=3.0

fail() { echo "failed: $*"; exit 1; }
need() { # need PROGRAM PACKAGE
  if ! command -v "$1" >/dev/null; then echo "skipped: no $1 here (Debian package $2)"; exit 77; fi
}
need_programs() {
  local program
  for program in residencyd residencyctl; do
    if [ ! -x "$BUILD/bin/$program" ]; then echo "skipped: $program is not built in $BUILD"; exit 77; fi
  done
}
silent() { # silent COMMAND...: it must succeed and say nothing
  local output
  output=$("$@" 2>&1) || { echo "$output"; fail "$*"; }
  if [ -n "$output" ]; then echo "$output"; fail "$* has something to say"; fi
}

check_rules() {
  need promtool prometheus
  promtool check config "$DEPLOY/prometheus/prometheus.yml"
  promtool check rules "$DEPLOY/prometheus/residencyd.rules.yml"
  promtool test rules "$DEPLOY/prometheus/residencyd.rules_test.yml"
  # Each alert is in a test, and each says what it means.
  local alert
  while read -r alert; do
    grep -q "$alert" "$DEPLOY/prometheus/residencyd.rules_test.yml" || fail "no test of $alert"
  done < <(sed -n 's/^ *- alert: //p' "$DEPLOY/prometheus/residencyd.rules.yml")
}

check_dashboard() {
  need jq jq
  local file=$DEPLOY/grafana/residencyd.json
  jq -e . "$file" >/dev/null
  # Every panel: a title of its own, a description, and queries that follow the chosen node.
  jq -e '[.panels[].id] | length == (unique | length)' "$file" >/dev/null || fail "two panels have one id"
  jq -e '[.panels[].title] | length == (unique | length)' "$file" >/dev/null || fail "two panels have one title"
  jq -e 'all(.panels[] | select(.type != "row"); (.description // "") != "" and (.targets | length) > 0)' \
    "$file" >/dev/null || fail "a panel has no description or no query"
  jq -e 'all(.panels[].targets[]?; .expr | contains("instance=~\"$instance\""))' "$file" >/dev/null ||
    fail "a query does not follow the chosen node"
  jq -e 'all(.panels[]; .gridPos.x + .gridPos.w <= 24)' "$file" >/dev/null || fail "a panel leaves the grid"
  # shellcheck disable=SC2016  # variables of jq
  silent jq -r '[.panels[] | select(.type != "row") | . as $p | .gridPos | range(.x; .x + .w) as $x |
    range(.y; .y + .h) as $y | "\($x),\($y)"] | group_by(.)[] | select(length > 1) | "overlap at \(.[0])"' "$file"
}

check_unit() {
  need systemd-analyze systemd
  need_programs
  local unit=$WORK/residencyd.service exposure
  sed "s#@BINDIR@#$BUILD/bin#; s#@CONFIG_DIR@#/etc/residencyd#" "$DEPLOY/systemd/residencyd.service.in" >"$unit"
  silent systemd-analyze verify --man=no "$unit"
  # --no-pager: a table, of which the last line counts.
  exposure=$(systemd-analyze --no-pager security --offline=true "$unit" |
    sed -n 's/^.*Overall exposure level.*: \([0-9.]*\).*$/\1/p')
  echo "exposure $exposure of 10, at most $EXPOSURE_MAX"
  awk -v is="$exposure" -v max="$EXPOSURE_MAX" 'BEGIN { exit !(is != "" && is <= max) }' ||
    fail "the service is exposed more than it may be"
  if command -v systemd-sysusers >/dev/null; then
    mkdir -p "$WORK/root/etc"
    systemd-sysusers --root="$WORK/root" "$DEPLOY/systemd/residencyd.sysusers"
    grep -q '^residency:.*residencyd$' "$WORK/root/etc/group" || fail "residencyd is no member of residency"
  fi
}

fill_manuals() {
  cmake -DRESIDENCY_DEPLOY_DIR="$DEPLOY" -DRESIDENCY_FULL_CONFIG="$SOURCE/config/residencyd.toml" \
    -DPROJECT_VERSION=0 -DOUT="$WORK" -P "$SOURCE/cmake/ManualPages.cmake"
}

check_manuals() {
  local page key read_by=0
  fill_manuals
  for page in residencyd.8 residencyctl.1 residencyd.toml.5; do
    if grep -n '@[A-Z_]*@' "$WORK/$page"; then fail "$page is not filled in"; fi
    if command -v mandoc >/dev/null; then
      silent mandoc -T lint -W warning "$WORK/$page"
      read_by=1
    fi
    if command -v man >/dev/null && command -v groff >/dev/null; then
      # shellcheck disable=SC2016  # the inner shell expands it
      silent env MANROFFSEQ='' MANWIDTH=80 LC_ALL=C.UTF-8 bash -c \
        'man --warnings -E UTF-8 -l -Tutf8 -Z "$0" >/dev/null' "$WORK/$page"
      read_by=1
    fi
  done
  # The page has every key of the configuration.
  while read -r key; do
    grep -q "^\.It Cm $key = " "$WORK/residencyd.toml.5" || fail "residencyd.toml(5) lacks $key"
  done < <(sed -n 's/^\([a-z][a-z0-9_]*\) *=.*/\1/p' "$SOURCE/config/residencyd.toml")
  if [ "$read_by" = 0 ]; then echo "skipped: neither mandoc nor man and groff here"; exit 77; fi
}

check_completions() {
  need_programs
  bash -n "$DEPLOY/completions/residencyctl.bash"
  if command -v zsh >/dev/null; then zsh -n "$DEPLOY/completions/_residencyctl"; else echo "zsh: not here"; fi
  if command -v fish >/dev/null; then fish -n "$DEPLOY/completions/residencyctl.fish"; else echo "fish: not here"; fi
  # In use: no daemon answers here, so names are empty and nothing is said.
  offered() { # offered WORD...: completes the last one
    PATH=$BUILD/bin:$PATH RESIDENCYD_OPERATOR_SOCKET=$WORK/none bash -c '
      source "$1"; shift
      COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
      _residencyctl && printf "%s\n" "${COMPREPLY[@]}"' bash "$DEPLOY/completions/residencyctl.bash" "$@" 2>&1
  }
  [ "$(offered residencyctl ex)" = explain ] || fail "ex is not completed to explain"
  [ "$(offered residencyctl blocks --state S3)" = S3 ] || fail "states are not completed"
  [ "$(offered residencyctl demote 3 --to '' | tr '\n' ' ')" = 'S3 S4 S6 ' ] || fail "targets are not completed"
  [ "$(offered residencyctl -o js)" = json ] || fail "formats are not completed"
  [ -z "$(offered residencyctl explain '')" ] || fail "names came from nowhere, or an error was shown"
}

# Commands that take commands of their own are asked too.
options_of() { # options_of HELP: its long options
  grep -oE -- '--[a-z][a-z-]*' <<<"$1" | sort -u
}

check_help() {
  local command help option page=$WORK/residencyctl.1
  need_programs
  fill_manuals
  for option in $(options_of "$("$BUILD/bin/residencyd" --help)"); do
    sed 's/Fl -/--/g; s/ , -/ --/g' "$WORK/residencyd.8" | grep -qF -- "$option" || fail "residencyd(8) lacks $option"
  done
  sed -E 's/Fl (-[a-z])/-\1/g; s/ , -/ --/g' "$page" >"$WORK/flat"
  # The first word of each line of the list of commands.
  for command in $("$BUILD/bin/residencyctl" --help | sed -n '/^Subcommands:/,/^$/s/^  \([a-z][a-z-]*\) .*/\1/p'); do
    grep -q "^\.It Cm $command" "$page" || fail "residencyctl(1) lacks $command"
    for file in residencyctl.bash _residencyctl residencyctl.fish; do
      grep -qw -- "$command" "$DEPLOY/completions/$file" || fail "$file lacks $command"
    done
    help=$("$BUILD/bin/residencyctl" "$command" --help)
    for option in $(options_of "$help"); do
      grep -qF -- "$option" "$WORK/flat" || fail "residencyctl(1) lacks $option of $command"
      grep -qF -- "$option" "$DEPLOY/completions/residencyctl.bash" || fail "bash lacks $option of $command"
      grep -qF -- "$option" "$DEPLOY/completions/_residencyctl" || fail "zsh lacks $option of $command"
      grep -q -- "-l ${option#--}\b" "$DEPLOY/completions/residencyctl.fish" || fail "fish lacks $option of $command"
    done
  done
}

case $CHECK in
  rules | dashboard | unit | manuals | completions | help) "check_$CHECK" ;;
  *) fail "no check named $CHECK" ;;
esac
