#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Overnight tests: the lab's long variants and Debian's own kernels, and in parallel the simulation; then all tests on Debian 13.
# Before them the packages, built and installed in a chroot, Debian's also run under its unit; they want a network.
#   night.sh [DIR]   after a build in build/, as root; DIR (build/night) keeps logs and results
# After an interruption it continues: tests that passed with the same build are not run again.
set -u
cd "$(dirname "$0")/.." || exit 1

dir=$(realpath -m "${1:-build/night}")
lab=tests/lab
export TCMU_RBD=$PWD/build/tcmu-rbd
mkdir -p "$dir"

build=$(cat build/tcmu-rbd build/device_sim_test | sha256sum)
[ "$build" = "$(cat "$dir/build" 2> /dev/null)" ] || rm -f "$dir"/*.result
echo "$build" > "$dir/build"

# piece NAME COMMAND...
piece() {
  local name=$1 began=$SECONDS outcome=FAILED
  shift
  grep -qs '^passed' "$dir/$name.result" && return
  echo "$(date +%T) $name"
  LAB_LOGS=$dir/$name.logs "$@" > "$dir/$name.log" 2>&1 && outcome=passed
  printf '%-8s %5d min\n' $outcome $(((SECONDS - began) / 60)) > "$dir/$name.result"
}

# tests FILE: CLASS.TEST of each test in it
tests() {
  sed -nE 's/^class (\w+)\(.*/class \1/p; s/^    def (test_\w+)\(.*/\1/p' "$lab/test_$1.py" |
    while read -r word name; do
      if [ -n "$name" ]; then class=$name; else echo "$class.$word"; fi
    done
}

# long FILE VARIABLE=VALUE: each of its tests is a piece
long() {
  for test in $(tests "$1"); do
    piece "${test#*.test_}" env "$2" python3 "$lab/test_$1.py" "$test"
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

piece package debian_package
piece rpm rpm_package
piece simulation nice env SIM_LIVES="${SIM_LIVES:-80000}" build/device_sim_test &
long ghosts LAB_GHOST_ROUNDS="${LAB_GHOST_ROUNDS:-100}"
long abort_leaks LAB_ABORTS="${LAB_ABORTS:-10000}"
long peers LAB_PEERS_SECONDS="${LAB_PEERS_SECONDS:-600}"
piece ceph_iscsi env LAB_CEPH_ISCSI_ROUNDS="${LAB_CEPH_ISCSI_ROUNDS:-10}" python3 "$lab/test_ceph_iscsi.py"
packaging/deps.sh kernels
piece alua_host python3 "$lab/test_alua_host.py"
for kernel in 6.1 6.12; do
  for test in data restart netlink abort alua; do
    piece "$test-$kernel" env LAB_KERNEL=$kernel python3 "$lab/test_$test.py"
  done
done
piece dashboard python3 "$lab/test_dashboard.py"
piece ceph_dashboard python3 "$lab/test_ceph_dashboard.py"
piece migration python3 "$lab/test_migration.py"
piece timeline_of_the_peer env TCMU_RBD=tcmu-runner python3 "$lab/test_timeline.py"
wait
piece debian13 tests/run.sh --debian 13

printf '\n%-40s %s\n' piece outcome
for result in "$dir"/*.result; do
  printf '%-40s %s\n' "$(basename "$result" .result)" "$(cat "$result")"
done
! grep -l '^FAILED' "$dir"/*.result > /dev/null
