# shellcheck shell=bash
# Shared by every script here. Source it first:
#
#   source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
#
# It sets strict mode and ROOT (the repository), goes to ROOT, puts build/tools/bin on PATH, and
# offers: say, step, warn, die, watched, build, has_gpu, run_ctest, count_failure,
# closing_line.
# Colour and live progress appear only on a terminal; elsewhere the output is plain lines.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
export PATH="$ROOT/build/tools/bin:$PATH"
# Python writes no byte code and compilers speak English, whatever the user's locale.
export LC_ALL=C.UTF-8

RESIDENCY_STARTED=${RESIDENCY_STARTED:-$(date +%s)} # kept across nested scripts
export RESIDENCY_STARTED

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
  BOLD=$'\e[1m' RED=$'\e[31m' YELLOW=$'\e[33m' PLAIN=$'\e[0m'
else
  BOLD='' RED='' YELLOW='' PLAIN=''
fi

elapsed() { echo $(($(date +%s) - RESIDENCY_STARTED)); }

say() { printf '%s\n' "$*"; }

# A heading with the seconds since the outermost script began.
step() { printf '%s==> [%4ds] %s%s\n' "$BOLD" "$(elapsed)" "$*" "$PLAIN"; }

warn() { printf '%swarning: %s%s\n' "$YELLOW" "$*" "$PLAIN" >&2; }

die() {
  printf '%serror: %s%s\n' "$RED" "$*" "$PLAIN" >&2
  exit 1
}

# watched TITLE LOG COMMAND...: runs a chatty command with its output in LOG. A terminal sees one
# line that moves, a pipe sees a line every 15 s; a failure shows the end of LOG. Returns the
# command's status.
watched() {
  local title=$1 log=$2 ticker rc=0
  shift 2
  mkdir -p "$(dirname "$log")"
  : >"$log"
  step "$title"
  # The command stays in the foreground, so that Ctrl-C reaches it; the ticker ends with us.
  tick "$title" "$log" $$ &
  ticker=$!
  "$@" >"$log" 2>&1 </dev/null || rc=$?
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  if [ -t 1 ]; then printf '\r\e[K'; fi
  if [ "$rc" -ne 0 ]; then
    say "---- the last lines of $log"
    tail -n 30 "$log"
    say "----"
  fi
  return "$rc"
}

tick() { # tick TITLE LOG PARENT
  local waited=0 every=15
  if [ -t 1 ]; then every=1; fi
  while kill -0 "$3" 2>/dev/null; do
    sleep 1 >/dev/null 2>&1
    waited=$((waited + 1))
    if [ -t 1 ]; then
      printf '\r\e[K    %3ds  %.70s' "$waited" "$(tail -n 1 "$2" | tr -d '\r')"
    elif [ $((waited % every)) -eq 0 ]; then
      printf '    %3ds  %.90s\n' "$waited" "$(tail -n 1 "$2")"
    fi
  done
}

# How many compilers at once: one per core, but each may need about 1.5 GiB.
jobs_at_once() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/^MemAvailable:/ { print int($2 / 1024 / 1536) }' /proc/meminfo)
  if [ "${memory:-1}" -lt 1 ]; then memory=1; fi
  if [ "$cores" -lt "$memory" ]; then echo "$cores"; else echo "$memory"; fi
}

# build PRESET [TARGET...]: configures and builds into build/PRESET with ninja's own progress.
build() {
  local preset=$1 targets=()
  shift
  if [ $# -gt 0 ]; then targets=(--target "$@"); fi
  watched "configuring $preset" "build/logs/configure-$preset.log" cmake --preset "$preset" || return 1
  step "building $preset${*:+: $*}"
  NINJA_STATUS='[%f/%t %es] ' cmake --build "build/$preset" -j "$(jobs_at_once)" "${targets[@]}"
}

has_gpu() { [ -e /dev/nvidia0 ] && command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; }

# run_ctest PRESET [CTEST OPTION...]: runs the tests of a built preset, those that need a GPU only
# where there is one, and adds to PASSED, FAILED and SKIPPED. Returns non-zero if any failed or
# none was found. CTEST is the command, for who must wrap it.
PASSED=0 FAILED=0 SKIPPED=0
CTEST=(ctest)
run_ctest() {
  local preset=$1 log="build/logs/ctest-$1.log" without_gpu=() rc=0
  shift
  mkdir -p build/logs
  if ! has_gpu; then without_gpu=(-LE '^gpu$'); fi
  step "testing $preset"
  "${CTEST[@]}" --test-dir "build/$preset" --output-on-failure --no-tests=error -j "$(nproc)" \
    "${without_gpu[@]}" "$@" 2>&1 | tee "$log" || rc=1
  count_tests "$log" "$rc"
  return "$rc"
}

count_tests() { # count_tests LOG STATUS: adds up what ctest's own summary says
  local ran failed skipped
  read -r failed ran < <(sed -nE \
    's/^[0-9]+% tests passed, ([0-9]+) tests? failed out of ([0-9]+)$/\1 \2/p' "$1" | tail -n 1) || true
  skipped=$(grep -cE '^[[:space:]]+[0-9]+ - .* \(Skipped\)$' "$1" || true)
  ran=${ran:-0} failed=${failed:-0}
  PASSED=$((PASSED + ran - failed - skipped))
  FAILED=$((FAILED + failed))
  SKIPPED=$((SKIPPED + skipped))
  # A run that failed without a failed test (nothing found, ctest itself broken) is one failure.
  if [ "$2" -ne 0 ] && [ "$failed" -eq 0 ]; then count_failure; fi
}

# A build or run that broke off before any test counts as one failure.
count_failure() { FAILED=$((FAILED + 1)); }

# The last line of scripts/test and .ci/run.
closing_line() {
  local line="$PASSED passed, $FAILED failed"
  if [ "$SKIPPED" -gt 0 ]; then line="$line, $SKIPPED skipped"; fi
  say "$line"
}
