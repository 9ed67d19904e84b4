#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ABORT TASK and LUN RESET are answered at once while the only OSD hangs, and nothing is the worse for it when it goes on."""

import time

from lib import cdb, recovery, testing
from lib.libiscsi import CANCELLED, GOOD, TASK_ABORTED
from lib.recovery import MIB

# The daemon is asked for 20 ms (one), 300 ms (48) and 100 ms (a reset); the rest is for a machine that does other things as well.
ANSWER_SECONDS = 1
# tcmu-runner needs 29 s: the time of a daemon without aborts is printed before the test fails.
PATIENCE_SECONDS = 40
# Long enough for a command to be with the OSD, if it goes there.
ON_ITS_WAY_SECONDS = 0.3
FUNCTION_COMPLETE = 0
BLOCKS = 8
SIZE = 4096
KINDS = {
    "WRITE16": lambda lba, data: (cdb.write16(lba, BLOCKS), 0, data),
    "READ16": lambda lba, data: (cdb.read16(lba, BLOCKS), SIZE, b""),
    "UNMAP": lambda lba, data: (cdb.unmap(), 0, cdb.unmap_parameters(lba, BLOCKS)),
    "COMPARE AND WRITE": lambda lba, data: (cdb.compare_and_write(lba), 0, bytes(512) + data[:512]),
    "VERIFY": lambda lba, data: (cdb.verify16(lba, BLOCKS), 0, data),
    "WRITE AND VERIFY": lambda lba, data: (cdb.write_and_verify16(lba, BLOCKS), 0, data),
    "ORWRITE": lambda lba, data: (cdb.orwrite16(lba, BLOCKS), 0, data),
    "GET LBA STATUS": lambda lba, data: (cdb.get_lba_status(lba), SIZE, b""),
}


class AbortTest(recovery.RecoveryTestCase):
    def setUp(self):
        super().setUp()
        self.lun_device, self.target = self.lun()
        self.outside = self.session(self.target)
        recovery.write(self.outside, 0, bytes(MIB))  # takes the lock, and the objects are there
        self.osd = self.cluster.osds[0]

    def submit(self, kind, lba, data=None, session=None):
        command, read, outgoing = KINDS[kind](lba, data or self.random.randbytes(SIZE))
        return (session or self.outside).submit(command, read, outgoing)

    def on_their_way(self, *commands):
        self.outside.linger(ON_ITS_WAY_SECONDS)
        for each in commands:
            self.assertFalse(each.done, f"it did not hang: {each.what}: {each}")

    def assert_answered(self, managements, limit, figure):
        started = time.monotonic()
        self.outside.poll(lambda: all(each.done for each in managements), PATIENCE_SECONDS, figure)
        seconds = max(each.ended for each in managements) - min(started, *(each.started for each in managements))
        self.report(f"{figure}: {1000 * seconds:.1f} ms")
        self.assertEqual({each.response for each in managements}, {FUNCTION_COMPLETE})
        self.assertLess(seconds, limit, figure)

    def assert_never_good(self, *commands):
        """Once all is well again: what was aborted has had no status."""
        self.outside.linger(0.2)
        self.outside.forget(*commands)
        self.assertEqual({each.status for each in commands}, {CANCELLED})

    def assert_serving(self, lba=0):
        for _ in range(5):
            data = self.random.randbytes(MIB // 16)
            recovery.write(self.outside, lba, data)
            self.assertEqual(recovery.read(self.outside, lba, len(data) // 512), data)
        self.assertEqual(self.cluster.read(self.lun_device.name, 512 * lba, len(data)), data)
        self.assert_daemon_lives()

    def test_one_of_each_kind(self):
        for number, kind in enumerate(KINDS):
            self.hang(self.osd)
            command = self.submit(kind, 64 * number)
            self.on_their_way(command)
            self.assert_answered([self.outside.abort(command)], ANSWER_SECONDS, f"ABORT TASK of one {kind}")
            self.resume(self.osd)
            self.assert_never_good(command)
            self.assert_serving()

    def test_48_at_once(self):
        self.hang(self.osd)
        commands = [self.submit(list(KINDS)[number % len(KINDS)], 16 * number) for number in range(48)]
        self.on_their_way(*commands)
        self.assert_answered([self.outside.abort(each) for each in commands], ANSWER_SECONDS, "48 ABORT TASKs sent together")
        self.resume(self.osd)
        self.assert_never_good(*commands)
        self.assert_serving()

    def test_lun_reset_over_16(self):
        self.hang(self.osd)
        commands = [self.submit(list(KINDS)[number % len(KINDS)], 16 * number) for number in range(16)]
        self.on_their_way(*commands)
        self.assert_answered([self.outside.lun_reset()], ANSWER_SECONDS, "LUN RESET over 16 commands")
        self.resume(self.osd)
        self.assert_never_good(*commands)
        self.assert_serving()

    def test_lun_reset_over_commands_of_another_session(self):
        other = self.fresh_session(self.target, initiator="iqn.2026-11.lab:other")
        recovery.read(other, 0, 1)
        self.hang(self.osd)
        commands = [self.submit("WRITE16", 16 * number) for number in range(8)]
        others = [self.submit("WRITE16", 256 + 16 * number, session=other) for number in range(8)]
        other.linger(ON_ITS_WAY_SECONDS)
        self.on_their_way(*commands)
        reset_seen = testing.Background(self.hear_of_the_reset, other, others)
        self.assert_answered([self.outside.lun_reset()], ANSWER_SECONDS, "LUN RESET over 16 commands of two sessions")
        reset_seen.result()
        self.assertEqual({each.status for each in others}, {TASK_ABORTED})
        self.resume(self.osd)
        self.assert_never_good(*commands)
        self.assert_serving()

    @staticmethod
    def hear_of_the_reset(session, commands):
        session.poll(lambda: all(each.done for each in commands), PATIENCE_SECONDS, "the other session is notified")
        # The kernel holds each TASK ABORTED, and so the reset, until the next request of that session acknowledges it.
        session.command(cdb.test_unit_ready())

    def test_reset_behind_aborts(self):
        self.hang(self.osd)
        commands = [self.submit("WRITE16", 16 * number) for number in range(16)]
        self.on_their_way(*commands)
        managements = [self.outside.abort(each) for each in commands[:8]] + [self.outside.lun_reset()]
        self.outside.poll(lambda: managements[-1].done, PATIENCE_SECONDS, "LUN RESET behind ABORT TASKs")
        self.report(f"LUN RESET behind 8 ABORT TASKs: {1000 * managements[-1].seconds:.1f} ms")
        self.assertLess(managements[-1].seconds, ANSWER_SECONDS)
        self.resume(self.osd)
        self.assert_never_good(*commands)
        self.assert_serving()

    def test_aborted_while_it_waits_for_a_range(self):
        base, older, waiting = b"\0" * SIZE, b"o" * SIZE, b"w" * SIZE
        self.hang(self.osd)
        first = self.submit("WRITE16", 0, older)
        self.on_their_way(first)
        second = self.submit("WRITE16", 0, waiting)
        self.on_their_way(second)
        self.assert_answered([self.outside.abort(second)], ANSWER_SECONDS, "ABORT TASK of a write that waits behind another")
        self.resume(self.osd)
        first.wait(20).good()
        self.assertEqual(recovery.read(self.outside, 0, BLOCKS), older, "a write that had not begun was done")
        self.assert_never_good(second)
        recovery.write(self.outside, 0, base)

    def test_a_newer_write_waits_for_the_aborted_one(self):
        newer = self.random.randbytes(SIZE)
        self.hang(self.osd)
        older = self.submit("WRITE16", 4)
        self.on_their_way(older)
        self.assert_answered([self.outside.abort(older)], ANSWER_SECONDS, "ABORT TASK of the older write")
        command = self.submit("WRITE16", 0, newer)  # half of it is over the older one
        self.on_their_way(command)
        self.resume(self.osd)
        if command.wait(20).status != GOOD:
            self.assertTrue(recovery.again_is_right(command), str(command))
            recovery.write(self.outside, 0, newer)
        for _ in range(20):
            self.assertEqual(recovery.read(self.outside, 0, BLOCKS), newer)
            self.outside.linger(0.02)
        self.assertEqual(self.cluster.read(self.lun_device.name, 0, SIZE), newer)
        self.assert_never_good(older)

    def test_healthy_ranges_are_served_right_after(self):
        """Reads and writes reuse the memory of what was aborted: the OSD's late answers must not come into it."""
        self.hang(self.osd)
        reads = [self.submit("READ16", 16 * number) for number in range(32)]
        self.on_their_way(*reads)
        self.assert_answered([self.outside.abort(each) for each in reads], ANSWER_SECONDS, "ABORT TASK of 32 reads")
        data = [self.random.randbytes(SIZE) for _ in range(32)]
        writes = [self.submit("WRITE16", 1024 + 16 * number, each) for number, each in enumerate(data)]
        self.outside.linger(ON_ITS_WAY_SECONDS)
        self.resume(self.osd)
        for number, each in enumerate(writes):
            if each.wait(20).status != GOOD:
                recovery.write(self.outside, 1024 + 16 * number, data[number])
        for number, each in enumerate(data):
            self.assertEqual(recovery.read(self.outside, 1024 + 16 * number, BLOCKS), each)
        self.assert_never_good(*reads)


if __name__ == "__main__":
    testing.main(osds=1)
