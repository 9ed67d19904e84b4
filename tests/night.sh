#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Overnight tests: packages in a chroot (they want a network), the lab's long variants, storms and faults, Debian's own kernels, the
# fuzzers, and in parallel the simulation; all tests on Debian 13. Then hunts and storms again, with other seeds, until HOURS are over.
#   night.sh [HOURS] [DIR]   after a build in build/, as root; HOURS (0: each piece once), DIR (build/night) keeps logs and results
# After an interruption it continues: pieces that passed with the same build are not run again, and the hours before count.
# It prints a table of all pieces at its end; night.sh --table [DIR] prints it at any time.
set -u
cd "$(dirname "$0")/.." || exit 1

# table: how often each piece ran, and what it counts.
table() {
  awk -F '\t' '
    { key = $2; if (!(key in runs)) order[++n] = key
      runs[key]++; failed[key] += $3 != "passed"; seconds[key] += $4; amount[key] += $3 == "passed" ? $5 : 0; unit[key] = $6; total += $4 }
    END { printf "%-48s %5s %7s %9s  %s\n", "piece", "runs", "failed", "minutes", "in all"
          for (i = 1; i <= n; i++) { key = order[i]
            what = amount[key] ? amount[key] " " unit[key] : ""
            printf "%-48s %5d %7d %9.1f  %s\n", key, runs[key], failed[key], seconds[key] / 60, what }
          printf "%-48s %5s %7s %9.1f\n", "all", "", "", total / 60 }' "$dir/results"
}

if [ "${1:-}" = --table ]; then
  dir=$(realpath -m "${2:-build/night}")
  table
  exit
fi
hours=${1:-0}
case $hours in *[!0-9]*) sed -n '5,7s/^# \{0,1\}//p' "$0" >&2; exit 2 ;; esac
dir=$(realpath -m "${2:-build/night}")
lab=tests/lab
export TCMU_RBD=$PWD/build/tcmu-rbd
mkdir -p "$dir"

# Results of another build count no more; they stay beside the new ones.
build=$(cat build/tcmu-rbd build/device_sim_test | sha256sum)
if [ "$build" != "$(cat "$dir/build" 2> /dev/null)" ]; then
  [ ! -e "$dir/results" ] || mv "$dir/results" "$dir/results.$(date +%Y%m%d-%H%M%S)"
  echo 0 > "$dir/seconds"
  echo "$build" > "$dir/build"
fi
touch "$dir/results"
before=$(cat "$dir/seconds")
round=1
count='' unit=''

enough() { [ $round -gt 1 ] && [ $((before + SECONDS)) -ge $((hours * 3600)) ]; }

# counting AMOUNT UNIT: what each of the next pieces counts.
counting() { count=${1:-} unit=${2:-}; }

# piece NAME COMMAND...
piece() {
  local name=$1 began=$SECONDS outcome=FAILED
  shift
  grep -qs "^$round	$name	passed" "$dir/results" && return
  enough && return
  echo "$(date +%T) $round $name"
  LAB_LOGS=$dir/$name.$round.logs "$@" > "$dir/$name.$round.log" 2>&1 &
  wait $! && outcome=passed
  printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$round" "$name" $outcome $((SECONDS - began)) "$count" "$unit" >> "$dir/results"
  echo $((before + SECONDS)) > "$dir/seconds"
}

# tests FILE: CLASS.TEST of each test in it
tests() {
  sed -nE 's/^class (\w+)\(.*/class \1/p; s/^    def (test_\w+)\(.*/\1/p' "$lab/test_$1.py" |
    while read -r word name; do
      if [ -n "$name" ]; then class=$name; else echo "$class.$word"; fi
    done
}

# The tests of the lab that can run on any kernel: not those of the lab itself, those that choose a kernel, and the long ones.
any_kernel() {
  sed -nE '/ NIGHT/d; s/^lab_test\((\w+) .*/\1/p' "$lab/CMakeLists.txt" |
    grep -vxE 'isolation|lab|quickstart|live_units|smp|timeline|abort_leaks|peers|ghosts'
}

# long FILE VARIABLE=VALUE [SUFFIX]: each of its tests is a piece
long() {
  for test in $(tests "$1"); do
    piece "$1.${test#*.test_}${3:-}" env "$2" python3 "$lab/test_$1.py" "$test"
  done
}

debian_package() {
  packaging/deps.sh package && packaging/deps.sh lab && packaging/build-deb.sh "$dir/deb" &&
    python3 tests/package/test_package.py "$dir"/deb/tcmu-rbd_*.deb &&
    /usr/bin/python3 tests/package/test_machine.py "$dir"/deb/tcmu-rbd_*.deb
}

rpm_package() {
  packaging/deps.sh package && packaging/build-rpm.sh "$dir/rpm" && python3 tests/package/test_rpm.py "$dir"/rpm/tcmu-rbd-*.rpm
}

# background COMMAND...: takes only the processor time that the lab leaves, and ends with this script. Each process of the lab may have
# a scheduling group (autogroup) of its own; beside those, nice has no effect.
background() {
  exec setsid setpriv --pdeathsig TERM sh -c 'echo 19 2> /dev/null > /proc/self/autogroup; exec "$@"' sh nice "$@"
}
trap 'jobs -p | xargs -r kill' EXIT
trap 'exit 130' INT TERM

# What may go on for as long as there is time; each round has seeds of its own.
again() {
  counting $((16 * ${SIM_LIVES:-63000})) lives
  piece simulation background env SIM_LIVES="${SIM_LIVES:-63000}" build/device_sim_test &
  counting "${LAB_GHOST_ROUNDS:-100}" rounds
  long ghosts LAB_GHOST_ROUNDS="${LAB_GHOST_ROUNDS:-100}"
  counting "${LAB_STORM_MINUTES:-30}" "minutes of storm"
  long storms LAB_STORM_MINUTES="${LAB_STORM_MINUTES:-30}"
  counting "${LAB_HOSTS_ROUNDS:-3}" "rounds of each fault"
  long hosts LAB_HOSTS_ROUNDS="${LAB_HOSTS_ROUNDS:-3}"
  counting "${LAB_ABORTS:-10000}" aborts
  long abort_leaks LAB_ABORTS="${LAB_ABORTS:-10000}"
  counting "${LAB_PEERS_SECONDS:-600}" seconds
  long peers LAB_PEERS_SECONDS="${LAB_PEERS_SECONDS:-600}"
  counting $((${FUZZ_SECONDS:-600} / 60)) minutes
  for fuzzer in ring device config dev_config netlink configfs; do
    piece "fuzz.$fuzzer" tests/fuzz/fuzz.sh "build-fuzz/fuzz_$fuzzer" "${FUZZ_SECONDS:-600}"
  done
  for kernel in 6.1 6.12; do
    counting
    for test in $(any_kernel); do
      piece "$test-$kernel" env LAB_KERNEL=$kernel python3 "$lab/test_$test.py"
    done
    counting "${LAB_KERNEL_GHOST_ROUNDS:-20}" rounds
    LAB_KERNEL=$kernel long ghosts LAB_GHOST_ROUNDS="${LAB_KERNEL_GHOST_ROUNDS:-20}" "-$kernel"
  done
  wait
}

once() {
  counting
  piece package debian_package
  piece rpm rpm_package
  counting "${LAB_CEPH_ISCSI_ROUNDS:-10}" rounds
  piece ceph_iscsi env LAB_CEPH_ISCSI_ROUNDS="${LAB_CEPH_ISCSI_ROUNDS:-10}" python3 "$lab/test_ceph_iscsi.py"
  counting
  for test in alua_host dashboard ceph_dashboard migration; do
    piece "$test" python3 "$lab/test_$test.py"
  done
  piece timeline_of_the_peer env TCMU_RBD=tcmu-runner python3 "$lab/test_timeline.py"
  piece debian13 tests/run.sh --debian 13
}

build_fuzzers() {
  cmake -S . -B build-fuzz -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DTCMU_RBD_FUZZ=ON -DCMAKE_CXX_COMPILER=clang++-19 > /dev/null &&
    cmake --build build-fuzz --target fuzzers
}

packaging/deps.sh kernels && packaging/deps.sh hosts && packaging/deps.sh check || exit 1
build_fuzzers > "$dir/build-fuzz.log" 2>&1 || { echo "night.sh: the build of the fuzzers failed: $dir/build-fuzz.log" >&2; exit 1; }
once
again
while round=$((round + 1)); ! enough; do again; done

echo
table
! grep -q '	FAILED	' "$dir/results"
