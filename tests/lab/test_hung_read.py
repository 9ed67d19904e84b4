#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A read that hangs on one OSD does not stop the writes to the others: neither after a reset nor for a gateway that wants the lock."""

import time

from lib import cdb, recovery, testing
from lib.ghosts import BLOCKS, PAGE
from lib.libiscsi import GOOD
from lib.placement import image_beside_an_osd
from lib.recovery import MIB

SIZE = 64 * MIB
READS = 4
ON_ITS_WAY_SECONDS = 0.3
ANSWER_SECONDS = 1
# Asked of the daemon: 3 s; the rest is for a slow and shared machine.
SERVED_SECONDS = 4.5
PATIENCE_SECONDS = 30


class HungReadTest(recovery.RecoveryTestCase):
    def setUp(self):
        super().setUp()
        names = (self.image_name() for _ in range(200))
        self.image, victim, placement = image_beside_an_osd(self.cluster, names, SIZE)
        self.victim = self.cluster.osds[victim]
        blocks_per_object = placement.object_size // 512
        self.stuck_lba = placement.objects_on(victim)[0] * blocks_per_object
        self.healthy_lba = next(n for n in range(placement.object_count) if placement.data(n) != victim) * blocks_per_object
        self.lun_device, target = self.lun(SIZE, image=self.image, create=False)
        self.here = self.session(target)
        for lba in (self.stuck_lba, self.healthy_lba):
            recovery.write(self.here, lba, bytes(MIB))

    def hang_reads(self):
        self.hang(self.victim)
        reads = [self.here.submit(cdb.read16(self.stuck_lba + BLOCKS * n, BLOCKS), read=PAGE) for n in range(READS)]
        self.here.linger(ON_ITS_WAY_SECONDS)
        self.assertFalse(any(each.done for each in reads), "they did not hang")
        return reads

    def timed_write(self, session, figure):
        data, started = self.random.randbytes(PAGE), time.monotonic()
        recovery.write(session, self.healthy_lba, data, PATIENCE_SECONDS)
        seconds = time.monotonic() - started
        self.report(f"first good write to a healthy OSD {figure}: {1000 * seconds:.0f} ms")
        self.assertLess(seconds, SERVED_SECONDS, figure)
        self.assertEqual(recovery.read(session, self.healthy_lba, BLOCKS), data)

    def give_up(self, managements, reads):
        self.here.poll(lambda: all(each.done for each in managements), ANSWER_SECONDS, "task managements are answered")
        self.here.forget(*reads)

    def assert_recovers(self, session):
        self.resume(self.victim)
        for lba in (self.stuck_lba, self.healthy_lba):
            data = self.random.randbytes(PAGE)
            recovery.write(session, lba, data)
            self.assertEqual(recovery.read(self.here, lba, BLOCKS), data)
        self.assert_daemon_lives()

    def test_reset_over_reads(self):
        reads = self.hang_reads()
        self.give_up([self.here.lun_reset()], reads)
        self.timed_write(self.here, "after a LUN RESET over hung reads")
        self.assert_recovers(self.here)

    def test_aborted_reads(self):
        reads = self.hang_reads()
        self.give_up([self.here.abort(each) for each in reads], reads)
        self.timed_write(self.here, "after ABORT TASK of hung reads")
        # Longer than any patience of the daemon with an op that was aborted.
        end = time.monotonic() + 8
        while time.monotonic() < end:
            self.timed_write(self.here, "again")
            self.here.linger(0.5)
        self.assert_recovers(self.here)

    def test_a_peer_asks(self):
        _, _, target = self.peer(self.lun_device)
        there = self.session(target)
        recovery.read(there, self.healthy_lba, BLOCKS)
        reads = self.hang_reads()
        self.timed_write(there, "by a second gateway, while reads hang in the first")
        self.timed_write(self.here, "by the first again")
        self.resume(self.victim)
        for each in reads:
            each.wait(PATIENCE_SECONDS)
            self.assertTrue(each.status == GOOD or recovery.again_is_right(each), str(each))
        self.assert_recovers(there)


if __name__ == "__main__":
    testing.main(osds=3)
