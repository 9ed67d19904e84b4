#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An image with QoS limits (rbd_qos_*): commands that wait for their turn are not hung, so no instance is fenced."""

import time

from lib import cdb, recovery, testing
from lib.libiscsi import BUSY, GOOD
from lib.recovery import MIB

SIZE = 64 * MIB
LIMIT = MIB
WRITES, WRITE_SIZE = 48, MIB // 2
# What the limit lets through within the daemon's deadline of 15 s, less what a slow machine takes.
GOOD_AT_LEAST = 24
ROUND_SECONDS = 60
ANSWER_SECONDS = 1
# So long after it answered a command the daemon takes it for hung.
FENCE_SECONDS = 6
READ_LBA = 60 * MIB // 512


class QosTest(recovery.RecoveryTestCase):
    def setUp(self):
        super().setUp()
        self.lun_device, self.target = self.lun(SIZE, control="max_data_area_mb=64,hw_max_sectors=2048")
        self.here, self.reader = self.session(self.target), self.fresh_session(self.target)
        recovery.write(self.here, 0, bytes(MIB))
        recovery.read(self.reader, READ_LBA, 8)
        self.blocklist = self.cluster.blocklist()

    def limit(self, **settings):
        for name, value in settings.items():
            self.cluster.rbd("config", "image", "set", f"rbd/{self.lun_device.name}", f"rbd_qos_{name}", value)

    def write_all(self):
        return [self.here.submit(cdb.write16(number * WRITE_SIZE // 512, WRITE_SIZE // 512), data=bytes([number]) * WRITE_SIZE)
                for number in range(WRITES)]

    def assert_nobody_fenced(self):
        self.assertEqual(self.cluster.blocklist(), self.blocklist, "an instance was fenced")
        self.assert_daemon_lives()

    def test_more_at_once_than_the_limit_lets_through(self):
        self.limit(write_bps_limit=LIMIT)
        self.here.linger(2)  # the image's clients hear of it
        for _ in range(2):
            started, writes = time.monotonic(), self.write_all()
            self.here.linger(1)
            reads = [self.reader.command(cdb.read16(READ_LBA, 8), read=4096, timeout=ROUND_SECONDS) for _ in range(8)]
            self.here.poll(lambda: all(each.done for each in writes), ROUND_SECONDS, "writes are answered")
            states = [each.status for each in writes]
            self.report(f"{WRITES} writes of 512 KiB at 1 MiB/s: {states.count(GOOD)} good, {states.count(BUSY)} BUSY "
                      f"in {time.monotonic() - started:.1f} s; reads beside them {[round(1000 * each.seconds) for each in reads]} ms")
            self.assertEqual(set(states) - {GOOD, BUSY}, set())
            self.assertGreaterEqual(states.count(GOOD), GOOD_AT_LEAST)
            self.assertEqual({each.status for each in reads}, {GOOD})
            self.assertLess(sorted(each.seconds for each in reads)[len(reads) // 2], ANSWER_SECONDS)
        self.here.linger(FENCE_SECONDS)
        self.assert_nobody_fenced()

    def test_one_that_waits_is_aborted(self):
        self.limit(write_bps_limit=LIMIT)
        self.here.linger(2)
        writes = self.write_all()
        self.here.linger(1)
        waiting = writes[-1]
        self.assertFalse(waiting.done)
        abort = self.here.abort(waiting).wait(20)
        self.report(f"ABORT TASK of one that waits for its turn: {1000 * abort.seconds:.0f} ms")
        self.assertLess(abort.seconds, ANSWER_SECONDS)
        self.here.forget(waiting)
        self.limit(write_bps_limit=0)
        self.here.poll(lambda: all(each.done for each in writes), ROUND_SECONDS, "the others are answered")
        self.here.linger(1)
        self.assertNotEqual(recovery.read(self.here, (WRITES - 1) * WRITE_SIZE // 512, 1), bytes([WRITES - 1]) * 512,
                            "what was aborted before it began was done")
        self.assert_nobody_fenced()


if __name__ == "__main__":
    testing.main(osds=1)
