#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# From nothing to a served RBD image in minutes: installs what is needed, builds the daemon, and shows its main job at work.
#
#   quickstart.sh [--keep] [--host [--pool POOL]] [--size MIB] [--port PORT]
#
#   (nothing)    a Ceph cluster and a Linux kernel of its own, in memory, that vanish at the end; nothing of this host is touched
#   --keep       leave it running until Ctrl-C, and print how to connect an initiator
#   --host       this host's kernel (TCMU) and the cluster of its ceph.conf ($CEPH_CONF) instead; what it makes, it removes again
#   --pool POOL  with --host: the pool for its image (default: rbd)
#   --size MIB   the size of its image, 16 to 4096 (default: 256)
#   --port PORT  with --keep: the port on this host's loopback address (default: 3260)
#   TCMU_RBD=PATH  use this daemon, and build none
set -eu
here=$(cd "$(dirname "$0")" && pwd)
source=$(dirname "$here")

case " $* " in *" -h "* | *" --help "*) sed -n '3,13s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
[ "$(id -u)" = 0 ] || { echo "quickstart.sh: as root, please: it needs namespaces, mounts and kernel targets" >&2; exit 1; }
# Wrong options are told before minutes of building. A machine without Python gets it first.
if [ -x /usr/bin/python3 ]; then /usr/bin/python3 "$here/quickstart.py" --check-options "$@"; fi

echo "1. What it needs"
"$here/deps.sh" lab
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
# No shell between: signals must reach what cleans up.
exec /usr/bin/python3 "$here/quickstart.py" "$@"
