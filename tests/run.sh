#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Everything that has to hold before a change goes in: builds without warnings, unit tests, sanitizers, style, and the lab.
#   run.sh               all of it (as root: the lab makes namespaces)
#   run.sh --quick       without the lab
#   run.sh --lab REGEX   only the lab tests whose names match, after a build
#   run.sh --debian RELEASE [--quick | --lab REGEX]   on that release of Debian, see debian.sh
set -u
cd "$(dirname "$0")/.." || exit 1

if [ "${1:-}" = --debian ]; then
  release=${2:-}
  shift $(($# < 2 ? $# : 2))
  exec tests/debian.sh "$release" tests/run.sh "$@"
fi
quick='' lab_only='' regex=.
case ${1:-} in
  '') ;;
  --quick) quick=1 ;;
  --lab) lab_only=1 regex=${2:-.} ;;
  *) sed -n '4,7s/^# \{0,1\}//p' "$0"; [ "$1" = --help ]; exit ;;
esac
jobs=$(nproc)
summary=() failed=0
# With ccache, what another clone on this machine has compiled is not compiled again.
command -v ccache > /dev/null && export CMAKE_CXX_COMPILER_LAUNCHER=ccache CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1

say() { printf '\n== %s (%d min %02d s)\n' "$*" $((SECONDS / 60)) $((SECONDS % 60)); }

# build DIR TARGETS CMAKE-OPTIONS...: nothing after it makes sense if it fails.
build() {
  local dir=$1 targets=$2
  shift 2
  say "building in $dir"
  # shellcheck disable=SC2086
  if ! { cmake -S . -B "$dir" -G Ninja -DTCMU_RBD_WERROR=ON "$@" > /dev/null && cmake --build "$dir" --target $targets; }; then
    echo "run.sh: the build in $dir failed" >&2
    exit 1
  fi
}

# check NAME CTEST-OPTIONS...: continues after failures, to report all of them.
check() {
  local name=$1 log
  shift
  say "$name"
  log=$(mktemp)
  ctest --output-on-failure --no-tests=error "$@" 2>&1 | tee "$log"
  note "$name" "$log" "${PIPESTATUS[0]}"
}

# note NAME LOG STATUS: the outcome of a ctest run, for the summary.
note() {
  local name=$1 log=$2
  [ "$3" = 0 ] || failed=1
  summary+=("$name: $(grep -E 'tests passed|No tests were found' "$log" || echo 'ctest did not finish')"
            "$(sed -n '/The following tests FAILED/,/^Errors/{/^Errors/d;p}' "$log")")
  rm -f "$log"
}

# clang-tidy takes ten minutes of two processors (26 on Debian 13) and needs no build; the lab mostly waits. So it runs beside what
# comes later, with the lowest priority: a session of its own, since the kernel groups processes by session before it looks at
# their priority.
tidy_log=$(mktemp) tidy=''
trap '[ -z "$tidy" ] || kill -- -"$tidy" 2> /dev/null; rm -f "$tidy_log"' EXIT
start_tidy() {
  cmake -S . -B build-tidy -G Ninja -DCMAKE_BUILD_TYPE=Release -DTCMU_RBD_TIDY=ON > /dev/null || exit 1
  # shellcheck disable=SC2016
  setsid nice -n 19 bash -c '{ echo 19 > /proc/self/autogroup; } 2> /dev/null
    exec ctest --output-on-failure --no-tests=error --test-dir build-tidy -R "^clang_tidy$"' > "$tidy_log" 2>&1 &
  tidy=$!
}
end_tidy() {
  say "waiting for clang-tidy"
  wait "$tidy"
  local status=$?
  tidy=''
  cat "$tidy_log"
  note "clang-tidy" "$tidy_log" $status
}

# The test programs that start threads: all others would only make the third build longer.
threaded_tests() {
  tr '\n' ' ' < <(cat tests/unit/*.cmake) | grep -o 'unit_test([^)]*)' | sed -n 's/unit_test( *\([a-z0-9_]*\).*threaded.*/\1/p'
}

say "packages"
packaging/deps.sh build || exit 1
packaging/deps.sh check || exit 1
[ -n "$quick" ] || { packaging/deps.sh lab && packaging/deps.sh hosts && packaging/deps.sh kernels; } || exit 1

with_lab=$([ -n "$quick" ] && echo OFF || echo ON)
build build "all bench" -DCMAKE_BUILD_TYPE=Release -DTCMU_RBD_TIDY=ON -DTCMU_RBD_LAB="$with_lab"
if [ -z "$lab_only" ]; then
  check "unit tests and style" --test-dir build -LE lab -E '^clang_tidy$' -j "$jobs"
  build build-asan all -DCMAKE_BUILD_TYPE=Debug -DTCMU_RBD_SANITIZE=address
  check "unit tests with ASan and UBSan" --test-dir build-asan -L unit -j "$jobs"
  build build-tsan "$(threaded_tests)" -DCMAKE_BUILD_TYPE=Debug -DTCMU_RBD_SANITIZE=thread
  check "threaded tests with TSan" --test-dir build-tsan -L threaded -j "$jobs"
  build build-fuzz fuzzers -DCMAKE_BUILD_TYPE=RelWithDebInfo -DTCMU_RBD_FUZZ=ON -DCMAKE_CXX_COMPILER=clang++-19
  check "fuzzing for half a minute each" --test-dir build-fuzz -L fuzz -j 2
  start_tidy
fi
[ -n "$quick" ] || check "lab" --test-dir build -L lab -R "$regex" -j "$(( jobs < 2 ? 1 : 2 ))"
[ -n "$lab_only" ] || end_tidy

say "summary"
printf '%s\n' "${summary[@]}" | grep .
exit $failed
