#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A host with the kernel's ALUA handler and dm-multipath, as operators have it: it uses the optimized path, fails over and comes back.

The host runs one of Debian's own kernels, since user-mode Linux has no scsi_dh_alua. The gateways run the kernel under test.
"""

import os
import re

from lib import alua, qemu, testing
from lib.initiator import Fio
from lib.multipath import MultipathHost

SIZE = 32 << 20
HOST = 2  # its number among the machines of the lab
HOST_KERNEL = os.environ.get("LAB_HOST_KERNEL") or qemu.own_version()
# For detection, the path checker, the failback delay of multipath.conf, and a slow machine.
SWITCH_SECONDS = 60


class AluaHostTest(alua.AluaTestCase):
    time_limit = 300

    def setUp(self):
        super().setUp()
        self.device_, self.own = self.serve(0, SIZE)
        _, self.others = self.serve(1, SIZE, image=self.device_.name, create=False)
        machine = self.lab.gateway(HOST, kernel=HOST_KERNEL)
        self.host = MultipathHost(machine).start()
        self.addCleanup(self.host.stop)
        self.host.login(self.own, self.others)
        self.disk = self.host.disk()
        self.wait_for_priorities((50, "active"), (10, "enabled"))

    def wait_for_priorities(self, *wanted):
        try:
            self.wait_until(lambda: self.host.priorities() == list(wanted), SWITCH_SECONDS, f"the groups are {wanted}")
        except TimeoutError as late:
            raise AssertionError(f"{late}\n{self.host.show()}") from None

    def counter(self, target, name):
        return self.status(self.device_, target.gateway)["counters"][name]

    def locks(self):
        """How often each gateway acquired the lock."""
        return [self.counter(target, "lock_acquired") for target in (self.own, self.others)]

    def load(self):
        """Writes and verifies, slowly enough for the host."""
        return Fio(self.host.machine, self.disk, bs="16k", size="2M", iodepth=4, rate_iops=60).start()

    def wait_for_writes(self, target):
        before = self.counter(target, "commands_write")
        self.wait_until(lambda: self.counter(target, "commands_write") > before, SWITCH_SECONDS, f"writes by {target.gateway.name}")

    def longest_stall(self, load):
        """Of all I/O of a load, in seconds."""
        units = {"nsec": 1e-9, "usec": 1e-6, "msec": 1e-3}
        with open(f"{self.host.machine.directory}/{load.name}.out", encoding="utf-8") as output:
            found = re.findall(r"^ *lat \((\w+)\): min= *\S+, max= *([\d.]+)(k?)", output.read(), re.M)
        return max(units[unit] * float(number) * (1000 if kilo else 1) for unit, number, kilo in found)

    def test_only_the_optimized_path_is_used(self):
        show = self.host.show()
        self.report(show.replace("\n", "\n  "))
        self.assertIn("hwhandler='1 alua'", show)
        for target, state in ((self.own, "active/optimized"), (self.others, "active/non-optimized")):
            attributes = f"/sys/block/{self.host.path(target)}/device"
            self.assertEqual(self.host.machine.output(f"cat {attributes}/dh_state {attributes}/access_state").split(), ["alua", state])
        reads = self.counter(self.others, "commands_read")
        load = self.load()
        self.wait_for_writes(self.own)
        load.finish()
        self.assertEqual(self.counter(self.others, "commands_write"), 0)
        self.assertEqual(self.counter(self.others, "commands_read"), reads)
        self.assertEqual(self.locks(), [1, 0])

    def test_failover_and_failback_of_a_disabled_path(self):
        load = self.load()
        self.wait_for_writes(self.own)
        self.own.gateway.files(["write", f"{self.own.path}/enable", "0"])
        self.wait_for_writes(self.others)
        self.assertEqual(self.locks(), [1, 1])
        self.own.gateway.files(["write", f"{self.own.path}/enable", "1"])
        self.wait_for_priorities((50, "active"), (10, "enabled"))
        self.assert_used_alone(self.own, self.others)
        load.finish()
        self.assertEqual(self.locks(), [2, 1])
        self.report(f"longest stall: {self.longest_stall(load):.1f} s")

    def test_failover_and_failback_of_a_dead_gateway(self):
        load = self.load()
        self.wait_for_writes(self.own)
        self.cut_power(self.own.gateway)
        self.wait_for_writes(self.others)
        self.assertEqual(self.counter(self.others, "lock_acquired"), 1)
        self.serve(0, SIZE, image=self.device_.name, create=False)
        self.wait_for_priorities((50, "active"), (10, "enabled"))
        self.assert_used_alone(self.own, self.others)
        load.finish()
        self.assertEqual(self.locks(), [1, 1])
        self.report(f"longest stall: {self.longest_stall(load):.1f} s")

    def assert_used_alone(self, used, unused):
        """Writes come to one gateway, and none to the other any more."""
        self.wait_for_writes(used)
        writes = self.counter(unused, "commands_write")
        for _ in range(5):
            self.wait_for_writes(used)
        self.assertEqual(self.counter(unused, "commands_write"), writes)


if __name__ == "__main__":
    testing.main(kernels=[HOST_KERNEL])
