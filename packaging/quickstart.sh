#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Demonstrates tcmu-rbd: installs the required packages, builds the daemon, and serves an RBD image with it.
#
#   quickstart.sh [--keep] [--host [--pool POOL]] [--size MIB] [--port PORT]
#
#   (nothing)    private in-memory Ceph cluster and Linux kernel, removed at the end; the host is not changed
#   --keep       keep it running until Ctrl-C, and print how to connect an initiator
#   --host       use this host's kernel (TCMU) and the cluster of its ceph.conf ($CEPH_CONF); everything created is removed again
#   --pool POOL  with --host: the pool of the image (default: rbd)
#   --size MIB   the size of the image, 16 to 4096 (default: 256)
#   --port PORT  with --keep: the port on this host's loopback address (default: 3260)
#   TCMU_RBD=PATH  use this daemon instead of building one
set -eu
here=$(cd "$(dirname "$0")" && pwd)
source=$(dirname "$here")

case " $* " in *" -h "* | *" --help "*) sed -n '3,13s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
[ "$(id -u)" = 0 ] || { echo "quickstart.sh: must be run as root: it needs namespaces, mounts and kernel targets" >&2; exit 1; }
# Reports wrong options before the build, if Python is installed already.
if [ -x /usr/bin/python3 ]; then /usr/bin/python3 "$here/quickstart.py" --check-options "$@"; fi

echo "1. Required packages"
"$here/deps.sh" quickstart
if [ -z "${TCMU_RBD:-}" ]; then
  "$here/deps.sh" build
  echo "2. Building tcmu-rbd"
  build=$source/build
  launcher=
  if command -v ccache > /dev/null; then launcher=-DCMAKE_CXX_COMPILER_LAUNCHER=ccache; fi
  [ -e "$build/build.ninja" ] || cmake -S "$source" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release $launcher > /dev/null
  cmake --build "$build" --target tcmu-rbd
  export TCMU_RBD=$build/tcmu-rbd
else
  echo "2. The daemon: $TCMU_RBD"
fi
# exec: signals must reach the process that cleans up.
exec /usr/bin/python3 "$here/quickstart.py" "$@"
