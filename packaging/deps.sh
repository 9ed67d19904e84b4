#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that this project needs, and nothing when they are there already.
#   deps.sh [build|check|lab|all]   to build the daemon and its tests; for style and fuzzing; for the lab and the quickstart; all
#   deps.sh --list [SECTION]  only prints the names
set -eu

# To build the daemon and its unit tests.
build="g++ cmake dbus ninja-build pkg-config git
  libboost-dev libcli11-dev libfmt-dev libgmock-dev libgtest-dev libnl-3-dev libnl-genl-3-dev librados-dev librbd-dev
  libspdlog-dev libsystemd-dev libyaml-cpp-dev nlohmann-json3-dev"

# Style, and the fuzzers: some hundred megabytes that who only builds can do without.
check="clang-format-19 clang-tidy-19 clang-19 libclang-rt-19-dev llvm-19"

# For a real kernel (user-mode-linux), a real cluster and initiators; tcmu-runner is the peer that the lab is proven with.
lab="user-mode-linux g++ kmod iproute2 procps mount util-linux e2fsprogs python3 python3-rados
  ceph-mon ceph-osd ceph-mgr ceph-common
  libiscsi-bin libiscsi7 open-iscsi sg3-utils ddpt fio btrfs-progs xfsprogs
  tcmu-runner targetcli-fb libglib2.0-bin"

usage() { sed -n '3,5s/^# \{0,1\}//p' "$0"; }

list=
case ${1:-} in
  --list) list=1; shift ;;
  -h | --help) usage; exit 0 ;;
esac
case ${1:-all} in
  build) wanted=$build ;;
  check) wanted=$check ;;
  lab) wanted=$lab ;;
  all) wanted="$build $check $lab" ;;
  *) usage >&2; exit 2 ;;
esac
if [ -n "$list" ]; then printf '%s\n' $wanted; exit 0; fi

command -v dpkg-query > /dev/null || {
  echo "deps.sh: this is not Debian or Ubuntu; install what 'deps.sh --list' prints by its names here" >&2
  exit 1
}
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2> /dev/null | sed -n 's/^installed //p' || true)
missing=$(printf '%s\n' $wanted | sort -u | grep -vxF -e "$installed" || true)
[ -n "$missing" ] || exit 0
[ "$(id -u)" = 0 ] || { echo "deps.sh: as root, please: apt-get install" $missing >&2; exit 1; }

# Installing must not start services: tcmu-runner's would take the TCMU devices of this very host.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  trap 'rm -f $policy' EXIT
  printf '#!/bin/sh\nexit 101\n' > $policy
  chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -y --no-install-recommends -o Dpkg::Use-Pty=0 $missing; }
echo "deps.sh: installing" $missing
# The package lists at hand are often good enough; if not, they are fetched, and a second failure is one to show.
if ! apt-get install -s --no-install-recommends $missing > /dev/null 2>&1 || ! install > /dev/null 2>&1; then
  apt-get update
  install
fi
