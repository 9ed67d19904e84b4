#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two gateways as ceph-iscsi makes them: hosts learn from each path which of them is the optimized one."""

import re

from lib import alua, testing
from lib.alua import GROUPS, STATES
from lib.multipath import CONF

SIZE = 16 << 20


class AluaTest(alua.AluaTestCase):
    def relative_port(self, target):
        """As the kernel numbers it: from 6.4 on each gateway begins with 1."""
        return int(target.gateway.files(["read", f"{target.path}/lun/lun_0/statistics/scsi_port/indx"])[0])

    def path(self, target):
        """A disk of the first gateway's host beside those that it has."""
        pattern = "/sys/class/iscsi_session/session*/device/target*/*:0/block/*"
        before = self.gateway.files(["glob", pattern])[0]
        self.login(target, self.gateway)
        found = self.wait_until(lambda: set(self.gateway.files(["glob", pattern])[0]).difference(before), 30, "another path appears")
        return "/dev/" + found.pop().rsplit("/", 1)[1]

    def designators(self, gateway, disk):
        output = gateway.output(f"sg_vpd -p 0x83 {disk}")
        return {name: [int(number, 16) for number in re.findall(rf"{name}: 0x([0-9a-f]+)", output)]
                for name in ("Relative target port", "Target port group")}

    def states(self, gateway, disk):
        """The answer to REPORT TARGET PORT GROUPS: by group its state and relative ports."""
        output, groups = gateway.output(f"sg_rtpg -d {disk}"), {}
        for part in output.split("target port group id : ")[1:]:
            state = re.search(r"target port group asymmetric access state : 0x[0-9a-f]+ \(([^)]*)\)", part)[1]
            ports = [int(number, 16) for number in re.findall(r"^ +0x([0-9a-f]+)$", part, re.M)]
            groups[int(part.split()[0], 16)] = (state, ports)
        return groups

    def test_each_path_names_its_port_and_its_group(self):
        device, own = self.serve(0, SIZE)
        _, others = self.serve(1, SIZE, image=device.name, create=False)
        for target, tag in ((own, 1), (others, 2)):
            with self.subTest(gateway=target.gateway.name):
                disk = self.login(target, target.gateway).disk()
                port = self.relative_port(target)
                self.assertEqual(self.designators(target.gateway, disk),
                                 {"Relative target port": [port], "Target port group": [tag]})
                groups = self.states(target.gateway, disk)
                self.assertEqual({group: state for group, (state, _) in groups.items()},
                                 {tag: STATES[state] for tag, (_, state) in GROUPS.items()})
                self.assertIn(port, groups[tag][1])

    def test_multipath_prefers_the_optimized_path(self):
        # Without designators both paths would be used alike, and the lock would change hands with each command. User-mode Linux has
        # no scsi_dh_alua: the priorities are multipath's own reading of the designators and of REPORT TARGET PORT GROUPS.
        # test_alua_host.py has a host with that.
        device, own = self.serve(0, SIZE)
        _, others = self.serve(1, SIZE, image=device.name, create=False)
        paths = {self.path(target): priority for target, priority in ((own, 50), (others, 10))}
        with open(f"{self.gateway.directory}/multipath.conf", "w", encoding="utf-8") as conf:
            conf.write(CONF)
        self.gateway.run(f"""
            command -v multipath || {{ echo "install what packaging/deps.sh --list hosts prints"; exit 1; }}
            modprobe -d /run/modules -a overlay dm-multipath dm-queue-length
            mkdir -p /run/etc/upper /run/etc/work
            mount -n -t overlay -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work overlay /etc
            cp {self.gateway.shared}/multipath.conf /etc/multipath.conf
            /lib/systemd/systemd-udevd --daemon && udevadm trigger -s block && udevadm settle -t 60""", 120)
        self.addCleanup(self.gateway.run, "multipath -F; udevadm control --exit; umount /etc", 60, False)
        output = self.gateway.output("multipath > /dev/null 2>&1; multipath -ll 2> /dev/null", 120)
        groups = re.findall(r"prio=(\d+) status=\w+\n[| ]+`- \S+ (sd\w+) ", output)
        self.assertEqual({f"/dev/{disk}": int(priority) for priority, disk in groups}, paths, output)
        disk = "/dev/mapper/" + output.split()[0]
        self.gateway.run(f"dd if=/dev/urandom of={disk} bs=64k count=64 oflag=direct && dd if={disk} of=/dev/null bs=64k iflag=direct", 120)
        for target, acquired in ((own, 1), (others, 0)):
            self.assertEqual(self.status(device, target.gateway)["counters"]["lock_acquired"], acquired, target.gateway.name)


if __name__ == "__main__":
    testing.main()
