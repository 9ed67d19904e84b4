#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A write that the kernel or its host has given up never runs: a daemon or a machine that stood still, a lock that came too late."""

from lib import recovery, testing
from lib.ghosts import PAGE, Hunt
from lib.libiscsi import GOOD
from lib.lio import IQN
from lib.placement import image_with_its_lock_on_one_osd
from lib.recovery import MIB

SIZE = 64 * MIB
# The kernel's patience with a command.
KERNEL_SECONDS = 4
WRITES = 32
HOST_WRITES = 128
ON_ITS_WAY_SECONDS = 0.3
NEWER_SECONDS = 60
# A gateway that was away answers BUSY for some seconds; hosts repeat that.
BACK_SECONDS = 15
WATCH_SECONDS = 3
OBJECT_PAGES = 4 * MIB // PAGE


class Path:
    """A separate LUN on two gateways, of which the second has the lock."""

    def __init__(self, case, number, pages, options="", cmd_time_out=KERNEL_SECONDS, **image):
        self.case, self.pages, self.hunt = case, pages, Hunt()
        self.name = f"cmd_time_out {cmd_time_out} {options}"
        iqn = f"{IQN}-{number}"
        device, self.target = case.lun(SIZE, options=options, cmd_time_out=cmd_time_out, iqn=iqn, **image)
        _, _, there = case.peer(device, options=options, iqn=iqn)
        self.here, self.there = case.fresh_session(self.target), case.fresh_session(there)
        for session in (self.here, self.there):
            self.hunt.fill(session, self.changes())

    def changes(self):
        return [self.hunt.change(page, 1) for page in self.pages]

    def send_old(self):
        self.old = self.hunt.submit(self.here, self.changes())
        self.here.linger(ON_ITS_WAY_SECONDS)

    def kernel_gives_up(self):
        commands = [command for _, command in self.old]
        self.here.poll(lambda: all(each.done for each in commands), 3 * KERNEL_SECONDS, f"{self.name}: the kernel ends old writes")
        self.case.assertNotIn(GOOD, [each.status for each in commands], self.name)

    def host_gives_up(self):
        self.here.drop()
        self.here = None

    def send_newer(self, session, seconds=NEWER_SECONDS):
        self.hunt.write_all(session, self.changes(), seconds)

    def look(self):
        if self.here is None:
            self.here = self.case.fresh_session(self.target)
        with self.case.subTest(self.name):
            self.hunt.look({"by the first gateway": self.here, "by the second": self.there}, self.pages, WATCH_SECONDS)


class StaleTest(recovery.RecoveryTestCase):
    def assert_nothing_old(self, paths):
        """Now, and when the first gateway is at work again."""
        for path in paths:
            path.look()
        for path in paths:
            path.send_newer(path.here, BACK_SECONDS)
            path.send_newer(path.there)
        for path in paths:
            path.look()
        self.assert_daemon_lives()

    def test_the_daemon_stood_still(self):
        """With any deadline, given up by the kernel or by a host that dropped its session."""
        pages = range(WRITES)
        paths = [Path(self, 0, pages), Path(self, 1, pages, options=";osd_op_timeout=0"), Path(self, 2, pages, cmd_time_out=0)]
        self.daemon.hang()
        self.addCleanup(self.daemon.resume)
        for path in paths:
            path.send_old()
        for path in paths[:2]:
            path.kernel_gives_up()
        paths[2].host_gives_up()
        for path in paths:
            path.send_newer(path.there)
        self.daemon.resume()
        self.assert_nothing_old(paths)

    def stand_still(self, path):
        self.freeze(self.gateway)
        path.send_old()
        path.host_gives_up()
        path.send_newer(path.there)
        path.there.linger(KERNEL_SECONDS)
        self.thaw(self.gateway)
        self.assert_nothing_old([path])

    def test_the_machine_stood_still(self):
        """Commands of a host arrive when the machine resumes, and the other gateway hands over the lock."""
        self.stand_still(Path(self, 0, range(HOST_WRITES), cmd_time_out=0))

    def test_the_machine_stood_still_with_the_lock(self):
        """It is fenced when the other gateway takes the lock; what arrives then must not wait for the fresh instance."""
        path = Path(self, 0, range(HOST_WRITES), cmd_time_out=0)
        path.send_newer(path.here)
        self.stand_still(path)

    def test_the_lock_came_after_the_kernel_gave_up(self):
        """A write without a deadline waits for the lock, whose objects are on a hung OSD."""
        image, osd, placement = image_with_its_lock_on_one_osd(self.cluster, (self.image_name() for _ in range(200)), SIZE)
        healthy = next(n for n in range(placement.object_count) if placement.data(n) != osd)
        pages = range(healthy * OBJECT_PAGES, healthy * OBJECT_PAGES + WRITES)
        path = Path(self, 0, pages, options=";osd_op_timeout=0", image=image, create=False)
        self.hang(self.cluster.osds[osd])
        path.send_old()
        path.kernel_gives_up()
        path.send_newer(path.there)
        self.resume(self.cluster.osds[osd])
        self.assert_nothing_old([path])


if __name__ == "__main__":
    testing.main(osds=3)
