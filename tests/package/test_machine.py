#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The installed package on a machine of its own: systemd with the unit's sandbox, a real kernel (user-mode Linux) and a
real cluster. Data goes through a disk while the daemon is killed, reloaded and restarted. As root; needs a network.

    test_machine.py [DEB]     DEB: the newest in build/deb, which packaging/build-deb.sh makes
"""

import os
import shutil
import subprocess
import sys

from chroot import ROOT, Chroot, package

sys.path.insert(0, f"{ROOT}/tests/lab")
from lib import isolation, network  # noqa: E402  # of the lab
from lib.cluster import Cluster  # noqa: E402

NET = """[Unit]
Before=tcmu-rbd.service network-online.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'ip link set vec0 up; ip addr add 10.99.0.2/24 dev vec0'
"""
LOOK = """[Service]
ExecStart=/root/look
"""
# Each result is a line; EXPECTED has what they should be.
SCRIPT = r"""#!/bin/sh
say() { echo "$*" >> /root/results; }
wait_for() { for i in $(seq 90); do "$@" && break; sleep 1; done; }
target=/sys/kernel/config/target device=$target/core/user_0/disk loop=$target/loopback/naa.6001405000000001
wait_for systemctl is-active -q tcmu-rbd
say "unit $(systemctl is-active tcmu-rbd), tcmu-runner is $(systemctl show -P Id tcmu-runner)"
mkdir -p $device; echo -n "dev_size=1073741824,dev_config=rbd/rbd/disk,max_data_area_mb=64" > $device/control
timeout 60 sh -c "echo 1 > $device/enable"; say "enable $?, notifications $(cat $device/attrib/tmr_notification)"
modprobe -a tcm_loop sd_mod
mkdir -p $loop/tpgt_1/lun/lun_0; echo naa.6001405000000002 > $loop/tpgt_1/nexus; ln -s $device $loop/tpgt_1/lun/lun_0/disk
wait_for [ -b /dev/sda ]
mkfs.ext4 -q /dev/sda && mount /dev/sda /mnt && dd if=/dev/urandom of=/mnt/x bs=1M count=8 conv=fsync; say "write $?"
sum=$(sha256sum < /mnt/x)
systemctl kill -s KILL tcmu-rbd; sleep 1; wait_for systemctl is-active -q tcmu-rbd
echo 3 > /proc/sys/vm/drop_caches; [ "$sum" = "$(sha256sum < /mnt/x)" ]; say "read after SIGKILL $?"
systemctl reload tcmu-rbd; say "reload $?"
systemctl restart tcmu-runner; say "restart of tcmu-runner $?"
dd if=/dev/urandom of=/mnt/y bs=1M count=4 conv=fsync && umount /mnt; say "write after it $?"
systemctl stop tcmu-rbd; say "stopped: notifications $(cat $device/attrib/tmr_notification), state $(stat -c %a /run/tcmu-rbd)"
name=org.kernel.TCMUService1
say "bus: $(busctl call $name /org/kernel/TCMUService1/rbd $name CheckConfig s rbd/rbd/nosuch 2>&1)"
wait_for systemctl is-active -q tcmu-rbd; say "unit $(systemctl is-active tcmu-rbd)"
journalctl --no-pager -o cat -u tcmu-rbd > /root/journal
sync; sleep 1; sync; poweroff -f
"""
EXPECTED = r"""unit active, tcmu-runner is tcmu-rbd.service
enable 0, notifications 1
write 0
read after SIGKILL 0
reload 0
restart of tcmu-runner 0
write after it 0
stopped: notifications 0, state 700
bus: bs false "client.admin: image \'rbd/nosuch\' does not exist"
unit active
"""


def prepare(chroot):
    chroot.apt("install systemd systemd-sysv dbus iproute2 e2fsprogs /root/tcmu-rbd.deb")
    shutil.copytree("/usr/lib/uml/modules", chroot.path("lib/modules"), dirs_exist_ok=True)
    chroot.write("root/look", SCRIPT, 0o755)
    chroot.write("etc/systemd/system/look.service", LOOK)
    chroot.write("etc/systemd/system/net.service", NET)
    wants = chroot.path("etc/systemd/system/multi-user.target.wants")
    for unit in ("look", "net"):
        os.symlink(f"../{unit}.service", f"{wants}/{unit}.service")
    for unit in ("systemd-networkd", "systemd-networkd-wait-online", "e2scrub_reap"):
        os.symlink("/dev/null", chroot.path(f"etc/systemd/system/{unit}.service"))


def live(chroot):
    network.create_bridge()
    cluster = Cluster(f"{isolation.directory()}/ceph").start()
    cluster.create_image("disk", 1 << 30)
    os.makedirs(chroot.path("etc/ceph"), exist_ok=True)
    with open(cluster.conf, encoding="utf-8") as file:
        chroot.write("etc/ceph/ceph.conf", file.read().replace(f"{cluster.directory}/keyring", "/etc/ceph/keyring"))
    shutil.copy(f"{cluster.directory}/keyring", chroot.path("etc/ceph/keyring"))
    # As Ceph's packages have it, for the user ceph alone: root without capabilities can't read it.
    os.chown(chroot.path("etc/ceph/keyring"), 64045, 64045)
    os.chmod(chroot.path("etc/ceph/keyring"), 0o600)
    subprocess.run(["/usr/bin/linux.uml", "mem=1G", "root=/dev/root", "rootfstype=hostfs", f"rootflags={chroot.root}", "rw",
                    "init=/lib/systemd/systemd", f"vec0:transport=tap,ifname={network.create_tap(0)},depth=128,gro=1",
                    "con=null", "con0=fd:0,fd:1", "quiet", "noreboot", f"uml_dir={isolation.directory()}/"],
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=600, check=False)
    cluster.stop()
    results = chroot.read("root/results")
    print(results)
    if results != EXPECTED:
        raise AssertionError(f"expected:\n{EXPECTED}\nthe journal:\n{chroot.read('root/journal')}")


def main():
    # The lab's interpreter from the start: it would begin this program again with it.
    if os.path.realpath(sys.executable) != os.path.realpath("/usr/bin/python3"):
        os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])
    chroot = Chroot(package())
    try:
        prepare(chroot)
        isolation.run(lambda: live(chroot))
    finally:
        chroot.close()


if __name__ == "__main__":
    main()
