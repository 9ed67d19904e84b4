#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs the required Debian packages that are missing.
#   deps.sh [build|check|quickstart|lab|all]   for the daemon and its unit tests; style checks and fuzzing; quickstart; lab; all
#   deps.sh hosts|chroot|package   for the lab's multipath host and ceph-iscsi; for tests/debian.sh; to build and test packages
#   deps.sh kernels   to run the lab on Debian's own kernels (packaging/lab/kernel.sh)
#   deps.sh --list [SECTION]  only print the package names
set -eu

# To build the daemon and its unit tests.
build="g++ cmake dbus ninja-build pkg-config git
  libboost-dev libcli11-dev libfmt-dev libgmock-dev libgtest-dev libnl-3-dev libnl-genl-3-dev librados-dev librbd-dev
  libspdlog-dev libsystemd-dev libyaml-cpp-dev nlohmann-json3-dev systemtap-sdt-dev"

# Style checks and fuzzers, Prometheus for the metrics and the dashboard, and what draws pictures: several hundred megabytes, not needed
# for a build.
check="prometheus python3-matplotlib clang-format-19 clang-tidy-19 clang-19 libclang-rt-19-dev llvm-19"

# A kernel (user-mode-linux), a cluster and initiators.
quickstart="user-mode-linux g++ kmod iproute2 procps mount util-linux e2fsprogs python3 python3-rados
  ceph-mon ceph-osd ceph-mgr ceph-common
  libiscsi-bin libiscsi7 open-iscsi sg3-utils ddpt fio btrfs-progs xfsprogs
  targetcli-fb libglib2.0-bin"

# tcmu-runner is the reference for the lab and the benchmarks. Not for the quickstart, which may run on a gateway.
lab="$quickstart tcmu-runner"

# The lab's host with multipath, ceph-iscsi, the dashboard, cephadm. Not part of the above: on the machine of somebody who tries the
# quickstart, multipath may take disks, and rbd-target-api, started at the next boot, removes this host's entries of a cluster's blocklist.
hosts="multipath-tools udev ceph-iscsi ceph-mgr-dashboard cephadm"

# QEMU for Debian's own kernels, and what makes their initrd.
kernels="qemu-system-x86 busybox-static cpio xz-utils kmod"

# For another release of Debian in a chroot.
chroot="debootstrap debian-archive-keyring git rsync"

# To build packages, and to test them in a chroot.
package="debhelper dpkg-dev lintian debootstrap util-linux man-db rpm rpmlint"

usage() { sed -n '3,7s/^# \{0,1\}//p' "$0"; }

list=
case ${1:-} in
  --list) list=1; shift ;;
  -h | --help) usage; exit 0 ;;
esac
case ${1:-all} in
  build) wanted=$build ;;
  check) wanted=$check ;;
  quickstart) wanted=$quickstart ;;
  lab) wanted=$lab ;;
  hosts) wanted=$hosts ;;
  kernels) wanted=$kernels ;;
  chroot) wanted=$chroot ;;
  package) wanted="$build $package" ;;
  all) wanted="$build $check $lab $hosts $kernels" ;;
  *) usage >&2; exit 2 ;;
esac
if [ -n "$list" ]; then printf '%s\n' $wanted; exit 0; fi

command -v dpkg-query > /dev/null || {
  echo "deps.sh: this is not Debian or Ubuntu; install the equivalents of the packages that 'deps.sh --list' prints" >&2
  exit 1
}
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2> /dev/null | sed -n 's/^installed //p' || true)
missing=$(printf '%s\n' $wanted | sort -u | grep -vxF -e "$installed" || true)
[ -n "$missing" ] || exit 0
[ "$(id -u)" = 0 ] || { echo "deps.sh: must be run as root: apt-get install" $missing >&2; exit 1; }

# Services that would take devices and disks of this host. They are not started now, nor at the next boot.
enabled() {
  for unit in tcmu-runner rbd-target-api rbd-target-gw multipathd; do
    if systemctl is-enabled -q $unit.service 2> /dev/null; then echo $unit.service; fi
  done
}
enabled_before=$(enabled)
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  trap 'rm -f $policy' EXIT
  printf '#!/bin/sh\nexit 101\n' > $policy
  chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
# Nothing is removed: tcmu-runner would replace an installed tcmu-rbd, and end what it serves.
install() { apt-get install -y --no-remove --no-install-recommends -o Dpkg::Use-Pty=0 $missing; }
echo "deps.sh: installing" $missing
# Try the present package lists first; update them if that fails, and report the second failure.
if ! apt-get install -s --no-remove --no-install-recommends $missing > /dev/null 2>&1 || ! install > /dev/null 2>&1; then
  apt-get update
  install
fi
for unit in $(enabled); do
  case " $enabled_before " in *[[:space:]]$unit[[:space:]]*) ;; *) systemctl disable --quiet $unit || : ;; esac
done
