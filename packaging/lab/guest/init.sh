#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# PID 1 of a gateway: a kernel whose root is the host's file system, read-only, with memory over what has to be written.
# The kernel's command line gives: LAB (the lab's directory), GW (this gateway's number), AGENT_PORT, MODULES (where RELEASE/ has them).
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run/home LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
stage() { echo "lab: $*" > /dev/console; }

mount -n -t proc proc /proc
mount -n -t sysfs sys /sys
mountpoint -q /dev || mount -n -t devtmpfs dev /dev
for dir in /run /tmp /var/log /var/tmp; do mount -n -t tmpfs tmpfs $dir; done
chmod 1777 /tmp /var/tmp
mkdir -p /dev/pts /dev/shm /run/lock /run/dbus /run/home /run/gw /run/target/pr /run/target/alua /run/iscsi /run/modules/lib/modules
mount -n -t devpts devpts /dev/pts
mount -n -t tmpfs shm /dev/shm
ln -s /proc/self/fd /dev/fd
ln -s "$MODULES/$(uname -r)" /run/modules/lib/modules/
load() { modprobe -d /run/modules -a "$@" || stage "modprobe failed: $*"; }

# The files of the lab, and the one directory of the host that this gateway may write to; its network.
uml_machine() {
  # Linux 6.11 and later take the directory as the option hostfs=; older ones take that word for a part of the path and fail.
  own=$LAB/gw$GW
  mount -n -t hostfs none /run/gw -o "hostfs=$own" 2> /dev/null || mount -n -t hostfs none /run/gw -o "$own"
  nic=vec0
}
qemu_machine() {
  # Not cached: both sides read what the other one has written.
  transport=trans=virtio,version=9p2000.L,msize=131072,cache=none
  mount -n -t 9p -o "ro,$transport" lab "$LAB"
  mount -n -t 9p -o "$transport" own /run/gw
  load virtio_net virtio_rng
  nic=eth0
  # Here much more is a module than in the user-mode kernel, and is loaded by the kernel itself when it is wanted first.
  printf '#!/bin/sh\nexec modprobe -d /run/modules "$@"\n' > /run/modprobe
  chmod 755 /run/modprobe
  echo /run/modprobe > /proc/sys/kernel/modprobe
}
if [ -d /sys/bus/virtio/drivers/9pnet_virtio ]; then qemu_machine; else uml_machine; fi

hostname "gw$GW"
ip link set lo up
ip link set $nic address "02:00:00:00:00:0$((GW + 2))"
ip addr add "10.99.0.$((GW + 2))/24" dev $nic
ip link set $nic up

# open-iscsi keeps its database below /etc, since 2.1.10 below /var/lib.
[ -d /var/lib/iscsi ] && mount -n -t tmpfs tmpfs /var/lib/iscsi
if [ -d /etc/iscsi ]; then
  cp -a /etc/iscsi/. /run/iscsi/
  echo "InitiatorName=iqn.2026-11.lab:initiator$GW" > /run/iscsi/initiatorname.iscsi
  mount -n --bind /run/iscsi /etc/iscsi
fi

stage modules
load target_core_user
mount -n -t configfs none /sys/kernel/config
# LIO takes this directory only while no fabric module is loaded.
echo -n /run/target > /sys/kernel/config/target/dbroot
load tcm_loop iscsi_target_mod iscsi_tcp sd_mod sg

stage agent
/usr/bin/python3 "$LAB/guest/agent.py" "10.99.0.$((GW + 2))" "$AGENT_PORT" &
# Waiting reaps orphans too, which is the rest of PID 1's duty.
wait
stage "the agent ended"
echo o > /proc/sysrq-trigger
sleep 60
