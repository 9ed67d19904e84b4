#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An image with snapshot mirroring that is demoted and promoted while it is served: writes are refused meanwhile, no instance is fenced."""

import time

from lib import cdb, recovery, testing
from lib.libiscsi import GOOD
from lib.recovery import MIB

SIZE = 64 * MIB
DATA_PROTECT, WRITE_PROTECTED = 7, 0x2700
POOL = "mirrored"
REFUSED_SECONDS = 2
AGAIN_SECONDS = 10
WRITES = 8


class MirroringTest(recovery.RecoveryTestCase):
    def setUp(self):
        super().setUp()
        if POOL not in self.cluster.command("osd pool ls"):
            self.cluster.create_pool(POOL)
            self.cluster.rbd("mirror", "pool", "enable", POOL, "image")
        self.image = self.image_name()
        self.cluster.create_image(self.image, SIZE, POOL)
        self.mirror("enable", "snapshot")

    def mirror(self, verb, *words):
        self.cluster.rbd("mirror", "image", verb, f"{POOL}/{self.image}", *words)

    def serve(self):
        self.lun_device, target = self.lun(SIZE, image=self.image, create=False, pool=POOL)
        self.here = self.session(target)
        self.blocklist, self.log_start = self.cluster.blocklist(), len(self.daemon.log())

    def write(self, data=b"w" * 4096):
        while True:
            reply = self.here.command(cdb.write16(0, 8), data=data, timeout=60)
            if reply.key != recovery.UNIT_ATTENTION:
                return reply

    def assert_refused(self):
        """Each write in good time, after a first that may take longer: it finds out."""
        self.write()
        for _ in range(WRITES):
            reply = self.write()
            self.assert_sense(reply, DATA_PROTECT, WRITE_PROTECTED)
            self.assertLess(reply.seconds, REFUSED_SECONDS)
        recovery.read(self.here, 0, 8, 10)

    def assert_served_again(self):
        started, data = time.monotonic(), self.random.randbytes(4096)
        self.wait_until(lambda: self.write(data).status == GOOD, 4 * AGAIN_SECONDS, "a write is good after the promotion")
        seconds = time.monotonic() - started
        self.report(f"the first good write after the promotion: {seconds:.1f} s")
        self.assertLess(seconds, AGAIN_SECONDS)
        self.assertEqual(recovery.read(self.here, 0, 8), data)
        self.assertEqual(self.cluster.blocklist(), self.blocklist, "an instance was fenced")
        self.assert_daemon_lives()

    def assert_told_once(self):
        with self.subTest("reported once"):
            output = [line for line in self.daemon.log()[self.log_start:].splitlines() if "primary" in line]
            self.assertEqual(len(output), 1, "\n".join(output))

    def test_demoted_and_promoted(self):
        """It is demoted before a gateway has the lock: the tool needs it, and no gateway gives it to the tool."""
        self.serve()
        recovery.read(self.here, 0, 8)
        self.mirror("demote")
        self.assert_refused()
        self.assert_told_once()
        self.mirror("promote", "--force")
        self.assert_served_again()

    def test_on_the_other_side_when_the_device_is_made(self):
        self.mirror("demote")
        start = len(self.daemon.log())
        self.serve()
        self.log_start = start
        self.assert_refused()
        self.assert_told_once()
        self.mirror("promote", "--force")
        self.assert_served_again()


if __name__ == "__main__":
    testing.main(osds=1)
