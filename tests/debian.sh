#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command at the top of this tree on a release of Debian: here if this machine has it, else in a chroot on a copy of the tree.
#   debian.sh RELEASE COMMAND...   RELEASE: 12 or 13; for example: debian.sh 13 packaging/quickstart.sh
#   TCMU_RBD_CHROOT=DIR            keep the chroot there, and use it also if this machine has the release (default: build-debianRELEASE)
#   DEBIAN_MIRROR=URL              fetch packages from there (default: http://deb.debian.org/debian)
#
# The first run makes the chroot; it is kept with its packages and builds. It needs root.
# Mounts and processes are in namespaces of their own. The kernel ends and removes them with this process, however it ends.
set -eu -o pipefail
here=$(cd "$(dirname "$0")" && pwd)
source=$(dirname "$here")
copy=/src/tcmu-rbd

fail() { echo "debian.sh: $*" >&2; exit 1; }

# inside ROOT COMMAND...: PID 1 of the namespaces makes ROOT their root. It is a mount point then, which the lab requires of "/".
inside() {
  local root=$1
  shift
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount --rbind /sys "$root/sys"
  mount --rbind /dev "$root/dev"
  for directory in run tmp; do mount -t tmpfs -o mode=1777 tmpfs "$root/$directory"; done
  mkdir "$root/run/host"
  cd "$root"
  pivot_root . run/host
  umount --lazy /run/host
  rmdir /run/host
  cd "$copy"
  # Paths of the other root.
  unset TMPDIR TCMU_RBD LAB_LOGS
  export HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin
  # Not exec: PID 1 does not get signals that it has no handler for, and reaps orphans as bash does.
  "$@"
}

# The tree as it is now, without what git ignores; build* stays. A file that differs gets a new mtime, so it is built again: its own
# mtime may be older than an object that an earlier run made of what was there before.
copy_tree() {
  local to=$1/$copy
  rm -rf "$to.new"
  mkdir -p "$to" "$to.new"
  git -C "$source" ls-files -z --cached --others --exclude-standard |
    tar -C "$source" --null -T - --ignore-failed-read --warning=no-failed-read -cf - | tar -C "$to.new" -xf -
  rsync -rlp --checksum --delete --exclude='/build*' --exclude=/.git "$to.new/" "$to/"
  rm -rf "$to.new"
  # The rules of the house look at what git knows; a worktree's .git leads out of the chroot.
  git init -q "$to"
}

# make_root ROOT SUITE: in another directory first, so that one that was interrupted is not taken for a whole one.
make_root() {
  rm -rf "$1.part"
  debootstrap --variant=minbase "$2" "$1.part" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
  grep -qs localhost "$1.part/etc/hosts" || echo '127.0.0.1 localhost' > "$1.part/etc/hosts"
  # Nothing that is installed there may start a service.
  printf '#!/bin/sh\nexit 101\n' > "$1.part/usr/sbin/policy-rc.d"
  chmod 755 "$1.part/usr/sbin/policy-rc.d"
  mv "$1.part" "$1"
}

if [ "${1:-}" = --inside ]; then
  shift
  inside "$@"
  exit
fi
case ${1:-} in
  12) suite=bookworm ;;
  13) suite=trixie ;;
  *) sed -n '3,6s/^# \{0,1\}//p' "$0"; [ "${1:-}" = --help ]; exit ;;
esac
release=$1
shift
[ $# -gt 0 ] || fail "what to run is missing"
if [ -z "${TCMU_RBD_CHROOT:-}" ] && [ "$(. /etc/os-release && echo "$ID${VERSION_ID:-}")" = "debian$release" ]; then
  cd "$source"
  exec "$@"
fi
[ "$(id -u)" = 0 ] || fail "as root, please: it needs namespaces, mounts and debootstrap"

directory=$(realpath -m "${TCMU_RBD_CHROOT:-$source/build-debian$release}")
mkdir -p "$directory"
# Every process inside has it open: it is free when the last one is gone.
exec 9> "$directory/lock"
flock -n 9 || fail "$directory is in use by another run"
"$source/packaging/deps.sh" chroot
[ -d "$directory/root" ] || make_root "$directory/root" "$suite"
copy_tree "$directory/root"
cp -L /etc/resolv.conf "$directory/root/etc/resolv.conf"

trap '[ -z "${child:-}" ] || kill -KILL "$child" 2> /dev/null || true' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
# unshare holds signals back while it waits, but its death kills its child, PID 1, and with it all processes of the namespace.
setpriv --pdeathsig KILL \
  unshare --mount --propagation private --pid --fork --kill-child "$here/debian.sh" --inside "$directory/root" "$@" &
child=$!
status=0
wait "$child" || status=$?
child=
exit $status
