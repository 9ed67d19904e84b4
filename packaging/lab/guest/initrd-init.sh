#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# The initrd of a QEMU machine: the host's file system becomes the root, over 9p. The kernel's command line gives LAB_INIT.
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
while read -r module; do
  $b insmod "/modules/$module" || echo "initrd: cannot load $module"
done < /modules/order
# The host's programs do not change while a lab runs, so what was read of them once is kept.
$b mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose root /root || echo "initrd: no root"
$b umount /dev
$b umount /proc
exec $b switch_root /root "$LAB_INIT"
